"""Lines, sockets and files through which the outside meets a simulated village."""

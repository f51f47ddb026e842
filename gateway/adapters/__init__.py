"""The gateway at its edges: disk, buses, the thread that joins them."""

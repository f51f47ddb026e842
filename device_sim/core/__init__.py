"""Physics, register maps, faults and descriptions: no I/O and no clock of their own."""

"""What every Wattpost process does alike at its edges: reach the broker, tell the time, log, speak to a terminal."""

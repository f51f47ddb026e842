"""A network as operators see it: households by the day, faults one after the other, everything shown in InfluxDB."""

"""Simulated villages: meters, households and relay boards on Modbus lines, and a network that can be cut."""

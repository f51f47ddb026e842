"""Simulated villages: meters, households and relay boards on Modbus and DLMS lines, and a network that can be cut."""

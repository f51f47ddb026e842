"""DLMS/COSEM, sans-IO: to come."""

"""The server's side of DLMS/COSEM: associations, services and notifications of a logical device."""

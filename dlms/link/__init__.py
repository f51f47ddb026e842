"""The data links: HDLC on serial lines and TCP, and the wrapper on TCP and UDP."""

"""The certificate authority for development and small sites: to come."""

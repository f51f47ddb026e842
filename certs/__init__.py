"""The certificate authority for development and small sites: who may reach the broker, and under which name."""

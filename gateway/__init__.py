"""auth-gateway: an authenticating reverse proxy for backends behind any JWT issuer."""

__version__ = "0.1.0"

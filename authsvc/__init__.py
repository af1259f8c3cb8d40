"""Token and admin service beside a stock Docker registry."""

__version__ = "0.1.0"

"""Latchkey: a console and vault for integration credentials, built on the Django admin."""

__version__ = "0.1.0"

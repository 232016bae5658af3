"""
What an operator sees: metrics, logs, status and health, on a listener of their own.

This file imports nothing: the health check runs from here every few seconds and must not load the server.
"""

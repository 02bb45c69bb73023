"""Processes that run the server in processes of their own."""

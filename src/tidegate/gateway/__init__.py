"""ASGI over a `Stream` of any HTTP version."""

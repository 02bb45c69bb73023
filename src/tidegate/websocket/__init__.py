"""The WebSocket protocol (RFC 6455) and its compression (RFC 7692) with no I/O, over any `Stream`."""

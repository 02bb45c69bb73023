"""Sockets, TLS, timers: the only place that does I/O."""

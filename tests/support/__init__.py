"""What the tests share: the server as a process, a strict wire client, an ASGI server made of lists."""

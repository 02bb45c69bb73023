"""What is done before the application, or in its place: static files, policies of routes, compression.

Nothing of it is loaded, and no request pays for it, where none of it is asked for: what `open_http` of the server's
acceptor is decides (HTTPExchange, or `Edge.open_http`).
"""

"""The toolkit: small parts that are each an ASGI application, or wrap one.

Module layout, names, signatures and behaviour are Starlette 1.10's; what differs on purpose is listed in
docs/starlette-compatibility.md. Nothing of Tidegate is imported but `tidegate.asgi`.
"""

"""Shows what HTTP/2 clients send, and what they can be sent."""

import json
from typing import Any


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    path = scope["path"]
    start: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
    if path == "/echo":
        await send(start)
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})
    elif path == "/file":
        await send(start)
        await send({"type": "http.response.pathsend", "path": __file__})
    elif path == "/everything":
        await send({"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]})
        if "http.response.push" in scope["extensions"]:
            await send({"type": "http.response.push", "path": "/pushed", "headers": []})
        await send({**start, "trailers": True})
        await send({"type": "http.response.body", "body": b"content"})
        await send({"type": "http.response.trailers", "headers": [(b"x-checksum", b"7")]})
    else:
        body = b"pushed content"
        if path == "/told":
            told = {
                "http_version": scope["http_version"],
                "query": scope["query_string"].decode(),
                "host": dict(scope["headers"])[b"host"].decode(),
            }
            body = json.dumps(told).encode()
        await send(start)
        await send({"type": "http.response.body", "body": body})

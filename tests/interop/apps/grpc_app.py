"""A gRPC service as a plain ASGI application: messages of bytes, whatever their meaning.

The protocol is https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: a message is one octet that says
whether it is compressed, its length in four, and itself; the status goes in trailers.
"""

import asyncio

OK, CANCELLED, INVALID_ARGUMENT, UNIMPLEMENTED = 0, 1, 3, 12

cancelled = 0  # calls whose client had gone before they ended


def framed(message):
    return b"\0" + len(message).to_bytes(4, "big") + message


class Call:
    def __init__(self, receive, send):
        self.receive = receive
        self.send = send
        self.buffer = b""
        self.more = True

    async def read(self):
        """The next message; None behind the last one."""
        while len(self.buffer) < 5 or len(self.buffer) < 5 + int.from_bytes(self.buffer[1:5], "big"):
            if not self.more:
                return None
            event = await self.receive()
            if event["type"] == "http.disconnect":
                raise ConnectionAbortedError
            self.buffer += event["body"]
            self.more = event["more_body"]
        end = 5 + int.from_bytes(self.buffer[1:5], "big")
        message, self.buffer = self.buffer[5:end], self.buffer[end:]
        return message

    async def write(self, message):
        await self.send({"type": "http.response.body", "body": framed(message), "more_body": True})


async def unary(call):
    await call.write(b"echo " + await call.read())


async def server_stream(call):
    for number in range(int(await call.read())):
        await call.write(b"%d" % number)


async def client_stream(call):
    count = size = 0
    while (message := await call.read()) is not None:
        count += 1
        size += len(message)
    await call.write(b"%d messages, %d octets" % (count, size))


async def both_streams(call):
    while (message := await call.read()) is not None:
        await call.write(message[::-1])


async def fail(call):
    await call.write(b"one answer")
    raise ValueError((await call.read()).decode())


async def endless(call):
    """Answers once, then waits until the client has gone."""
    global cancelled
    await call.read()
    await call.write(b"waiting")
    event = await call.receive()
    assert event["type"] == "http.disconnect"
    cancelled += 1


async def count_cancelled(call):
    await call.read()
    await call.write(b"%d" % cancelled)


async def large(call):
    size = int(await call.read())
    await call.write(bytes(size))


METHODS = {
    f"/test.Service/{function.__name__}": function
    for function in (
        *(unary, server_stream, client_stream, both_streams, fail, endless, count_cancelled, large),
    )
}


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    assert scope["http_version"] == "2"
    assert "http.response.trailers" in scope["extensions"]
    headers = dict(scope["headers"])
    assert headers[b"te"] == b"trailers"
    content_type = (b"content-type", b"application/grpc")
    method = METHODS.get(scope["path"])
    if method is None:
        # Trailers-Only: one header section that ends the stream
        status = [(b"grpc-status", b"%d" % UNIMPLEMENTED), (b"grpc-message", b"no such method")]
        await send({"type": "http.response.start", "status": 200, "headers": [content_type, *status]})
        await send({"type": "http.response.body"})
        return
    asked = headers.get(b"x-echo", b"")
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [content_type, (b"x-initial", asked)],
            "trailers": True,
        }
    )
    status, detail = OK, b""
    try:
        await method(Call(receive, send))
    except ValueError as error:
        status, detail = INVALID_ARGUMENT, str(error).encode()
    except ConnectionAbortedError:
        status = CANCELLED
    trailers = [(b"grpc-status", b"%d" % status), (b"grpc-message", detail), (b"x-trailing", asked)]
    await asyncio.sleep(0)
    await send({"type": "http.response.body"})
    await send({"type": "http.response.trailers", "headers": trailers})

"""WSGI applications (PEP 3333) as ASGI 3.0 applications, on any ASGI server.

The application runs in a thread of a bounded pool of this adapter's own, so that it never competes with those
who take threads from the loop's. Content streams both ways, and in each direction about `high_water` octets
wait between the thread and the event loop. Requests that find no thread free wait in the pool's queue; how
many may is the server's own concurrency limit.
"""

import asyncio
import contextvars
import io
import logging
import os
import re
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias
from wsgiref.util import FileWrapper

from tidegate.asgi import Message, Receive, Scope, Send

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Callable[[bytes], object]]
WSGICallable: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]

logger = logging.getLogger("tidegate.wsgi")

STATUS = re.compile(r"[0-9]{3}( .*)?")
LONGEST_LOG_LINE = 8192


class WSGIApplication:
    """An ASGI 3.0 application over the WSGI callable `app`, run by at most `threads` threads at a time.

    `high_water` (octets) bounds what waits between a thread and the event loop, in each direction. Exceptions
    of the application propagate to the server. Raises ValueError where `threads` is not positive.
    """

    def __init__(self, app: WSGICallable, threads: int, high_water: int = 65536) -> None:
        self.app = app
        self.high_water = high_water
        # The standard library's pool starts threads only as they are needed and ends them with this object.
        self.executor = ThreadPoolExecutor(threads, thread_name_prefix="tidegate-wsgi")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _Exchange(self.app, scope, receive, send, self.high_water).respond(self.executor)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        else:
            # ASGI lifespan, "Scope": raising is how an application says that it has none.
            raise NotImplementedError(f"a WSGI application takes no {scope['type']!r} scope")


class _ClientGone(ConnectionResetError):
    """Raised out of the application's reads and writes; where the application lets it out, it is no error."""


class _Exchange:
    """One request and its answer: what the event loop and the application's thread share.

    `changed` guards every attribute below it. Methods are marked with the side that calls them.
    """

    def __init__(
        self, app: WSGICallable, scope: Scope, receive: Receive, send: Send, high_water: int
    ) -> None:
        self.app = app
        self.scope = scope
        self.receive = receive
        self.send = send
        self.high_water = high_water
        self.loop = asyncio.get_running_loop()
        self.wake = asyncio.Event()
        self.room = asyncio.Event()
        self.pump: asyncio.Task[None] | None = None
        self.reading = False
        self.response = _Response(self)

        self.changed = threading.Condition()
        self.abandoned: BaseException | None = None
        self.finished = False
        self.error: BaseException | None = None
        self.outgoing: list[Message] = []
        self.unsent = 0
        self.unsent_size = 0
        self.incoming: deque[memoryview] = deque()
        self.incoming_size = 0
        self.incoming_ended = False

    # The event loop's side

    async def respond(self, executor: ThreadPoolExecutor) -> None:
        job = executor.submit(contextvars.copy_context().run, self.run)
        try:
            await self.forward()
        except asyncio.CancelledError as reason:
            self.abandon(reason)
            job.cancel()
            raise
        except Exception as reason:
            # Out of the server's send: the client has gone, or the message was refused. The request counts as
            # running, to the server too, until its thread is free again.
            self.abandon(reason)
            await self.thread_finished()
            self.error = None
            raise
        finally:
            self.abandon(_ClientGone("the request has ended"))  # for threads that the application left behind
            if self.pump is not None:
                self.pump.cancel()
        error, self.error = self.error, None
        try:
            if error is not None and not isinstance(error, _ClientGone):
                raise error
        finally:
            del error  # it leads back to this frame

    async def thread_finished(self) -> None:
        while not self.finished:
            await self.wake.wait()
            self.wake.clear()

    async def forward(self) -> None:
        """Send what the thread has put out, until it has finished."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            with self.changed:
                finished = self.finished
                messages, self.outgoing = self.outgoing, []
            for message in messages:
                await self.send(message)
                with self.changed:
                    self.unsent -= 1
                    self.unsent_size -= len(message.get("body", b""))
                    self.changed.notify_all()
            if finished:
                return
            if message.get("more_body", True) and not self.expects_continue():
                self.start_pump()  # to hear of the client's going between two blocks of a stream

    def expects_continue(self) -> bool:
        return any(name == b"expect" for name, _ in self.scope["headers"])

    def start_pump(self) -> None:
        if self.pump is None and self.abandoned is None:
            self.pump = self.loop.create_task(self.receive_content())

    async def receive_content(self) -> None:
        """Bring the request's content to the thread; its first call is what sends a 100 Continue."""
        try:
            while True:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    self.abandon(_ClientGone("the client has gone"))
                    return
                body: bytes = message.get("body", b"")
                with self.changed:
                    if body:
                        self.incoming.append(memoryview(body))
                        self.incoming_size += len(body)
                    self.incoming_ended = not message.get("more_body", False)
                    full = self.incoming_size >= self.high_water
                    self.room.clear()
                    self.changed.notify_all()
                if full:
                    await self.room.wait()
        except Exception as error:
            self.abandon(error)

    def abandon(self, reason: BaseException) -> None:
        """Let the thread's next read or write raise: nobody is there for its answer."""
        with self.changed:
            if self.abandoned is None:
                self.abandoned = reason
            self.changed.notify_all()

    # The thread's side

    def call_loop(self, callback: Callable[[], object]) -> None:
        try:
            self.loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop was closed while the application went on
            self.abandon(ConnectionAbortedError("the server has stopped"))

    def run(self) -> None:
        try:
            result = self.app(
                make_environ(self.scope, io.BufferedReader(_Content(self))), self.response.start
            )
            try:
                self.response.send_all(result)
            finally:
                close = getattr(result, "close", None)
                if close is not None:
                    close()
        except BaseException as error:
            self.error = error
        self.finished = True
        self.call_loop(self.wake.set)

    def put(self, message: Message) -> None:
        """Hand a message to the event loop; waits while the client is not keeping up."""
        with self.changed:
            while self.unsent_size >= self.high_water and self.abandoned is None:
                self.changed.wait()
            if self.abandoned is not None:
                raise self.abandoned
            first = not self.outgoing
            self.outgoing.append(message)
            self.unsent += 1
            self.unsent_size += len(message.get("body", b""))
        if first:
            self.call_loop(self.wake.set)

    def drain(self) -> None:
        """Wait until the event loop has sent every message."""
        with self.changed:
            while self.unsent and self.abandoned is None:
                self.changed.wait()

    def read_into(self, buffer: memoryview) -> int:
        """Take some of the request's content; waits for it. 0 is its end."""
        if not self.reading:
            self.reading = True
            self.call_loop(self.start_pump)
        with self.changed:
            while not self.incoming and not self.incoming_ended and self.abandoned is None:
                self.changed.wait()
            if not self.incoming:
                if not self.incoming_ended:
                    assert self.abandoned is not None
                    raise self.abandoned
                return 0
            chunk = self.incoming.popleft()
            count = min(len(chunk), len(buffer))
            buffer[:count] = chunk[:count]
            if count < len(chunk):
                self.incoming.appendleft(chunk[count:])
            was_full = self.incoming_size >= self.high_water
            self.incoming_size -= count
            resume = was_full and self.incoming_size < self.high_water
        if resume:
            self.call_loop(self.room.set)
        return count


class _Response:
    """start_response, write and the result of one call (PEP 3333, "The start_response() Callable").

    The thread's side.
    """

    def __init__(self, exchange: _Exchange) -> None:
        self.exchange = exchange
        self.head: Message | None = None
        self.head_sent = False
        self.ended = False
        self.remaining: int | None = None

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        if exc_info is not None:
            try:
                if self.head_sent and exc_info[1] is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.head is not None:
            raise RuntimeError("start_response was called twice without exc_info")
        if not STATUS.fullmatch(status):
            raise ValueError(f"{status!r} is no status: three digits, a space, a reason")
        fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        lengths = [value for name, value in fields if name == b"content-length"]
        self.remaining = int(lengths[0]) if lengths and lengths[0].isdigit() else None
        self.head = {"type": "http.response.start", "status": int(status[:3]), "headers": fields}
        return self.write

    def send_all(self, result: Iterable[bytes]) -> None:
        if isinstance(result, FileWrapper) and self.send_file(result):
            return
        for chunk in result:
            self.write(chunk)
            # PEP 3333, "Handling the Content-Length Header": stop iterating when enough data has been sent.
            if self.ended:
                return
        self.send_head()
        self.exchange.put({"type": "http.response.body", "body": b"", "more_body": False})

    def write(self, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise TypeError(f"a WSGI application sends bytes, not {type(data).__name__}")
        if self.exchange.abandoned is not None:
            raise self.exchange.abandoned
        if not data:
            return
        if self.remaining is not None:
            if len(data) > self.remaining:
                raise ValueError("the WSGI application sent more than its Content-Length")
            self.remaining -= len(data)
            self.ended = self.remaining == 0
        self.send_head()
        self.exchange.put({"type": "http.response.body", "body": data, "more_body": not self.ended})

    def send_head(self) -> None:
        # PEP 3333: headers wait for the first non-empty content, so that they can still be replaced.
        if self.head is None:
            raise RuntimeError("the WSGI application sent content before it called start_response")
        if not self.head_sent:
            self.head_sent = True
            self.exchange.put(self.head)

    def send_file(self, wrapper: "FileWrapper") -> bool:
        """Let the server send the rest of a file (PEP 3333, "Optional Platform-Specific File Handling").

        False where it cannot: then the wrapper is iterated over.
        """
        file = wrapper.filelike
        if "http.response.zerocopysend" not in (self.exchange.scope.get("extensions") or {}):
            return False
        # Exactly these types: others that have a fileno() (GzipFile) do not yield what the file holds.
        if type(file) not in (io.FileIO, io.BufferedReader) or self.head is None:
            return False
        status = os.fstat(file.fileno())
        offset = file.tell()
        count = status.st_size - offset
        if self.remaining is not None:
            count = min(count, self.remaining)
        if not stat.S_ISREG(status.st_mode) or count <= 0:
            return False
        self.send_head()
        self.exchange.put(
            {
                "type": "http.response.zerocopysend",
                "file": file,
                "offset": offset,
                "count": count,
                "more_body": False,
            }
        )
        self.exchange.drain()  # the application closes its file as soon as this returns
        return True


class _Content(io.RawIOBase):
    """The request's content as a raw stream, of which io.BufferedReader makes wsgi.input. Thread's side."""

    def __init__(self, exchange: _Exchange) -> None:
        self.exchange = exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        return self.exchange.read_into(memoryview(buffer).cast("B"))


class _ErrorLog(io.TextIOBase):
    """wsgi.errors: each line becomes a record of the logger "tidegate.wsgi". Thread's side."""

    def __init__(self) -> None:
        self.line = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self.line = (self.line + text).split("\n")
        for line in lines:
            logger.error("%s", line)
        if len(self.line) > LONGEST_LOG_LINE:
            self.flush()
        return len(text)

    def flush(self) -> None:
        if self.line:
            logger.error("%s", self.line)
            self.line = ""


def make_environ(scope: Scope, content: io.BufferedReader) -> Environ:
    """The environ of PEP 3333 ("environ Variables") for an ASGI HTTP scope.

    Strings are native strings holding one octet per character, as PEP 3333 asks ("A Note On String Types").
    """
    # ASGI www, "HTTP Connection Scope": path includes root_path (not with every server).
    root_path = scope.get("root_path", "").rstrip("/")
    path = scope["path"]
    if root_path and (path == root_path or path.startswith(root_path + "/")):
        path = path[len(root_path) :]
    secure = scope.get("scheme", "http") == "https"
    host, port = scope.get("server") or (None, None)
    if port is None:  # a Unix socket, or unknown: PEP 3333 wants both all the same
        host, port = "localhost", 443 if secure else 80
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": native(root_path),
        "PATH_INFO": native(path),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if secure else "http",
        "wsgi.input": content,
        "wsgi.input_terminated": True,  # reading to the end is safe, also without a Content-Length
        "wsgi.errors": _ErrorLog(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,  # other workers may run the same application
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    client = scope.get("client")
    if client is not None:
        environ["REMOTE_ADDR"] = client[0]
        environ["REMOTE_PORT"] = str(client[1])
    for name, value in scope["headers"]:
        # X_Role would arrive as the same variable as the X-Role that a proxy sets or removes.
        if b"_" in name:
            continue
        variable = name.decode("latin-1").upper().replace("-", "_")
        if name not in (b"content-type", b"content-length"):
            variable = "HTTP_" + variable
        text = value.decode("latin-1")
        if variable in environ:
            # RFC 9110 §5.3: repeated fields make one list; RFC 9113 §8.2.3: cookies are joined by "; ".
            text = environ[variable] + ("; " if name == b"cookie" else ", ") + text
        environ[variable] = text
    return environ


def native(text: str) -> str:
    return text.encode("utf-8").decode("latin-1")

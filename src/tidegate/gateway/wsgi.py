"""WSGI applications (PEP 3333) as ASGI 3.0 applications, on any ASGI server.

The application runs in a thread of a bounded pool of this adapter's own, so that it never competes with those
who take threads from the loop's. A request's content is read ahead of that, so that a client that sends slowly
holds no thread; what is beyond `read_ahead` octets streams, as does the answer, and in each direction about
`high_water` octets wait between the thread and the event loop. Requests that find no thread free wait in the
pool's queue; how many may is the server's own concurrency limit.
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
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper

from tidegate.asgi import Message, Receive, Scope, Send
from tidegate.http.errors import ClientDisconnected

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Callable[[bytes], object]]
WSGICallable: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]

logger = logging.getLogger("tidegate.wsgi")

STATUS = re.compile(r"[0-9]{3}( .*)?")
LONGEST_LOG_LINE = 8192
# What all requests together have read ahead, in times of what one may.
READ_AHEAD_SHARES: Final = 64


class WSGIApplication:
    """An ASGI 3.0 application over the WSGI callable `app`, run by at most `threads` threads at a time.

    `high_water` (octets) bounds what waits between a thread and the event loop, in each direction; `read_ahead`
    (octets) the content that a request has here before it takes a thread, for all requests together 64 times
    that. Those that take a thread while content is still to come have half of the threads. Exceptions of the
    application propagate to the server. Raises ValueError where `threads` is not positive.
    """

    def __init__(
        self, app: WSGICallable, threads: int, *, read_ahead: int = 2**20, high_water: int = 65536
    ) -> None:
        self.app = app
        self.high_water = high_water
        self.read_ahead = read_ahead
        self.held_ahead = 0
        # The standard library's pool starts threads only as they are needed and ends them with this object.
        self.executor = ThreadPoolExecutor(threads, thread_name_prefix="tidegate-wsgi")
        self.uploads = asyncio.Semaphore(max(1, threads // 2))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _Exchange(self, scope, receive, send).respond()
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        else:
            # ASGI lifespan, "Scope": raising is how an application says that it has none.
            raise NotImplementedError(f"a WSGI application takes no {scope['type']!r} scope")


class _ClientGone(ClientDisconnected, ConnectionResetError):
    """Raised out of the application's reads and writes; where the application lets it out, it is no error."""


class _Exchange:
    """One request and its answer: what the event loop and the application's thread share.

    `changed` guards every attribute below it. Methods are marked with the side that calls them.
    """

    def __init__(self, adapter: WSGIApplication, scope: Scope, receive: Receive, send: Send) -> None:
        self.adapter = adapter
        self.scope = scope
        self.receive = receive
        self.send = send
        self.high_water = adapter.high_water
        self.has_content, self.expects_continue = content_of(scope)
        self.loop = asyncio.get_running_loop()
        self.wake = asyncio.Event()
        self.room = asyncio.Event()
        self.pump: asyncio.Task[None] | None = None
        self.is_upload = False
        self.held_ahead = 0
        self.reading = False
        self.streaming = False
        self.response = _Response(self)

        self.changed = threading.Condition()
        self.abandoned: BaseException | None = None
        self.hung_up = False
        self.forwarding = True
        self.finished = False
        self.error: BaseException | None = None
        self.outgoing: list[Message] = []
        self.unsent = 0
        self.unsent_size = 0
        self.incoming: deque[memoryview] = deque()
        self.incoming_size = 0
        self.incoming_ended = False

    # The event loop's side

    async def respond(self) -> None:
        try:
            # Before the application reads, no 100 Continue is to be sent (RFC 9110 §10.1.1).
            if self.has_content and not self.expects_continue:
                await self.read_ahead()
            if self.has_content and not self.incoming_ended:
                await self.adapter.uploads.acquire()
                self.is_upload = True
            await self.run_in_thread()
        finally:
            self.adapter.held_ahead -= self.held_ahead
            self.upload_ended()

    async def read_ahead(self) -> None:
        """Take content until it has ended, or some is here and no more may be. Raises ClientDisconnected."""
        adapter = self.adapter
        most, all_most = adapter.read_ahead, adapter.read_ahead * READ_AHEAD_SHARES
        content: bytes | bytearray = b""
        more = True
        while more and (not content or (len(content) < most and adapter.held_ahead < all_most)):
            piece, more = await self.receive_content()
            if not content:
                content = piece
            else:
                # One object, since those of a few octets each would take many times their size.
                if not isinstance(content, bytearray):
                    content = bytearray(content)
                content += piece
            self.held_ahead += len(piece)
            adapter.held_ahead += len(piece)
        self.put_content(content, more)

    def upload_ended(self) -> None:
        """The request's thread waits for no more content, whatever else it does."""
        if self.is_upload:
            self.is_upload = False
            self.adapter.uploads.release()

    async def run_in_thread(self) -> None:
        job = self.adapter.executor.submit(contextvars.copy_context().run, self.run)
        try:
            await self.forward()
        except asyncio.CancelledError as reason:
            self.stop_forwarding(reason)
            job.cancel()
            raise
        except Exception as reason:
            # Out of the server's send: the client has gone, or the message was refused. The request counts as
            # running, to the server too, until its thread is free again.
            self.stop_forwarding(reason)
            await self.thread_finished()
            self.error = None
            raise
        finally:
            # For threads that the application left behind.
            self.stop_forwarding(_ClientGone("the request has ended"))
            if self.pump is not None:
                self.pump.cancel()
        error, self.error = self.error, None
        try:
            if error is not None:
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
            if message.get("more_body") and not self.expects_continue:
                self.streaming = True
                self.start_pump()  # to hear of the client's going between two blocks of a stream

    def start_pump(self) -> None:
        if (self.pump is None or self.pump.done()) and self.abandoned is None:
            self.pump = self.loop.create_task(self.pump_content())

    async def pump_content(self) -> None:
        """Bring the request's content to the thread; its first call of receive is what sends a 100 Continue."""
        try:
            while not self.incoming_ended:
                with self.changed:
                    full = self.incoming_size >= self.high_water
                    self.room.clear()
                if full:
                    await self.room.wait()
                self.put_content(*await self.receive_content())
            self.upload_ended()
            while self.streaming:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    self.client_hung_up()
                    return
        except Exception as error:
            self.abandon(error)

    async def receive_content(self) -> tuple[bytes, bool]:
        """The next piece of the request's content, and whether more comes. Raises ClientDisconnected."""
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise _ClientGone("the client has gone")
        return message.get("body", b""), message.get("more_body", False)

    def put_content(self, content: bytes | bytearray, more: bool) -> None:
        """Hand content to the thread."""
        with self.changed:
            if content:
                self.incoming.append(memoryview(content))
                self.incoming_size += len(content)
            self.incoming_ended = not more
            self.changed.notify_all()

    def client_hung_up(self) -> None:
        """It has ended its side of the connection, and may read on: what finds out is the server's send.

        Those of servers before ASGI www 2.4 ("Disconnected Client") do not tell.
        """
        version = self.scope["asgi"].get("spec_version", "2.0")
        if tuple(map(int, version.split("."))) >= (2, 4):
            self.hung_up = True
        else:
            self.abandon(_ClientGone("the client has gone"))

    def stop_forwarding(self, reason: BaseException) -> None:
        self.forwarding = False
        self.abandon(reason)

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
            result = self.adapter.app(self.environ(), self.response.start)
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

    def environ(self) -> Environ:
        size = self.incoming_size if self.incoming_ended else 0
        environ = make_environ(self.scope, io.BufferedReader(_Content(self)))
        if size and "CONTENT_LENGTH" not in environ:
            # All of it is here: for those who read CONTENT_LENGTH octets, chunks have become a length.
            environ["CONTENT_LENGTH"] = str(size)
            environ.pop("HTTP_TRANSFER_ENCODING", None)
        return environ

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
        """Wait until the event loop has sent every message, or sends no more."""
        with self.changed:
            while self.unsent and self.forwarding:
                self.changed.wait()

    def read_into(self, buffer: memoryview) -> int:
        """Take some of the request's content; waits for it. 0 is its end."""
        with self.changed:
            start_pump = not self.reading and not self.incoming_ended
            self.reading = True
        if start_pump:
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
            if self.exchange.hung_up:
                raise _ClientGone("the client has gone")
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
    root, path = paths_of(scope)
    secure = scope.get("scheme", "http") == "https"
    host, port = scope.get("server") or (None, None)
    if port is None:  # a Unix socket, or unknown: PEP 3333 wants both all the same
        host, port = "localhost", 443 if secure else 80
    version = scope["http_version"]
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root.decode("latin-1"),
        "PATH_INFO": path.decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        # RFC 3875 §4.1.16 wants both digits, where ASGI has "2".
        "SERVER_PROTOCOL": f"HTTP/{version}" if "." in version else f"HTTP/{version}.0",
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


def paths_of(scope: Scope) -> tuple[bytes, bytes]:
    """SCRIPT_NAME and PATH_INFO, decoded (RFC 3875 §4.1.13, §4.1.5), octet by octet (PEP 3333, "Unicode Issues")."""
    root_path = scope.get("root_path", "").rstrip("/")
    path = scope["path"]
    root = root_path.encode("utf-8")
    octets = path.encode("utf-8")
    if "\ufffd" in path:
        # What is no UTF-8 was replaced; raw_path has it. Whether root_path begins that, servers differ about, and
        # it is another path's where a middleware has changed this one.
        raw = unquote_to_bytes(scope.get("raw_path") or b"")
        text = raw.decode("utf-8", "replace")
        if text == path:
            octets = raw
        elif root_path + text == path:
            octets = root + raw
    # ASGI www, "HTTP Connection Scope": path includes root_path (not with every server).
    if root and (octets == root or octets.startswith(root + b"/")):
        octets = octets[len(root) :]
    return root, octets


def content_of(scope: Scope) -> tuple[bool, bool]:
    """Whether the request may have content, and whether its client waits for a 100 Continue before it sends it."""
    # RFC 9112 §6.3: HTTP/1.1 says by these fields that there is some; later versions need not.
    has_content = scope["http_version"] not in ("1.0", "1.1")
    expects_continue = False
    for name, value in scope["headers"]:
        if name == b"content-length":
            has_content = value != b"0"
        elif name == b"transfer-encoding":
            has_content = True
        elif name == b"expect":
            expects_continue = True
    return has_content, expects_continue

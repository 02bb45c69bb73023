"""The request, as an endpoint sees it (RFC 9110 §3.4; ASGI HTTP connection scope)."""

from __future__ import annotations

import re
import typing
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, NoReturn, cast

import anyio

from tidegate.web._headers import encode_field_value
from tidegate.web._utils import AwaitableOrContextManager, AwaitableOrContextManagerWrapper
from tidegate.web.datastructures import (
    URL,
    Address,
    FormData,
    Headers,
    QueryParams,
    State,
)
from tidegate.web.exceptions import HTTPException
from tidegate.web.jsoncodec import current_codec
from tidegate.web.types import Message, Receive, Scope, Send

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from tidegate.web.applications import Application
    from tidegate.web.parts import PartReader
    from tidegate.web.routing import Router

    # Of any type: a TypedDict says what is there by item, a Protocol (or a State) by attribute.
    StateT = TypeVar("StateT", default=State)
else:
    StateT = typing.TypeVar("StateT")

# RFC 9113 §8.4: what of the request a pushed request repeats.
SERVER_PUSH_HEADERS_TO_COPY = {"accept", "accept-encoding", "accept-language", "cache-control", "user-agent"}
BODY_KEY = "tidegate.web.body"
MAX_BODY_SIZE_SCOPE_KEY = "tidegate.web.max_body_size"
# What a cookie's quoted value escapes: three octal digits, or any character (http.cookies writes both).
ESCAPED = re.compile(r"\\(?:([0-3][0-7][0-7])|(.))", re.DOTALL)


def unquote_cookie(value: str) -> str:
    """A cookie's value without its quotes and escapes, in one pass (http.cookies needs a quadratic number
    of steps before 3.11.10: CVE-2024-7592)."""
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return ESCAPED.sub(lambda match: chr(int(match[1], 8)) if match[1] else match[2], value[1:-1])


def cookie_parser(cookie_string: str) -> dict[str, str]:
    """The cookies of a Cookie field. Lenient as browsers are: a member without `=` is a value without a
    name."""
    cookies: dict[str, str] = {}
    for member in cookie_string.split(";"):
        name, equals, value = member.partition("=")
        if not equals:
            name, value = "", name
        name, value = name.strip(), value.strip()
        if name or value:
            cookies[name] = unquote_cookie(value)
    return cookies


def is_json_in_disguise(headers: Headers) -> bool:
    """Whether a page of another origin sent this, as no JSON: what a browser lets it do without asking first
    (Fetch, "CORS-safelisted request-header"), and so how JSON endpoints are reached across sites."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type.endswith(("/json", "+json")):
        return False
    site = headers.get("sec-fetch-site")  # Fetch Metadata Request Headers §2.3
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and origin.rpartition("://")[2].lower() != headers.get("host", "").lower()


class ClientDisconnect(Exception):
    """The client went away before its request body was complete, or its response sent."""


class HTTPConnection(Mapping[str, Any], Generic[StateT]):
    """What HTTP requests and WebSockets have in common: a read-only map of the scope, and its parts."""

    _url: URL | None = None
    _base_url: URL | None = None
    _headers: Headers | None = None
    _query_params: QueryParams | None = None
    _cookies: dict[str, str] | None = None
    _state: Any = None

    def __init__(self, scope: Scope, receive: Receive | None = None) -> None:
        assert scope["type"] in ("http", "websocket")
        self.scope = scope

    def __getitem__(self, key: str) -> Any:
        return self.scope[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scope)

    def __len__(self) -> int:
        return len(self.scope)

    # A connection is itself only, whatever its scope holds.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def app(self) -> Any:
        return self.scope["app"]

    @property
    def url(self) -> URL:
        if self._url is None:
            self._url = URL(scope=self.scope)
        return self._url

    @property
    def base_url(self) -> URL:
        """The URL that the outermost application is mounted at, with a slash at its end."""
        if self._base_url is None:
            scope = dict(self.scope)
            root_path = scope.get("app_root_path", scope.get("root_path", ""))
            scope["path"] = root_path.rstrip("/") + "/"
            scope["query_string"] = b""
            scope["root_path"] = root_path
            self._base_url = URL(scope=scope)
        return self._base_url

    @property
    def headers(self) -> Headers:
        if self._headers is None:
            self._headers = Headers(scope=self.scope)
        return self._headers

    @property
    def query_params(self) -> QueryParams:
        if self._query_params is None:
            self._query_params = QueryParams(self.scope["query_string"])
        return self._query_params

    @property
    def path_params(self) -> dict[str, Any]:
        params: dict[str, Any] = self.scope.get("path_params", {})
        return params

    @property
    def cookies(self) -> dict[str, str]:
        if self._cookies is None:
            cookies: dict[str, str] = {}
            for value in self.headers.getlist("cookie"):  # HTTP/2 splits them: RFC 9113 §8.2.3
                cookies.update(cookie_parser(value))
            self._cookies = cookies
        return self._cookies

    @property
    def client(self) -> Address | None:
        host_port = self.scope.get("client")
        return None if host_port is None else Address(*host_port)

    @property
    def session(self) -> dict[str, Any]:
        assert "session" in self.scope, "SessionMiddleware must be installed to access request.session"
        session: dict[str, Any] = self.scope["session"]
        # The session of SessionMiddleware notes that the answer depends on the cookie.
        if hasattr(session, "mark_accessed"):
            session.mark_accessed()
        return session

    @property
    def auth(self) -> Any:
        assert "auth" in self.scope, "AuthenticationMiddleware must be installed to access request.auth"
        return self.scope["auth"]

    @property
    def user(self) -> Any:
        assert "user" in self.scope, "AuthenticationMiddleware must be installed to access request.user"
        return self.scope["user"]

    @property
    def state(self) -> StateT:
        if self._state is None:
            # The lifespan's state is shallow-copied by the server, so this map is the request's own.
            self._state = State(self.scope.setdefault("state", {}))
        return cast("StateT", self._state)

    def url_for(self, name: str, /, *, absolute: bool | None = None, **path_params: Any) -> URL:
        """The URL of the route `name`; with `absolute=False`, or by the application's setting, its path
        only."""
        url_path_provider: Router | Application | None = self.scope.get("router") or self.scope.get("app")
        if url_path_provider is None:
            raise RuntimeError(
                "The `url_for` method can only be used inside an application or with a router."
            )
        url_path = url_path_provider.url_path_for(name, **path_params)
        if absolute is None:
            absolute = getattr(self.scope.get("app"), "absolute_urls", True)
        url = url_path.make_absolute_url(base_url=self.base_url)
        return url if absolute else URL(url.path)


async def empty_receive() -> NoReturn:
    raise RuntimeError("Receive channel has not been made available")


async def empty_send(message: Message) -> NoReturn:
    raise RuntimeError("Send channel has not been made available")


def content_too_large() -> HTTPException:
    """RFC 9110 §15.5.14."""
    return HTTPException(413, detail="Content Too Large")


class RequestBody:
    """What has been read of one request's body. Lies in the scope, so every Request on one `receive`
    shares it."""

    __slots__ = ("consumed", "content", "disconnected", "form", "limit", "pending", "receive", "received")

    def __init__(self, receive: Receive, limit: int | None = None) -> None:
        self.receive = receive
        self.limit = limit
        self.received = 0
        self.content: bytes | None = None
        self.form: FormData | None = None
        self.pending: list[Message] = []
        self.consumed = False
        self.disconnected = False


class Request(HTTPConnection[StateT]):
    """An HTTP request. Its body is read once, and can be asked for any number of times."""

    _body_state: RequestBody | None = None
    _form: FormData | None = None

    def __init__(self, scope: Scope, receive: Receive = empty_receive, send: Send = empty_send) -> None:
        assert scope["type"] == "http"
        self.scope = scope
        self._receive = receive
        self._send = send

    @property
    def method(self) -> str:
        method: str = self.scope["method"]
        return method

    @property
    def receive(self) -> Receive:
        return self._receive

    @property
    def _read(self) -> RequestBody:
        state = self._body_state
        if state is None:
            state = self.scope.get(BODY_KEY)
            # A middleware that gives another `receive` gives another body.
            if state is None or state.receive != self._receive:
                state = self.scope[BODY_KEY] = RequestBody(self._receive, self._body_limit())
            self._body_state = state
        return state

    def _body_limit(self) -> int | None:
        """The application's, unless a `max_body_size` around this counts already."""
        if MAX_BODY_SIZE_SCOPE_KEY in self.scope:
            return None
        limit: int | None = getattr(self.scope.get("app"), "body_limit", None)
        if limit is not None:
            for name, value in self.scope.get("headers", ()):
                if name == b"content-length" and value.isdigit() and int(value[:20]) > limit:
                    raise content_too_large()
        return limit

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body in the pieces it arrives in, then `b""`.

        Raises ClientDisconnect; HTTPException 413 over the application's `body_limit`; RuntimeError if it is
        used up.
        """
        read = self._read
        if read.content is not None:
            yield read.content
            yield b""
            return
        if read.consumed:
            raise RuntimeError("Stream consumed")
        while not read.consumed:
            message = read.pending.pop(0) if read.pending else await self._receive()
            if message["type"] == "http.request":
                data = message.get("body", b"")
                if not message.get("more_body", False):
                    read.consumed = True
                if data:
                    if read.limit is not None:
                        read.received += len(data)
                        if read.received > read.limit:
                            raise content_too_large()
                    yield data
            elif message["type"] == "http.disconnect":
                read.disconnected = True
                raise ClientDisconnect()
        yield b""

    async def body(self) -> bytes:
        """The whole body. Raises what `stream` does."""
        read = self._read
        if read.content is None:
            # Whatever ends this early comes out of the stream, and ends it too.
            read.content = b"".join([chunk async for chunk in self.stream()])
        return read.content

    async def json(self, *, any_type: bool = False) -> Any:
        """The body decoded by the application's JSON codec. Raises json.JSONDecodeError; HTTPException 415 for
        what a page of another origin sent as another type than JSON, unless `any_type`."""
        if not any_type and is_json_in_disguise(self.headers):
            raise HTTPException(415)
        return current_codec.get().decode(await self.body())

    async def _get_form(
        self, *, max_files: int | float, max_fields: int | float, max_part_size: int
    ) -> FormData:
        if self._form is None:
            read = self._read
            if read.form is None:
                read.form = await self._parse_form(max_files, max_fields, max_part_size)
            self._form = read.form
        return self._form

    async def _parse_form(
        self, max_files: int | float, max_fields: int | float, max_part_size: int
    ) -> FormData:
        from tidegate.web.formparsers import MultiPartException, parse_form

        failure: MultiPartException | None = None
        try:
            return await parse_form(
                self.headers,
                self.stream(),
                max_files=max_files,
                max_fields=max_fields,
                max_part_size=max_part_size,
            )
        except MultiPartException as error:
            if "app" not in self.scope:
                raise
            failure = error
        raise HTTPException(status_code=400, detail=failure.message) from failure

    def form(
        self,
        *,
        max_files: int | float = 1000,
        max_fields: int | float = 1000,
        max_part_size: int = 1024 * 1024,
    ) -> AwaitableOrContextManager[FormData]:
        """The form in the body; `async with` also closes its files. Sizes in octets. Raises HTTPException
        400."""
        return AwaitableOrContextManagerWrapper(
            self._get_form(max_files=max_files, max_fields=max_fields, max_part_size=max_part_size)
        )

    def parts(self, *, max_parts: int = 1000, max_part_size: int | None = None) -> PartReader:
        """The parts of a multipart/form-data body as they arrive, for `async for`, instead of `form`.

        Each is read, saved, or passed over before the next. max_part_size: octets of each, whatever becomes of it.
        Reading raises HTTPException: 400 for a malformed body, 413, 415 for another kind; ClientDisconnect.
        """
        from tidegate.web.parts import PartReader

        return PartReader(
            self.headers,
            self.stream,
            max_parts=max_parts,
            max_part_size=max_part_size,
            in_application="app" in self.scope,
        )

    async def close(self) -> None:
        if self._form is not None:
            await self._form.close()

    async def is_disconnected(self) -> bool:
        """Whether the client has gone. Body pieces that arrive meanwhile are kept for `stream`."""
        read = self._read
        while not read.disconnected:
            message: Message | None = None
            with anyio.CancelScope() as scope:
                scope.cancel()
                message = await self._receive()
            if message is None:
                break
            if message["type"] == "http.disconnect":
                read.disconnected = True
            elif read.content is None and not read.consumed:
                read.pending.append(message)
                break
            else:
                break
        return read.disconnected

    async def send_push_promise(self, path: str) -> None:
        if "http.response.push" in self.scope.get("extensions", {}):
            headers = [
                (name.encode("latin-1"), value.encode("latin-1"))
                for name in SERVER_PUSH_HEADERS_TO_COPY
                for value in self.headers.getlist(name)
            ]
            encode_field_value(path)  # would end up in a pseudo-header field
            await self._send({"type": "http.response.push", "path": path, "headers": headers})

    async def send_early_hints(self, link: str, /, *additional_links: str) -> None:
        """Send 103 with these Link field values (RFC 8297), if the server can. Raises ValueError for CR, LF
        or NUL in one."""
        if "http.response.early_hint" in self.scope.get("extensions", {}):
            links = [encode_field_value(value) for value in (link, *additional_links)]
            await self._send({"type": "http.response.early_hint", "links": links})

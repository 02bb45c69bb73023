"""Responses whose body is in memory (RFC 9110 §3.4, §15; RFC 6265 for cookies)."""

from __future__ import annotations

import http.cookies
import sys
from datetime import datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from tidegate.web._headers import MutableHeaders, encode_field_name, encode_field_value
from tidegate.web.background import run_after_response
from tidegate.web.jsoncodec import current_codec
from tidegate.web.types import Message, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidegate.web._url import URL
    from tidegate.web.background import BackgroundTask

# Sub-delimiters and what is already encoded stay as they are (RFC 3986 §2).
REDIRECT_SAFE = ":/%#?=@[]!$&'()*+,;"
CONTENT_LENGTHS = [(b"content-length", str(length).encode()) for length in range(1024)]


class Response:
    """A whole response, its body in memory."""

    media_type: str | None = None
    charset = "utf-8"
    background: BackgroundTask | None = None
    _headers: MutableHeaders | None = None

    def __init__(
        self,
        content: Any = None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        self.status_code = status_code
        if media_type is not None:
            self.media_type = media_type
        if background is not None:
            self.background = background
        self.body = self.render(content)
        self.init_headers(headers)

    def render(self, content: Any) -> bytes | memoryview:
        """The content as octets: text in the response's charset."""
        if type(content) is str:
            return content.encode(self.charset)
        if content is None:
            return b""
        if isinstance(content, (bytes, memoryview)):
            return content
        return content.encode(self.charset)  # type: ignore[no-any-return]

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Set `raw_headers`: the caller's, then Content-Length and Content-Type unless they are among
        them."""
        raw_headers: list[tuple[bytes, bytes]] = []
        add_length = add_type = True
        if headers:
            for key, value in headers.items():
                name = encode_field_name(key)
                raw_headers.append((name, encode_field_value(value)))
                if name == b"content-length":
                    add_length = False
                elif name == b"content-type":
                    add_type = False
        if add_length:
            body = getattr(self, "body", None)
            status = self.status_code
            # RFC 9110 §8.6: no Content-Length in 1xx and 204; 304's would be the full answer's.
            if body is not None and status >= 200 and status != 204 and status != 304:
                length = body.nbytes if type(body) is memoryview else len(body)
                raw_headers.append(
                    CONTENT_LENGTHS[length] if length < 1024 else (b"content-length", str(length).encode())
                )
        if add_type:
            media_type = self.media_type
            if media_type is not None:
                charset = self.charset
                known = _content_types.get(media_type)
                if known is None or known[0] != charset:
                    known = content_type_field(media_type, charset)
                raw_headers.append(known[1])
        self.raw_headers = raw_headers

    @property
    def headers(self) -> MutableHeaders:
        headers = self._headers
        if headers is None:
            headers = self._headers = MutableHeaders(raw=self.raw_headers)
        return headers

    def set_cookie(
        self,
        key: str,
        value: str = "",
        max_age: int | None = None,
        expires: datetime | str | int | None = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: Literal["lax", "strict", "none"] | None = "lax",
        partitioned: bool = False,
    ) -> None:
        """Add a Set-Cookie field (RFC 6265 §4.1). Times in seconds. Raises ValueError for what is not a
        cookie."""
        try:
            cookie: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
            cookie[key] = value
            morsel = cookie[key]
            if max_age is not None:
                morsel["max-age"] = max_age
            if expires is not None:
                if isinstance(expires, datetime):
                    morsel["expires"] = format_datetime(expires, usegmt=True)
                else:
                    morsel["expires"] = expires
            if path is not None:
                morsel["path"] = path
            if domain is not None:
                morsel["domain"] = domain
            if secure:
                morsel["secure"] = True
            if httponly:
                morsel["httponly"] = True
            if samesite is not None:
                assert samesite.lower() in ("strict", "lax", "none"), (
                    "samesite must be either 'strict', 'lax' or 'none'"
                )
                morsel["samesite"] = samesite
            if partitioned:
                if sys.version_info < (3, 14):
                    raise ValueError("Partitioned cookies are only supported in Python 3.14 and above.")
                morsel["partitioned"] = True
            self.raw_headers.append((b"set-cookie", encode_field_value(cookie.output(header="").strip())))
        except http.cookies.CookieError as error:  # of a name, and since 3.14 of control characters
            raise ValueError(str(error)) from None

    def delete_cookie(
        self,
        key: str,
        path: str = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: Literal["lax", "strict", "none"] | None = "lax",
        partitioned: bool = False,
    ) -> None:
        self.set_cookie(
            key,
            max_age=0,
            expires=0,
            path=path,
            domain=domain,
            secure=secure,
            httponly=httponly,
            samesite=samesite,
            partitioned=partitioned,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            send = denial_send(send)
        await send(start_message(self))
        await send(body_message(self, scope))
        if self.background is not None:
            await run_after_response(self.background, scope)


def start_message(response: Response) -> Message:
    return {
        "type": "http.response.start",
        "status": response.status_code,
        "headers": response.raw_headers,
    }


def body_message(response: Response, scope: Scope) -> Message:
    # RFC 9110 §9.3.2: HEAD has the headers of GET and no content.
    body = b"" if scope.get("method") == "HEAD" else response.body
    return {"type": "http.response.body", "body": body}


def sends_itself_whole(response: Any) -> bool:
    """Whether nothing but its two messages is sent, by `Response.__call__` itself: that can be done in its
    place."""
    return type(response).__call__ is Response.__call__ and response.background is None


def denial_send(send: Send) -> Send:
    """Send an HTTP response on a WebSocket that is not accepted (ASGI websocket.http.response extension)."""

    async def send_denial(message: Message) -> None:
        if message["type"] in ("http.response.start", "http.response.body"):
            message = {**message, "type": "websocket." + message["type"]}
        await send(message)

    return send_denial


# Of each media type, the field that it made last, and in which charset.
_content_types: dict[str, tuple[str, tuple[bytes, bytes]]] = {}


def content_type_field(media_type: str, charset: str) -> tuple[str, tuple[bytes, bytes]]:
    """The charset, and the Content-Type field: text gets its charset (RFC 9110 §8.3.2)."""
    text = media_type
    if text.startswith("text/") and "charset=" not in text.lower():
        text = f"{text}; charset={charset}"
    made = (charset, (b"content-type", encode_field_value(text)))
    if len(_content_types) < 256:
        _content_types[media_type] = made
    return made


class HTMLResponse(Response):
    media_type = "text/html"


class PlainTextResponse(Response):
    media_type = "text/plain"


class JSONResponse(Response):
    """`content` encoded by the application's JSON codec; a subclass may override `render`."""

    media_type = "application/json"

    def __init__(
        self,
        content: Any,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        super().__init__(content, status_code, headers, media_type, background)

    def render(self, content: Any) -> bytes:
        return current_codec.get().encode(content)


class RedirectResponse(Response):
    def __init__(
        self,
        url: str | URL,
        status_code: int = 307,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        super().__init__(content=b"", status_code=status_code, headers=headers, background=background)
        # quote() also encodes CR and LF: nothing in the URL starts another field.
        self.headers["location"] = quote(str(url), safe=REDIRECT_SAFE)

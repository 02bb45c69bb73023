"""Response fields by which browsers protect a site's users: HSTS (RFC 6797), Content Security Policy Level 3 with a
nonce for each request, and what goes with them. What the application has set stays as it is."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any

from tidegate.web._headers import encode_field_value
from tidegate.web.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tidegate.web.requests import HTTPConnection

NONCE_KEY = "csp_nonce"
NONCE = "{nonce}"
YEAR = 365 * 24 * 60 * 60  # seconds
# CSP3 §2.2.1: directive-name; its value is printable ASCII without `;` and `,`.
DIRECTIVE_NAME = re.compile(r"[A-Za-z0-9-]+")
DIRECTIVE_VALUE = re.compile(r"[\t !-+\--:<-~]*")

DEFAULT_POLICY: Mapping[str, str] = {
    "default-src": "'self'",
    "script-src": "'self' 'nonce-{nonce}'",
    "style-src": "'self' 'nonce-{nonce}'",
    "img-src": "'self' data:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}


def csp_nonce(conn: HTTPConnection[Any]) -> str:
    """The request's nonce, for `<script nonce="...">`. Raises RuntimeError where no policy has one."""
    nonce: str | None = conn.scope.get(NONCE_KEY)
    if nonce is None:
        raise RuntimeError("No SecurityHeadersMiddleware with {nonce} in its policy is around this")
    return nonce


def serialize_policy(policy: Mapping[str, str | Sequence[str]] | str) -> str:
    """A policy as its field's value (CSP3 §2.2). Raises ValueError for what cannot be one."""
    if isinstance(policy, str):
        texts = [part.strip() for part in policy.split(";")]
        directives = [text.partition(" ")[::2] for text in texts if text]
    else:
        directives = [
            (name, value if isinstance(value, str) else " ".join(value)) for name, value in policy.items()
        ]
    for name, value in directives:
        if not (DIRECTIVE_NAME.fullmatch(name) and DIRECTIVE_VALUE.fullmatch(value)):
            raise ValueError(f"{name!r} with {value!r} is no directive of a Content Security Policy")
    return "; ".join(f"{name} {value}".strip() for name, value in directives)


class SecurityHeadersMiddleware:
    """Adds these fields to every response that has none of the name; None leaves one out.

    hsts_max_age: seconds for which browsers ask by https only; sent over https alone.
    content_security_policy: directives to sources, or the whole text; `{nonce}` in it becomes a random value of each
        request, which templates have as `request.csp_nonce`.
    report_only: report what the policy would forbid, without forbidding it.

    Raises ValueError for what cannot be a policy or a field's value.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hsts_max_age: int | None = YEAR,
        hsts_include_subdomains: bool = False,
        hsts_preload: bool = False,
        content_security_policy: Mapping[str, str | Sequence[str]] | str | None = DEFAULT_POLICY,
        report_only: bool = False,
        frame_options: str | None = "DENY",
        referrer_policy: str | None = "strict-origin-when-cross-origin",
        content_type_options: str | None = "nosniff",
        permissions_policy: str | None = "camera=(), geolocation=(), microphone=()",
        cross_origin_opener_policy: str | None = "same-origin",
        cross_origin_resource_policy: str | None = None,
        cross_origin_embedder_policy: str | None = None,
    ) -> None:
        self.app = app
        named = {
            b"x-frame-options": frame_options,
            b"referrer-policy": referrer_policy,
            b"x-content-type-options": content_type_options,
            b"permissions-policy": permissions_policy,
            b"cross-origin-opener-policy": cross_origin_opener_policy,
            b"cross-origin-resource-policy": cross_origin_resource_policy,
            b"cross-origin-embedder-policy": cross_origin_embedder_policy,
        }
        self.fields = [(name, encode_field_value(value)) for name, value in named.items() if value]
        self.hsts: bytes | None = None
        if hsts_max_age is not None:
            if hsts_max_age < 0:
                raise ValueError("hsts_max_age must not be negative")
            hsts = f"max-age={hsts_max_age}"
            hsts += "; includeSubDomains" if hsts_include_subdomains else ""
            self.hsts = (hsts + ("; preload" if hsts_preload else "")).encode("ascii")
        self.policy = "" if content_security_policy is None else serialize_policy(content_security_policy)
        self.policy_name = b"content-security-policy" + (b"-report-only" if report_only else b"")
        self.has_nonce = NONCE in self.policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        policy = self.policy
        if self.has_nonce:
            # CSP3 §7.1: at least 128 bits, by a cryptographically secure generator, new for each response.
            nonce = scope[NONCE_KEY] = secrets.token_urlsafe(18)
            policy = policy.replace(NONCE, nonce)
        # RFC 6797 §7.2: never over plain http.
        hsts = self.hsts if scope.get("scheme") in ("https", "wss") else None

        async def send_with_fields(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = self._add(list(message.get("headers", ())), message["status"], hsts, policy)
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, send_with_fields)

    def _add(
        self, headers: list[tuple[bytes, bytes]], status: int, hsts: bytes | None, policy: str
    ) -> list[tuple[bytes, bytes]]:
        there = {name.lower() for name, _ in headers}
        # CSP2 §7.7: frame-ancestors is what counts, where the application has its own.
        own_frames = any(
            name.lower() == b"content-security-policy" and b"frame-ancestors" in value.lower()
            for name, value in headers
        )
        if own_frames:
            there.add(b"x-frame-options")
        headers += [field for field in self.fields if field[0] not in there]
        if hsts is not None and b"strict-transport-security" not in there:
            headers.append((b"strict-transport-security", hsts))
        # RFC 9111 §3.2: a 304's fields replace those of the stored response, whose text has another nonce.
        if policy and self.policy_name not in there and not (status == 304 and self.has_nonce):
            headers.append((self.policy_name, policy.encode("ascii")))
        return headers

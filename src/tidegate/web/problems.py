"""Errors as problem details (RFC 9457): an exception, its response, and handlers that answer every error so.

What the client is told is what was written for it: an unexpected error is a status and its reason phrase; its
message, its class and its traceback stay here.
"""

from __future__ import annotations

import http
import json
import re
from typing import TYPE_CHECKING, Any

from msgspec import ValidationError

from tidegate.web._sendtracker import tracked
from tidegate.web.exceptions import KNOWN_STATUSES, HTTPException
from tidegate.web.requests import Request
from tidegate.web.responses import JSONResponse, Response
from tidegate.web.types import ASGIApp, ExceptionHandler, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


__all__ = ["Problem", "ProblemMiddleware", "ProblemResponse", "problem_handlers", "validation_problem"]

BLANK = "about:blank"
OWN_MEMBERS = frozenset(["type", "title", "status", "detail", "instance"])
MEMBER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,}")  # §3.2
MAX_ERRORS = 100


class Problem(HTTPException):
    """An error as the client is to see it. Keywords beyond these are extension members (§3.2).

    type: a URI that names the kind of problem, best one with documentation behind it (§3.1.1). title: what kind it
    is, the same each time; for `about:blank` the status' reason phrase (§4.2.1). detail: what went wrong this time.
    instance: a URI that names this occurrence. Raises ValueError for a member's name that not every format can take.
    """

    def __init__(
        self,
        status_code: int,
        detail: str | None = None,
        *,
        type: str = BLANK,
        title: str | None = None,
        instance: str | None = None,
        headers: Mapping[str, str] | None = None,
        **extensions: Any,
    ) -> None:
        super().__init__(status_code, detail, headers)
        for name in extensions:
            if name in OWN_MEMBERS or MEMBER_NAME.fullmatch(name) is None:
                raise ValueError(f"{name!r} cannot be the name of an extension member (RFC 9457 §3.2).")
        self.type = type
        self.title = title if title is not None else reason(status_code)
        self.told = detail
        self.instance = instance
        self.extensions = extensions

    def members(self) -> dict[str, Any]:
        """The object that is sent."""
        members: dict[str, Any] = {"type": self.type}
        if self.title:
            members["title"] = self.title
        members["status"] = self.status_code
        if self.told is not None:
            members["detail"] = self.told
        if self.instance is not None:
            members["instance"] = self.instance
        return members | self.extensions


def reason(status_code: int) -> str:
    return http.HTTPStatus(status_code).phrase if status_code in KNOWN_STATUSES else ""


class ProblemResponse(JSONResponse):
    media_type = "application/problem+json"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.members(), problem.status_code, problem.headers)


def problem_of(error: HTTPException) -> Problem:
    """`error` as a problem of the kind `about:blank`."""
    if isinstance(error, Problem):
        return error
    detail = error.detail if error.detail != reason(error.status_code) else None
    return Problem(error.status_code, detail, headers=error.headers)


def validation_problem(error: Exception) -> Problem:
    """422 with a member `errors`: objects of `detail` and, where it is known, `pointer` (RFC 6901, as in RFC 9457
    §3). From msgspec's errors, from pydantic's, and any other whose text is meant for clients."""
    listed: Iterable[Any]
    errors = getattr(error, "errors", None)
    listed = errors() if callable(errors) else [error]
    told = [told_error(each) for each, _ in zip(listed, range(MAX_ERRORS), strict=False)]
    return Problem(422, "The request's content is not valid.", errors=told)


MSGSPEC_PATH = re.compile(r"(.*) - at `(?:key in )?\$(.*)`", re.DOTALL)
PATH_STEP = re.compile(r"\.([^.\[\]]+)|\[([^\]]*)\]")


def told_error(error: Any) -> dict[str, str]:
    if isinstance(error, dict):  # pydantic's; its `input` and `ctx` are left out
        return {"detail": str(error.get("msg", "")), "pointer": pointer(error.get("loc", ()))}
    match = MSGSPEC_PATH.fullmatch(str(error))
    if match is None:
        return {"detail": str(error)}
    steps = [name or index for name, index in PATH_STEP.findall(match[2])]
    if "..." in steps:  # a key or index that it does not tell
        del steps[steps.index("...") :]
    return {"detail": match[1], "pointer": pointer(steps)}


def pointer(steps: Iterable[Any]) -> str:
    """A JSON pointer as a URI fragment (RFC 6901 §3, §6)."""
    return "#" + "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def problem_handlers(
    validation_errors: tuple[type[Exception], ...] = (ValidationError,),
) -> dict[Any, ExceptionHandler]:
    """What answers every error by a problem, for `exception_handlers` of an application.

    validation_errors: exceptions that say what is wrong with the client's content, answered by `validation_problem`.
    """

    async def http_exception(request: Request[Any], error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code < 200 or error.status_code in (204, 304):  # no content (RFC 9110 §6.4.1)
            return Response(status_code=error.status_code, headers=error.headers)
        return ProblemResponse(problem_of(error))

    async def not_json(request: Request[Any], error: Exception) -> Response:
        return ProblemResponse(Problem(400, "The request's content is not JSON."))

    async def not_valid(request: Request[Any], error: Exception) -> Response:
        return ProblemResponse(validation_problem(error))

    async def unexpected(request: Request[Any], error: Exception) -> Response:
        return ProblemResponse(Problem(500))

    handlers: dict[Any, ExceptionHandler] = {HTTPException: http_exception, json.JSONDecodeError: not_json}
    handlers |= dict.fromkeys(validation_errors, not_valid)
    handlers[Exception] = unexpected
    return handlers


class ProblemMiddleware:
    """The handlers of `problem_handlers` around any ASGI application. An unexpected error is raised again, once it
    is answered, so that the server logs it."""

    def __init__(
        self, app: ASGIApp, validation_errors: tuple[type[Exception], ...] = (ValidationError,)
    ) -> None:
        self.app = app
        self.handlers = problem_handlers(validation_errors)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        tracker = tracked(send)
        try:
            await self.app(scope, receive, tracker)
            return
        except Exception as raised:
            if tracker.started:
                raise
            error = raised
        handled: Any = next(self.handlers[cls] for cls in type(error).__mro__ if cls in self.handlers)
        try:
            response = await handled(Request(scope), error)
            await response(scope, receive, tracker)
            if handled is self.handlers[Exception]:
                raise error
        finally:
            del error  # its traceback holds this frame

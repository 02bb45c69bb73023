"""Jinja2 templates as responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidegate.web.background import BackgroundTask
from tidegate.web.requests import Request
from tidegate.web.responses import HTMLResponse
from tidegate.web.types import Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from tidegate.web.datastructures import URL

try:
    import jinja2
    from jinja2 import pass_context
except ImportError:
    raise ImportError(
        "tidegate.web.templating needs the `jinja2` package: pip install tidegate[web]"
    ) from None


class _TemplateResponse(HTMLResponse):
    def __init__(
        self,
        template: Any,
        context: dict[str, Any],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        self.template = template
        self.context = context
        super().__init__(template.render(context), status_code, headers, media_type, background)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = self.context.get("request", {})
        if "http.response.debug" in request.get("extensions", {}):
            info = {"template": self.template, "context": self.context}
            await send({"type": "http.response.debug", "info": info})
        await super().__call__(scope, receive, send)


class Jinja2Templates:
    """Templates of one or more directories, or of an environment of yours. Without one, HTML is escaped
    everywhere.

    Templates have `request`, what the context processors give, and `url_for`.
    """

    def __init__(
        self,
        directory: str | PathLike[str] | Sequence[str | PathLike[str]] | None = None,
        *,
        context_processors: list[Callable[[Request[Any]], dict[str, Any]]] | None = None,
        env: jinja2.Environment | None = None,
    ) -> None:
        assert bool(directory) ^ bool(env), "either 'directory' or 'env' arguments must be passed"
        self.context_processors = context_processors or []
        if directory is not None:
            env = jinja2.Environment(loader=jinja2.FileSystemLoader(directory), autoescape=True)
        assert env is not None
        self.env = env

        @pass_context
        def url_for(context: Mapping[str, Any], name: str, /, **path_params: Any) -> URL:
            request: Request[Any] = context["request"]
            return request.url_for(name, **path_params)

        self.env.globals.setdefault("url_for", url_for)

    def get_template(self, name: str) -> jinja2.Template:
        return self.env.get_template(name)

    def TemplateResponse(
        self,
        request: Request[Any],
        name: str,
        context: dict[str, Any] | None = None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
    ) -> _TemplateResponse:
        context = {} if context is None else context
        context.setdefault("request", request)
        for processor in self.context_processors:
            context.update(processor(request))
        return _TemplateResponse(
            self.get_template(name), context, status_code, headers, media_type, background
        )

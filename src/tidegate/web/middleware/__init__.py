"""Middleware: an ASGI application around another. `Middleware` says which class, with which arguments."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, overload

from tidegate.web.types import ASGIApp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tidegate.web.middleware.inline import InlineFunction

P = ParamSpec("P")

__all__ = ["Middleware"]


class _MiddlewareFactory(Protocol[P]):
    def __call__(self, app: ASGIApp, /, *args: P.args, **kwargs: P.kwargs) -> ASGIApp: ...


class Middleware:
    """`cls(app, *args, **kwargs)` to be; `cls` may also be an inline middleware (an async generator
    function)."""

    @overload
    def __init__(self, cls: _MiddlewareFactory[P], *args: P.args, **kwargs: P.kwargs) -> None: ...

    @overload
    def __init__(self, cls: InlineFunction[P], *args: P.args, **kwargs: P.kwargs) -> None: ...

    def __init__(self, cls: Any, *args: Any, **kwargs: Any) -> None:
        self.cls: Any = cls
        self.args = args
        self.kwargs = kwargs

    def __iter__(self) -> Iterator[Any]:
        return iter((self.cls, self.args, self.kwargs))

    def __repr__(self) -> str:
        arguments = [repr(value) for value in self.args]
        arguments += [f"{key}={value!r}" for key, value in self.kwargs.items()]
        name = getattr(self.cls, "__name__", "")
        return f"{self.__class__.__name__}({', '.join([name, *arguments])})"


def wrap(app: ASGIApp, middleware: Sequence[Middleware] | None) -> ASGIApp:
    """`app` inside these middlewares, the first outermost."""
    innermost = app
    for cls, args, kwargs in reversed(middleware or ()):
        if inspect.isasyncgenfunction(cls):
            from tidegate.web.middleware.inline import InlineMiddleware

            if isinstance(app, InlineMiddleware) and app is not innermost:
                app.add_outer(cls, *args, **kwargs)
            else:
                app = InlineMiddleware(app, cls, *args, **kwargs)
        else:
            factory: Callable[..., ASGIApp] = cls
            app = factory(app, *args, **kwargs)
    return app

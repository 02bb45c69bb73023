"""tidegate.server.loader: applications found, faults told apart, interfaces recognised."""

import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tidegate.server.loader import LoadError, call_factory, detect_interface, load_application


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Callable[[str, str], None]]:
    """Write a module below `tmp_path`; what was imported from there is forgotten at the end."""
    path, modules = list(sys.path), set(sys.modules)

    def write(name: str, source: str) -> None:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(source, encoding="utf-8")

    yield write
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def fault(import_string: str, tmp_path: Path, factory: bool = False) -> LoadError:
    with pytest.raises(LoadError) as caught:
        load_application(import_string, str(tmp_path), factory)
    assert "\n" not in caught.value.message
    return caught.value


def test_an_attribute_of_a_module(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write("loaded_a.py", "class Site:\n    async def app(scope, receive, send): ...\n")
    app = load_application("loaded_a:Site.app", str(tmp_path))
    assert app.__qualname__ == "Site.app"
    assert sys.path[0] == str(tmp_path)
    load_application("loaded_a:Site.app", str(tmp_path))
    assert sys.path.count(str(tmp_path)) == 1


def test_a_module_of_a_package(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write("loaded_package/__init__.py", "")
    write("loaded_package/asgi.py", "async def app(scope, receive, send): ...")
    assert callable(load_application("loaded_package.asgi:app", str(tmp_path)))
    error = fault("loaded_package.agsi:app", tmp_path)
    assert error.message == (
        'there is no module "loaded_package.agsi" in the package "loaded_package": did you mean "asgi"?'
    )


def test_a_factory(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write(
        "loaded_b.py", "async def app(scope, receive, send): ...\ndef create_app(debug=False): return app\n"
    )
    assert load_application("loaded_b:create_app", str(tmp_path), True).__name__ == "app"


@pytest.mark.parametrize(
    ("import_string", "message"),
    [
        ("loaded_c", '"loaded_c" is not module:attribute: give both, such as main:app'),
        (":app", '":app" is not module:attribute'),
        ("laoded_c:app", 'there is no module "laoded_c" in .*: did you mean "loaded_c"?'),
        ("zzzz:app", 'there is no module "zzzz" in .*: check the name, or give its directory as --app-dir'),
        ("loaded_c.app:app", '"loaded_c" is a module, not a package: there is no "loaded_c.app" in it'),
        ("loaded_c:ap", '"loaded_c" has no attribute "ap": did you mean "app"?'),
        ("loaded_c:app.zzzz", '"loaded_c:app" has no attribute "zzzz": check the name'),
        ("loaded_c:number", '"loaded_c:number" is of type int, not an application: it is not callable'),
        (
            "loaded_c:create",
            '"loaded_c:create" takes no arguments: give --factory if it makes the application',
        ),
    ],
)
def test_what_is_not_there(write, tmp_path: Path, import_string: str, message: str) -> None:  # type: ignore[no-untyped-def]
    write("loaded_c.py", "number = 1\nasync def app(scope, receive, send): ...\ndef create(): return app\n")
    error = fault(import_string, tmp_path)
    assert __import__("re").match(message, error.message), error.message
    assert error.traceback is None


@pytest.mark.parametrize(
    ("source", "message", "shown"),
    [
        ("import zzzz", '"loaded_d" needs "zzzz", which is not installed', "No module named 'zzzz'"),
        ("import zzzz.y", '"loaded_d" needs "zzzz", which is not installed', "No module named 'zzzz'"),
        (
            "from os import zzzz",
            '"loaded_d" raised ImportError when it was imported',
            "cannot import name 'zzzz'",
        ),
        ("def f(:\n  pass", '"loaded_d" has a syntax error', "def f(:"),
        ("1 / 0", '"loaded_d" raised ZeroDivisionError when it was imported', "1 / 0"),
        ("exit(7)", '"loaded_d" called for an exit (status 7) when it was imported', "exit(7)"),
        ("raise ModuleNotFoundError('x')", '"loaded_d" needs "None"', "ModuleNotFoundError: x"),
    ],
)
def test_what_raises_at_import(write, tmp_path, source: str, message: str, shown: str) -> None:  # type: ignore[no-untyped-def]
    write("loaded_d.py", source)
    error = fault("loaded_d:app", tmp_path)
    assert error.message.startswith(message)
    assert error.traceback is not None
    assert shown in error.traceback
    assert "loaded_d.py" in error.traceback
    assert "importlib" not in error.traceback
    assert "loader.py" not in error.traceback


def test_an_import_error_two_modules_deep_is_shown_where_it_is(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write(
        "loaded_e.py", "try:\n    import loaded_f\nexcept ValueError as e:\n    raise KeyError('x') from e\n"
    )
    write("loaded_f.py", "raise ValueError('first')")
    error = fault("loaded_e:app", tmp_path)
    assert error.traceback is not None
    assert "ValueError: first" in error.traceback
    assert error.traceback.index("loaded_f.py") < error.traceback.index("KeyError: 'x'")
    assert "importlib" not in error.traceback


def test_ctrl_c_at_import_is_not_the_applications_fault(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write("loaded_g.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_application("loaded_g:app", str(tmp_path))


def interrupted() -> None:
    raise KeyboardInterrupt


async def coroutine_factory() -> None: ...


def needy(settings: object) -> None: ...


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (needy, "can't be called as a factory, without arguments: missing a required argument: 'settings'"),
        (lambda: 1 / 0, '"it" raised ZeroDivisionError when it was called'),
        (lambda: sys.exit(1), '"it" raised SystemExit when it was called'),
        (lambda: 7, '"it" returned int, not an application: it is not callable'),
        (coroutine_factory, '"it" is a coroutine function: take --factory away'),
        (dict, '"it" returned dict, not an application'),  # has no signature
    ],
)
def test_a_factory_that_makes_nothing(factory: Callable[[], Any], message: str) -> None:
    with pytest.raises(LoadError, match=message):
        call_factory(factory, "it")
    with pytest.raises(KeyboardInterrupt):
        call_factory(interrupted, "it")


async def asgi3(scope: Any, receive: Any, send: Any) -> None: ...


class ASGI3Object:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class ASGI3Endpoint:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...
    def __await__(self) -> Any: ...


def asgi2(scope: Any) -> Any: ...


class ASGI2Class:
    def __init__(self, scope: Any) -> None: ...
    async def __call__(self, receive: Any, send: Any) -> None: ...


def wsgi(environ: Any, start_response: Any) -> Any: ...


class WSGIObject:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class WSGIClass:
    def __init__(self, environ: Any, start_response: Any) -> None: ...
    def __iter__(self) -> Any: ...


@functools.wraps(wsgi)
def wrapped_wsgi(*arguments: Any) -> Any: ...


@pytest.mark.parametrize(
    ("application", "interface"),
    [
        (asgi3, "asgi3"), (ASGI3Object(), "asgi3"), (ASGI3Endpoint, "asgi3"), (lambda *a: None, "asgi3"),
        (functools.partial(asgi3), "asgi3"), (lambda scope, receive=None, send=None: None, "asgi3"),
        (lambda a, b, c, d: None, "asgi3"), (dict, "asgi3"),
        (asgi2, "asgi2"), (ASGI2Class, "asgi2"),
        (wsgi, "wsgi"), (WSGIObject(), "wsgi"), (WSGIClass, "wsgi"), (WSGIObject().__call__, "wsgi"),
        (wrapped_wsgi, "wsgi"), (functools.partial(lambda x, e, s: None, 1), "wsgi"),
    ],
)  # fmt: skip
def test_interface(application: Any, interface: str) -> None:
    assert detect_interface(application) == interface

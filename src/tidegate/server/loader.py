"""The application: found by its import string, and which interface it speaks."""

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

from tidegate.config.option import did_you_mean

Interface = Literal["asgi3", "asgi2", "wsgi"]

# Frames of these say nothing about the application.
OURS: Final = (
    os.path.dirname(os.path.dirname(__file__)),
    os.path.dirname(importlib.__file__),
    "<frozen importlib",
)


class LoadError(Exception):
    """The application can't be loaded. `message` is one line with the fix; `traceback` the application's own.

    `traceback` is None where the application's code did not raise.
    """

    def __init__(self, message: str, traceback: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.traceback = traceback


def load_application(import_string: str, app_dir: str = ".", factory: bool = False) -> Any:
    """The object that `import_string` (module:attribute) names; with `factory`, what it returns when called.

    `app_dir` goes to the front of sys.path. Raises LoadError.
    """
    module_name, _, attributes = import_string.partition(":")
    if not module_name or not attributes:
        raise LoadError(f'"{import_string}" is not module:attribute: give both, such as main:app')
    directory = os.path.abspath(app_dir)
    if directory not in sys.path[:1]:
        sys.path.insert(0, directory)
    found: Any = _import(module_name, directory)
    path = module_name
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            public = [name for name in dir(found) if not name.startswith("_")]
            fix = did_you_mean(attribute, public) or ": check the name"
            raise LoadError(f'"{path}" has no attribute "{attribute}"{fix}') from None
        path = f"{path}:{attribute}" if path == module_name else f"{path}.{attribute}"
    if not callable(found):
        raise LoadError(
            f'"{import_string}" is of type {type(found).__name__}, not an application: it is not callable'
        )
    if factory:
        return call_factory(found, import_string)
    if _takes_nothing(found):
        raise LoadError(f'"{import_string}" takes no arguments: give --factory if it makes the application')
    return found


def call_factory(factory: Callable[[], Any], name: str) -> Any:
    """The application that `factory` makes. Raises LoadError."""
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise LoadError(f'"{name}" can\'t be called as a factory, without arguments: {error}') from None
    except ValueError:  # no signature to be had: the call will tell
        pass
    try:
        application = factory()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise LoadError(
            f'"{name}" raised {_name(error)} when it was called', application_traceback(error)
        ) from error
    if inspect.iscoroutine(application):
        application.close()
        raise LoadError(f'"{name}" is a coroutine function: take --factory away, or make it a plain function')
    if not callable(application):
        raise LoadError(
            f'"{name}" returned {type(application).__name__}, not an application: it is not callable'
        )
    return application


def detect_interface(application: Any) -> Interface:
    """The interface that `application` speaks, by what it can be called with.

    Two positional arguments can only be WSGI's (PEP 3333), one only ASGI 2's; all else is taken for ASGI 3.
    """
    try:
        signature = inspect.signature(application)
    except (TypeError, ValueError):
        return "asgi3"
    if _binds(signature, 3):  # scope, receive, send
        return "asgi3"
    if _binds(signature, 2):  # environ, start_response
        return "wsgi"
    if _binds(signature, 1):  # scope
        return "asgi2"
    return "asgi3"


def application_traceback(error: BaseException) -> str:
    """The traceback of `error`, without the frames of Tidegate and of the import system."""
    told = traceback.TracebackException.from_exception(error)
    _trim(told)
    return "".join(told.format())


def _import(name: str, directory: str) -> Any:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise LoadError(
                f'"{name}" needs "{error.name}", which is not installed', application_traceback(error)
            ) from error
        raise _missing(name, error.name, directory) from None
    except SyntaxError as error:
        raise LoadError(f'"{name}" has a syntax error', application_traceback(error)) from error
    except SystemExit as error:
        raise LoadError(
            f'"{name}" called for an exit (status {error.code!r}) when it was imported',
            application_traceback(error),
        ) from error
    except BaseException as error:
        raise LoadError(
            f'"{name}" raised {_name(error)} when it was imported', application_traceback(error)
        ) from error


def _missing(name: str, missing: str, directory: str) -> LoadError:
    parent, _, last = missing.rpartition(".")
    if parent and not hasattr(sys.modules.get(parent), "__path__"):
        return LoadError(f'"{parent}" is a module, not a package: there is no "{missing}" in it')
    places = [Path(place) for place in sys.modules[parent].__path__] if parent else [Path(directory)]
    names = {
        entry.stem for place in places if place.is_dir() for entry in place.iterdir()
        if entry.suffix == ".py" or (entry / "__init__.py").is_file()
    }  # fmt: skip
    where = f'the package "{parent}"' if parent else directory
    fix = did_you_mean(last, names) or ": check the name, or give its directory as --app-dir"
    return LoadError(f'there is no module "{missing}" in {where}{fix}')


def _takes_nothing(found: Any) -> bool:
    try:
        return not inspect.signature(found).parameters
    except (TypeError, ValueError):
        return False


def _binds(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _name(error: BaseException) -> str:
    return type(error).__name__


def _trim(told: traceback.TracebackException) -> None:
    told.stack[:] = [frame for frame in told.stack if not frame.filename.startswith(OURS)]
    for chained in (told.__cause__, told.__context__, *(told.exceptions or ())):
        if chained is not None:
            _trim(chained)

"""Where Starlette's names are: in our modules, those included that its modules import for themselves."""

import importlib
import pkgutil

import pytest

starlette = pytest.importorskip("starlette")

pytestmark = pytest.mark.filterwarnings("ignore")

TYPES = {"ASGIApp", "CONVERTOR_TYPES", "Lifespan", "Message", "Receive", "Scope", "Send"}
MODULES = [
    module.name.removeprefix("starlette.")
    for module in pkgutil.walk_packages(starlette.__path__, "starlette.")
    if not module.name.rpartition(".")[2].startswith("_")
]
# Renamed, private to Starlette, or of no use to anybody else.
LEFT_OUT = {
    "applications": {"ServerErrorMiddleware", "Starlette"},
    "concurrency": {"StarletteDeprecationWarning"},
    "datastructures": {"Scope", "parse_host_header"},
    "formparsers": {"MultipartPart", "StarletteDeprecationWarning"},
    "middleware.base": {"T"},
    "middleware.body_limit": {"Headers"},
    "middleware.errors": {"HTMLResponse", "Message"},
    "middleware.exceptions": {"wrap_app_handling_exceptions"},
    "middleware.opentelemetry": {"Mount"},
    "requests": {"FormParser", "MultiPartException", "MultiPartParser"},
    "routing": {
        "StarletteDeprecationWarning",
        "is_async_callable",
        "run_in_threadpool",
        "wrap_app_handling_exceptions",
    },
    "templating": {"URL"},
    "testclient": {"WebSocketDisconnect", "is_async_callable"},
}


@pytest.mark.parametrize("name", MODULES)
def test_names(name):
    theirs = importlib.import_module(f"starlette.{name}")
    ours = importlib.import_module(f"tidegate.web.{name}")
    names = {
        key
        for key, value in vars(theirs).items()
        if not key.startswith("_")
        and (key in TYPES or str(getattr(value, "__module__", "")).startswith("starlette"))
    }
    assert {key for key in names if not hasattr(ours, key)} == LEFT_OUT.get(name, set())

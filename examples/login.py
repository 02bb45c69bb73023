"""Sessions and a login: `tidegate --app-dir examples login:app`, then open http://127.0.0.1:8000.

Sessions are in this process; the browser has an id only, and a new one after each login. Other sites' pages cannot log
anybody in or out, and nobody can try many passwords.
"""

import hashlib
import hmac
import secrets

from pages import page, protection

from tidegate.web.applications import Application
from tidegate.web.concurrency import run_in_threadpool
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.csrf import CSRFMiddleware
from tidegate.web.middleware.rate_limit import RateLimitMiddleware
from tidegate.web.middleware.server_sessions import ServerSessionMiddleware, server_session
from tidegate.web.ratelimit import Quota
from tidegate.web.requests import Request
from tidegate.web.responses import RedirectResponse, Response
from tidegate.web.routing import Route
from tidegate.web.sessions import MemoryStore

SALT = secrets.token_bytes(16)


def digest(password: str) -> bytes:
    return hashlib.scrypt(password.encode(), salt=SALT, n=2**14, r=8, p=1)


USERS = {"ann": digest("high tide")}
NOBODY = digest(secrets.token_hex())


async def home(request: Request) -> Response:
    user = request.session.get("user")
    if user is not None:
        request.session["visits"] += 1
    return page(request, "login.html", user=user, visits=request.session.get("visits"))


async def enter(request: Request) -> Response:
    form = await request.form()
    name, password = str(form.get("name", "")), str(form.get("password", ""))
    # As long for a name that nobody has; and in a thread, being slow by design.
    known = hmac.compare_digest(await run_in_threadpool(digest, password), USERS.get(name, NOBODY))
    if not known:
        return page(request, "login.html", 401, error="That is not the name and password of anybody.")
    server_session(request).rotate()
    request.session.update(user=name, visits=0)
    return RedirectResponse(".", 303)


async def leave(request: Request) -> Response:
    request.session.clear()
    return RedirectResponse(".", 303)


few = Middleware(RateLimitMiddleware, Quota(10, window=60), name="login")
app = Application(
    routes=[
        Route("/", home),
        Route("/enter", enter, methods=["POST"], middleware=[few]),
        Route("/leave", leave, methods=["POST"]),
    ],
    middleware=[
        protection,
        Middleware(CSRFMiddleware),
        Middleware(ServerSessionMiddleware, MemoryStore(), idle_timeout=3600),
    ],
)

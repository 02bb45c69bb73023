"""What the examples' pages share: the templates, and the fields that protect who looks at them."""

from pathlib import Path
from typing import Any

from tidegate.web.middleware import Middleware
from tidegate.web.middleware.security_headers import SecurityHeadersMiddleware, csp_nonce
from tidegate.web.requests import Request
from tidegate.web.responses import Response
from tidegate.web.templating import Jinja2Templates

templates = Jinja2Templates(Path(__file__).parent / "templates")

# With a Content-Security-Policy whose nonce only this page's scripts and styles have.
protection = Middleware(SecurityHeadersMiddleware)


def page(request: Request[Any], name: str, status_code: int = 200, **context: Any) -> Response:
    return templates.TemplateResponse(request, name, {"nonce": csp_nonce(request), **context}, status_code)

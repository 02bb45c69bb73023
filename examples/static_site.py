"""A static site: `tidegate --app-dir examples static_site:app`, then open http://127.0.0.1:8000.

`StaticFiles` is an ASGI application, so it is all that is needed. `style.12e81140.css` has a hash in its name:
browsers keep it for a year without asking. Beside each file may lie one of the same name and `.br`, `.zst` or `.gz`,
which is sent to who accepts it.
"""

from pathlib import Path

from tidegate.web.staticfiles import StaticFiles

app = StaticFiles(directory=Path(__file__).parent / "site", html=True, precompressed=True, immutable=True)

"""The web interface: four files, read once, no build step and nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gateway.endpoint import Call, Reply
from gateway.errors import NotFound

_FOLDER: Final = Path(__file__).parent
_INDEX: Final = (_FOLDER / "index.html").read_bytes()
_ASSETS: Final = {
    "app.js": (b"text/javascript; charset=utf-8", (_FOLDER / "app.js").read_bytes()),
    "chart.js": (b"text/javascript; charset=utf-8", (_FOLDER / "chart.js").read_bytes()),
    "style.css": (b"text/css; charset=utf-8", (_FOLDER / "style.css").read_bytes()),
}
_SECURITY_HEADERS: Final = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


async def show_index(call: Call) -> Reply:
    return Reply(200, _INDEX, b"text/html; charset=utf-8", _SECURITY_HEADERS)


async def show_asset(call: Call) -> Reply:
    name = call.path["name"]
    if name not in _ASSETS:
        raise NotFound("NO_SUCH_ROUTE", "There is no such file.")
    content_type, content = _ASSETS[name]
    return Reply(200, content, content_type, _SECURITY_HEADERS)

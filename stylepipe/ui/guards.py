"""Access to the page's server: only for the page itself, in the browser of whoever started it.

The server listens on this machine only. That keeps out neither other sites in the same browser nor
other users of the machine, so every request must carry the secret of this start, address the page,
and come from it.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
        "connect-src 'self'; media-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
_SAFE = ("GET", "HEAD")


class Guards:
    """Wraps the application: refuses strangers, and adds the headers that keep others out."""

    def __init__(self, app: ASGIApp, port: int, token: str, ticket: str = "") -> None:
        """``token``: the secret in the printed address. ``ticket``: another one that is valid once,
        for the command line of the browser, which other users of the machine can read."""
        self._app, self._token, self._ticket = app, token, ticket
        # Cookies are shared by all ports: another page of ours has another cookie.
        self._cookie = f"stylepipe-{port}"
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._refusal(scope)
        await (answer or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """The response to a request that is refused, or is the first; None for all others."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self._hosts:  # a name that another site points here (DNS rebinding)
            return _no(421, "this address is not the page's; open the one that was printed")
        writes = scope["method"] not in _SAFE
        if (origin is not None or writes) and origin != f"http://{host}":
            return _no(403, "this request comes from another page")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return _no(403, "this request comes from another page; type the address instead")
        if scope["path"] == "/" and not writes:
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if self._admits(given):
                entered = RedirectResponse("/", 303)  # without the token, for the history
                entered.set_cookie(
                    self._cookie, self._token, httponly=True, samesite="strict", path="/"
                )
                return entered
        if not _equal(cookie_parser(headers.get("cookie", "")).get(self._cookie, ""), self._token):
            return _no(401, "open the address that stylepipe ui printed: it holds a secret")
        return None

    def _admits(self, given: str) -> bool:
        if self._ticket and _equal(given, self._ticket):
            self._ticket = ""
            return True
        return _equal(given, self._token)


def _equal(text: str, secret: str) -> bool:
    return secrets.compare_digest(text.encode("utf-8", "replace"), secret.encode())


def _no(status: int, sentence: str) -> Response:
    return PlainTextResponse(sentence + "\n", status)

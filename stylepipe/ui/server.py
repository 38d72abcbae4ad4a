"""The page's server: answers the browser's requests from shelf, previews and orders."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from stylepipe.errors import StylepipeError, UsageError, sentence
from stylepipe.stdio import printable
from stylepipe.texts import shown as quoted
from stylepipe.ui import previews
from stylepipe.ui.choice import Choice
from stylepipe.ui.guards import Guards
from stylepipe.ui.shelf import Refused, Shelf
from stylepipe.ui.zip import zipped

if TYPE_CHECKING:
    from stylepipe.ui.studio import Studio

_MOST_JSON = 1 << 20
"""Bytes of a request that is not an upload."""
_PAGE = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
_ACTIONS = ("pause", "resume", "cancel", "remove")


def application(studio: Studio, port: int, token: str, ticket: str = "") -> Guards:
    """The application, behind its guards."""
    desk = _Desk(studio)
    routes = [
        *(Route(path, _page(*what)) for path, what in _PAGE.items()),
        Route("/api/state", desk.state),
        Route("/api/orders", desk.orders),
        Route("/api/orders", desk.order, methods=["POST"]),
        Route("/api/orders/{number:int}/now", desk.now),
        Route("/api/orders/{number:int}/zip", desk.zip),
        Route("/api/orders/{number:int}/results/{index:int}", desk.result),
        Route("/api/orders/{number:int}/results/{index:int}/before", desk.before),
        Route("/api/orders/{number:int}/results/{index:int}/after", desk.after),
        Route("/api/orders/{number:int}/{action}", desk.act, methods=["POST"]),
        Route("/api/look", desk.look, methods=["POST"]),
        Route("/api/styles/{stylizer}/{style}", desk.thumbnail),
        Route("/api/{shelf}", desk.upload, methods=["POST"]),
        Route("/api/{shelf}/{name}", desk.remove, methods=["DELETE"]),
        Route("/api/{shelf}/{name}", desk.small),
    ]
    handlers: Any = {StylepipeError: _refused, ClientDisconnect: _gone}
    handlers |= {OSError: _failed, Exception: _failed}  # the latter with a traceback on stderr
    return Guards(Starlette(routes=routes, exception_handlers=handlers), port, token, ticket)


def _page(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        return Response((files("stylepipe.ui") / name).read_bytes(), media_type=kind)

    return page


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, Refused) else 422
    return JSONResponse({"error": str(error)}, status)


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": sentence(error)}, 500)


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody receives it


class _Desk:
    """Answers requests."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._orders = studio.orders

    async def state(self, request: Request) -> Response:
        """Everything that a page needs at its start."""
        studio = self._studio
        return JSONResponse(
            {
                **studio.catalog,
                "folder": printable(str(studio.folder.absolute())),
                "max_upload": studio.max_upload,
                "photos": [vars(u) for u in studio.photos.uploads()],
                "paintings": [vars(u) for u in studio.paintings.uploads()],
                "orders": self._orders.shown(),
            }
        )

    # -- uploads ------------------------------------------------------------------------------

    async def upload(self, request: Request) -> Response:
        """Save the body as a file while it arrives."""
        shelf = self._shelf(request)
        length = request.headers.get("content-length", "")
        take = await shelf.receive(
            request.query_params.get("name", ""),
            int(length) if length.isdecimal() else None,
            request.stream(),
        )
        return JSONResponse(vars(await run_in_threadpool(take)), 201)

    async def remove(self, request: Request) -> Response:
        """Delete an upload that no order needs."""
        name, shelf = request.path_params["name"], self._shelf(request)
        if self._orders.uses(name, painting=shelf is self._studio.paintings):
            raise Refused(f"{name} is still needed; finish or cancel its orders first", 409)
        await run_in_threadpool(shelf.remove, name)
        return JSONResponse({})

    async def small(self, request: Request) -> Response:
        """The small copy of an upload."""
        path = self._shelf(request).small(request.path_params["name"])
        return FileResponse(path, media_type="image/jpeg")

    def _shelf(self, request: Request) -> Shelf:
        shelves = {"photos": self._studio.photos, "paintings": self._studio.paintings}
        if (name := request.path_params["shelf"]) not in shelves:
            raise Refused(f"there is no {name!r} here", 404)
        return shelves[name]

    # -- looking ------------------------------------------------------------------------------

    async def thumbnail(self, request: Request) -> Response:
        """A bundled style."""
        parts = request.path_params
        make = self._studio.thumbnails.of
        return FileResponse(
            await run_in_threadpool(make, parts["stylizer"], parts["style"]),
            media_type="image/jpeg",
            headers={"Cache-Control": "private, max-age=3600"},
        )

    async def look(self, request: Request) -> Response:
        """What a choice means, and a preview of it: one JSON object per line.

        The first has the controls, the command and the preset; the others are those of
        :class:`stylepipe.ui.previews.Request`, with pictures as data URLs.
        """
        data = await _json(request, "tab", "photo", "names", "choice")
        choice, photo, names = Choice.of(data["choice"]), data["photo"], _names(data["names"])
        if not isinstance(photo, str | None):
            raise UsageError("photo is a name or null")
        studio, loop = self._studio, asyncio.get_running_loop()
        resolved = await run_in_threadpool(studio.resolve, choice)
        inputs = [studio.photos.path(name) for name in names] or [studio.photos.folder]
        output = self._orders.next_output(studio.title(resolved))
        first = {
            "controls": resolved.controls(),
            "command": resolved.command(inputs, output),
            "preset": resolved.preset(),
        }
        news: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        def tell(what: dict[str, Any]) -> None:
            with suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(news.put_nowait, what)

        async def lines() -> AsyncIterator[str]:
            yield _line(first)
            if photo is None:
                return
            asked = previews.Request(str(data["tab"]), resolved, studio.photos.small(photo), tell)
            studio.previews.ask(asked)
            try:
                while True:
                    what = await news.get()
                    ends = not what.keys().isdisjoint(("seconds", "failure", "superseded"))
                    if isinstance(what.get("picture"), bytes):
                        what["picture"] = _data_url(what["picture"])
                    yield _line(what)
                    if ends:
                        return
            finally:
                studio.previews.cancel(asked)

        if photo is not None:
            studio.photos.path(photo)  # refused here, before the response begins
        return StreamingResponse(lines(), media_type="application/x-ndjson")

    # -- orders -------------------------------------------------------------------------------

    async def orders(self, request: Request) -> Response:
        """The queue."""
        return JSONResponse(self._orders.shown())

    async def order(self, request: Request) -> Response:
        """Add to the queue."""
        data = await _json(request, "names", "choice")
        choice, names = Choice.of(data["choice"]), _names(data["names"])

        def add() -> int:
            resolved = self._studio.resolve(choice)
            return self._orders.add(names, choice, self._studio.title(resolved)).number

        return JSONResponse({"number": await run_in_threadpool(add)}, 201)

    async def act(self, request: Request) -> Response:
        """Pause, resume, cancel or remove an order."""
        number, action = request.path_params["number"], request.path_params["action"]
        if action not in _ACTIONS:
            raise Refused(f"an order has no action {quoted(action)}", 404)
        getattr(self._orders, action)(number)
        return JSONResponse(self._orders.shown())

    async def now(self, request: Request) -> Response:
        """The current picture so far."""
        path = self._orders.interim(self._orders.get(request.path_params["number"]).number)
        if not path.is_file():
            raise Refused("there is no picture yet", 404)
        return Response(await run_in_threadpool(path.read_bytes), media_type="image/jpeg")

    async def result(self, request: Request) -> Response:
        """A result, to be saved."""
        _, path = self._result(request)
        if path.is_dir():
            return _archive(path.parent, [path], path.name)
        return FileResponse(path, filename=path.name)

    async def before(self, request: Request) -> Response:
        """The small copy of a result's photo."""
        name, _ = self._result(request)
        return FileResponse(self._studio.photos.small(name), media_type="image/jpeg")

    async def after(self, request: Request) -> Response:
        """A small copy of a result."""
        _, path = self._result(request)
        small = await run_in_threadpool(self._studio.small_result, path)
        return FileResponse(small, media_type="image/jpeg")

    async def zip(self, request: Request) -> Response:
        """All results of an order that are still there."""
        order = self._orders.get(request.path_params["number"])
        made = []
        for index in range(len(order.results)):
            with suppress(Refused):
                made.append(self._orders.result(order.number, index)[1])
        return _archive(self._orders.output(order), made, order.folder)

    def _result(self, request: Request) -> tuple[str, Path]:
        return self._orders.result(request.path_params["number"], request.path_params["index"])


def _archive(root: Path, made: list[Path], name: str) -> Response:
    return StreamingResponse(
        iterate_in_threadpool(zipped(root, made)),
        media_type="application/zip",
        headers={"Content-Disposition": f"attachment; filename*=utf-8''{quote(name)}.zip"},
    )


async def _json(request: Request, *names: str) -> dict[str, Any]:
    """The body, an object with exactly these names. Raises Refused."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise Refused("this request is not JSON", 415)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_JSON:
            raise Refused("this request is too long", 413)
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(f"this request is not JSON: {error}", 400) from error
    if not isinstance(data, dict) or data.keys() != set(names):
        raise Refused(f"this request needs {', '.join(names)}, and nothing else", 400)
    return data


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise UsageError("names are a list of texts")
    return value


def _line(what: dict[str, Any]) -> str:
    return json.dumps(what) + "\n"


def _data_url(picture: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"

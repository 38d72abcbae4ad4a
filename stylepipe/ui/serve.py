"""Serves the page on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from stylepipe.errors import SetupError, sentence
from stylepipe.ui.server import application
from stylepipe.ui.studio import Studio

if TYPE_CHECKING:
    from stylepipe.plugins import Plugins

_HOST = "127.0.0.1"
_PORTS = range(8470, 8490)
"""Tried in turn unless one was requested."""


def serve(
    folder: Path,
    plugins: Plugins,
    machine: dict[str, Any],
    max_upload: int,
    port: int | None,
    browser: bool,
    log: Callable[[str], None],
) -> bool:
    """Serve the page until Ctrl-C. ``machine``, ``max_upload``: as a Studio takes them. Returns
    False if a thread is still painting.

    Raises SetupError if the port is taken, or the folder cannot be used.
    """
    with listening(port) as listener:
        port = listener.getsockname()[1]
        studio = Studio(folder, plugins, machine, max_upload, log)
        token, ticket = secrets.token_urlsafe(24), secrets.token_urlsafe(24) if browser else ""
        address = f"http://{_HOST}:{port}/?token="
        log(f"uploads, queue and results are in {folder.absolute()}")
        log(f"the page: {address}{token}")
        log("Ctrl-C ends it")
        server = uvicorn.Server(
            uvicorn.Config(
                application(studio, port, token, ticket),
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="none",
                timeout_graceful_shutdown=2,
            )
        )
        if browser:
            # The socket is listening already, so the browser may come early. One in the terminal
            # returns when it is closed.
            opened = (f"{address}{ticket}",)
            threading.Thread(target=webbrowser.open, args=opened, daemon=True).start()
        studio.warm_up()
        try:
            with suppress(KeyboardInterrupt):  # which uvicorn raises again at its end
                server.run(sockets=[listener])
        finally:
            over = studio.close()
            if left := studio.orders.left():
                orders = "1 order is" if left == 1 else f"{left} orders are"
                log(f"{orders} not finished; the next start in {folder} continues")
                if not over:
                    log("the picture in hand takes long; it will be painted from the beginning")
    return over


def listening(port: int | None) -> socket.socket:
    """A socket that only this machine can reach. Raises SetupError if the port is taken, or all
    ports that are tried."""
    for number in _PORTS if port is None else [port]:
        listener = socket.socket()
        if os.name == "posix":  # elsewhere it would let two programs listen
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_HOST, number))
            listener.listen()
        except OSError as error:
            listener.close()
            why = sentence(error)
            continue
        return listener
    if port is None:
        port, why = _PORTS[0], "all up to " + str(_PORTS[-1]) + " are taken"
    raise SetupError(f"port {port} cannot be used ({why}); choose another --port")

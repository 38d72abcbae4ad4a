"""Everything behind the page, in one work folder: uploads, previews, the queue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylepipe.errors import SetupError, StylepipeError, sentence
from stylepipe.fingerprints import digest, version
from stylepipe.lock import Lock
from stylepipe.presets import draft
from stylepipe.session import Opener
from stylepipe.ui.catalog import catalog
from stylepipe.ui.choice import Choice, Resolved
from stylepipe.ui.orders import Orders
from stylepipe.ui.previews import Previews, Request
from stylepipe.ui.shelf import SMALL_SIDE, Shelf, jpeg, shown
from stylepipe.ui.thumbnails import Thumbnails, scene

if TYPE_CHECKING:
    from stylepipe.plugins import Plugins


class Studio:
    """Open until :meth:`close`."""

    def __init__(
        self,
        folder: Path,
        plugins: Plugins,
        machine: dict[str, Any],
        max_upload: int,
        log: Callable[[str], None],
    ) -> None:
        """Continue with what is in ``folder``. ``machine``: device, precision and memory, as a
        Session takes them; ``max_upload``: bytes per file.

        Raises SetupError if the folder cannot be used, or another page uses it.
        """
        self.folder, self.max_upload, self._plugins = folder, max_upload, plugins
        self._small = folder / ".small"
        self._looking = threading.Lock()
        try:
            self._lock = Lock(folder / ".page")
        except BlockingIOError:
            raise SetupError(
                f"another stylepipe ui works in {folder}; use its page, or choose another --output"
            ) from None
        except OSError as error:
            raise SetupError(f"cannot work in {folder}: {sentence(error)}") from error
        self._opener = Opener(device="cpu", log=log, damaged=log)
        try:
            readers = draft(plugins).settings().readers
            self._opener.open(readers)
            self.catalog = catalog(plugins, log)
            self._readers = readers
            self.photos = Shelf(folder / "photos", readers, max_upload, log)
            self.paintings = Shelf(folder / "paintings", readers, max_upload, log, stills_only=True)
            self._small.mkdir(exist_ok=True)
            self.orders = Orders(folder, self.resolve, self._inputs, plugins, machine, log)
            self.photos.open()
            self.paintings.open()
            self.previews = Previews(plugins, machine, self._small, log)
            wait = self.previews.wait_until_idle
            self.thumbnails = Thumbnails(self.resolve, plugins, machine, log, wait)
            self.orders.open()
        except BaseException as error:
            self._opener.close()
            self._lock.release()
            if isinstance(error, OSError):
                raise SetupError(f"cannot work in {folder}: {sentence(error)}") from error
            raise

    def warm_up(self) -> None:
        """Load what paints while the user still looks for a photo: the first preview comes at once.

        What goes wrong is left to the first preview, which says so on the page.
        """
        picture = self._small / "first.jpg"
        with suppress(StylepipeError, OSError):
            picture.write_bytes(jpeg(scene(320, 240)))
            ready = Request("", self.resolve(Choice()), picture, lambda news: None)
            self.previews.ask(ready)

    def close(self) -> bool:
        """Stop all work; orders resume with the next start. Returns False if a thread is still
        painting, which only the end of the program stops."""
        over = self.previews.close()
        over = self.orders.close() and over
        if over:  # else they are still in use
            self._opener.close()
            self._lock.release()
        return over

    def resolve(self, choice: Choice) -> Resolved:
        """The choice on top of its preset. Raises UsageError."""
        style = choice.style
        painting = self.paintings.path(style) if style and self.paintings.has(style) else None
        return Resolved.of(choice, self._plugins, painting)

    def title(self, resolved: Resolved) -> str:
        """The title of an order: its style, and the stylizer if that was chosen, or else its
        preset."""
        chosen, style = resolved.choice.stylizer, resolved.controls()["style"]
        words = [Path(style).stem] if style else []
        words += [chosen] if chosen else []
        title = ", ".join(words) or resolved.choice.preset
        return title.replace("-", " ").replace("_", " ").capitalize()

    def small_result(self, path: Path) -> Path:
        """A small copy of a result, a JPEG, made when it is first requested. Raises ItemError."""
        key = digest(str(path), version(path))[:24]
        copy = self._small / f"{key}.jpg"
        with self._looking:
            if not copy.is_file():
                part = copy.with_suffix(".part")
                part.write_bytes(jpeg(shown(path, self._readers, SMALL_SIDE)))
                part.replace(copy)
        return copy

    def _inputs(self, names: Sequence[str]) -> list[Path]:
        return [self.photos.path(name) for name in names]

"""Thumbnails of bundled styles: the same small scene, painted once and kept in the cache."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylepipe.errors import SetupError, sentence
from stylepipe.fingerprints import settings_fingerprint
from stylepipe.session import Session
from stylepipe.ui.choice import Choice
from stylepipe.ui.shelf import jpeg
from stylepipe.weights import cache_folder

if TYPE_CHECKING:
    import numpy as np

    from stylepipe.plugins import Plugins
    from stylepipe.ui.choice import Resolved

_SIZE = 240, 180
"""Width and height, in pixels."""
_PATIENCE = 10.0
"""Seconds that a thumbnail waits for previews."""


class Thumbnails:
    """Paints a style when it is first requested."""

    def __init__(
        self,
        resolve: Callable[[Choice], Resolved],
        plugins: Plugins,
        machine: dict[str, Any],
        log: Callable[[str], None],
        wait: Callable[[float], None],
    ) -> None:
        """``machine``: device, precision and memory, as a Session takes them. ``wait`` returns when
        nothing more urgent is painted, or after so many seconds."""
        self._resolve, self._plugins, self._machine, self._log = resolve, plugins, machine, log
        self._wait = wait
        self._folder = cache_folder() / "thumbnails"
        self._turn = threading.Lock()

    def of(self, stylizer: str, style: str) -> Path:
        """The thumbnail of a style, a JPEG. Raises UsageError for an unknown one, or SetupError."""
        resolved = self._resolve(Choice(stylizer=stylizer, style=style))
        settings = resolved.settings(self._plugins, {})
        path = self._folder / f"{settings_fingerprint(settings, 'auto')[:32]}.jpg"
        with self._turn:
            if not path.is_file():
                self._wait(_PATIENCE)
                with Session(settings, log=self._log, **self._machine) as session:
                    data = jpeg(session.paint(scene(*_SIZE)))
                try:
                    self._folder.mkdir(parents=True, exist_ok=True)
                    part = path.with_suffix(f".{os.getpid()}")
                    part.write_bytes(data)
                    part.replace(path)
                except OSError as error:
                    raise SetupError(f"cannot write {path}: {sentence(error)}") from error
        return path


def scene(width: int, height: int) -> np.ndarray:
    """Hills by a lake under an evening sun: HxWx3 of uint8."""
    import cv2
    import numpy as np

    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x / width, y / height
    low, high = np.array([[250, 196, 140], [74, 128, 190]], np.float32)
    picture = high + (low - high) * np.clip(y / 0.55, 0, 1)[..., None]
    picture[np.hypot((x - 0.7) * width / height, y - 0.3) < 0.09] = (255, 240, 200)
    for base, swing, pace, shift, color in (
        (0.50, 0.09, 5.0, 0.4, (110, 130, 150)),
        (0.58, 0.06, 8.0, 2.0, (76, 104, 96)),
    ):
        ridge = base - swing * np.sin(pace * x + shift) - 0.02 * np.sin(29 * x + shift)
        picture[(y > ridge) & (y < 0.66)] = color
    water = y >= 0.66
    glitter = 18 * np.sin(90 * y + 6 * np.sin(14 * x)) * water
    picture[water] = (96, 134, 164)
    picture += glitter[..., None]
    picture[y > 0.86 + 0.04 * np.sin(7 * x)] = (64, 84, 50)
    trunk = (abs(x - 0.2) < 0.018) & (y > 0.45) & (y < 0.9)
    picture[trunk] = (70, 48, 36)
    picture[np.hypot((x - 0.2) * width / height, (y - 0.36) * 1.1) < 0.19] = (58, 96, 54)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.8)
    picture += np.random.default_rng(0).normal(0, 5, picture.shape)
    pixels: np.ndarray = np.clip(picture, 0, 255).astype(np.uint8)
    return pixels

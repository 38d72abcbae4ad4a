"""Where live pictures are shown: a window, or a camera that other programs can choose."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from stylepipe.errors import SetupError

if TYPE_CHECKING:
    import numpy as np

_TITLE = "stylepipe"
_ESCAPE = 27


class Screen(Protocol):
    """Something that shows pictures."""

    def show(self, picture: np.ndarray, title: str) -> None:
        """Show HxWx3 uint8 RGB."""

    def key(self) -> str:
        """The key that was pressed since the last call: a letter, a space, or empty; ``q`` for
        Escape and for a window that was closed."""

    def close(self) -> None:
        """Take it away."""


def no_window() -> str:
    """Why no window can be shown here, in a few words; empty if one can."""
    import cv2

    built = (line.split() for line in cv2.getBuildInformation().splitlines())
    if ["GUI:", "NONE"] in built:
        return "this OpenCV was built without windows (install opencv-python, not -headless)"
    # Qt ends the process where there is no display, so it is never asked.
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return "there is no display"
    return ""


class Window:
    """A window by OpenCV."""

    def __init__(self) -> None:
        """Raises SetupError where there can be none."""
        import cv2

        if why := no_window():
            raise SetupError(f"{why}: pass --record FILE, or --virtual-camera")
        try:
            cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:
            raise SetupError(
                f"no window can be opened ({' '.join(str(error).split())}): pass --record FILE, or "
                "--virtual-camera"
            ) from error
        self._sized: tuple[int, ...] = ()

    def show(self, picture: np.ndarray, title: str) -> None:
        import cv2

        if self._is_closed():
            return  # the next key says so
        if picture.shape != self._sized:
            self._sized = picture.shape
            cv2.resizeWindow(_TITLE, picture.shape[1], picture.shape[0])
        cv2.setWindowTitle(_TITLE, title)
        cv2.imshow(_TITLE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def key(self) -> str:
        import cv2

        code = cv2.waitKey(1) & 0xFF
        if code == _ESCAPE or self._is_closed():
            return "q"
        return chr(code) if code < 128 else ""

    def close(self) -> None:
        import cv2

        with suppress(cv2.error):  # the user has closed it
            cv2.destroyWindow(_TITLE)

    def _is_closed(self) -> bool:
        """Whether the user has closed the window."""
        import cv2

        return bool(self._sized) and cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1


class VirtualCamera:
    """A camera that video calls can choose, by pyvirtualcam."""

    def __init__(self, rate: float) -> None:
        """``rate``: pictures a second that are promised. Raises SetupError without pyvirtualcam."""
        try:
            import pyvirtualcam
        except ImportError as error:
            raise SetupError(
                "--virtual-camera needs pyvirtualcam: python -m pip install 'stylepipe[live]'"
            ) from error
        self._make, self._rate = pyvirtualcam.Camera, rate
        self._camera: Any = None
        self._size: tuple[int, int] | None = None

    def show(self, picture: np.ndarray, title: str) -> None:
        """Raises SetupError where the system has no place for such a camera."""
        import cv2

        if self._camera is None:
            height, width = picture.shape[:2]
            self._size = width, height
            try:
                self._camera = self._make(width=width, height=height, fps=self._rate)
            except (RuntimeError, ValueError, OSError) as error:
                raise SetupError(
                    f"no virtual camera can be made ({' '.join(str(error).split())}); on Linux it "
                    "needs the module v4l2loopback, elsewhere OBS Studio"
                ) from error
        assert self._size is not None
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)
        self._camera.send(picture)

    def key(self) -> str:
        return ""

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()

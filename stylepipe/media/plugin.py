"""The built-in readers and writers, handed over through the same door as any plugin's."""

from __future__ import annotations

from stylepipe.components import Component
from stylepipe.hookspecs import hookimpl
from stylepipe.media.frames import FramesReader
from stylepipe.media.frames_write import FramesWriter
from stylepipe.media.images import ImageReader, ImageWriter
from stylepipe.media.video import VideoReader, VideoWriter


@hookimpl
def stylepipe_components() -> list[type[Component]]:
    """Pictures come first: a file that both could read is a picture unless it moves.

    Films come last: what no writer has the suffix of becomes one.
    """
    return [ImageReader, ImageWriter, FramesReader, FramesWriter, VideoReader, VideoWriter]

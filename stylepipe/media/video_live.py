"""Writing a film that plays whatever becomes of the program: in pieces, each complete in itself."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from stylepipe.components import Sink
from stylepipe.media.containers import FILMS
from stylepipe.media.pyav import any_text
from stylepipe.media.video_color import FromRGB
from stylepipe.media.video_encode import Encoding
from stylepipe.media.video_write import in_a_sentence
from stylepipe.types import Frame

PIECE = 1
"""Seconds of film after which a piece is complete, and written."""


class LiveSink(Sink):
    """A film without sound, being written into fragments of MP4 or clusters of Matroska.

    Nothing of it is kept elsewhere, and it cannot be resumed.
    """

    def __init__(self, path: Path, encoding: Encoding, clock: Fraction) -> None:
        """``clock``: seconds of the unit of time, in which frames are written. Raises ItemError."""
        import av

        film = FILMS[path.suffix.lower()]
        options = {"fflags": "+bitexact", "flush_packets": "1"}
        if film.iso_media:
            options["movflags"] = "+empty_moov+default_base_moof+frag_keyframe"
            options["frag_duration"] = str(PIECE * 1_000_000)
        else:
            options["cluster_time_limit"] = str(PIECE * 1000)
        with in_a_sentence():
            self._out: Any = av.open(
                f"file:{path}", "w", format=film.format, container_options=options, **any_text()
            )
            self._stream = encoding.add_to(self._out)
            self._stream.time_base = self._stream.codec_context.time_base = clock
            # Pictures are shown in the order in which they come: none waits for a later one.
            self._stream.codec_context.max_b_frames = 0
            self._stream.codec_context.gop_size = max(1, round(PIECE * Fraction(encoding.rate)))
        self._convert = FromRGB(encoding.color, encoding.pix_fmt, encoding.white)
        self._clock = clock

    def write(self, frame: Frame) -> None:
        """Encode the next frame. Raises ItemError."""
        picture = self._convert(frame.pixels, frame.alpha)
        assert frame.time is not None  # a recording has one for each picture
        picture.pts, picture.time_base = round(frame.time / self._clock), self._clock
        with in_a_sentence():
            self._out.mux(self._stream.encode(picture))

    def close(self) -> None:
        """Encode what is left and end the file. Raises ItemError."""
        with in_a_sentence():
            self._out.mux(self._stream.encode(None))
            self._out.close()

    def abort(self) -> None:
        """Leave the file as it is, which plays."""
        self._out.close()

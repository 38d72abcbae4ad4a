"""The values that flow through the pipeline. Nothing here imports torch or a codec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from stylepipe.patterns import frame_number

if TYPE_CHECKING:
    import numpy as np
    import torch

Kind = Literal["image", "video"]
MAX_PIXELS = 300_000_000
"""Most pixels of a picture of any kind, unless the user sets another limit."""


@dataclass(frozen=True)
class Item:
    """One input: the unit of work, of failure, of resume and of output path."""

    index: int
    """Position among the inputs of the job, from 0."""
    source: Path
    """The input file; or the folder, or the pattern of names (``shots/fr%04d.png``), that a reader
    claims as one input."""
    root: Path
    """The folder given on the command line under which it was found; its parent if named alone."""
    output: Path
    """Where the result goes under its final name."""
    folder: str = ""
    """The writer's pattern, such as ``.png/``, where the result is a folder; else empty."""
    page: int = 0
    """Which page of the source it is, from 1; 0 where the source is one item."""
    frame_names: str = ""
    """Pattern of the names in a result that is a folder, ``%05d.png``; empty: the writer's own."""

    @property
    def pattern(self) -> str:
        """What a writer of the result has among its patterns."""
        return self.folder or self.output.suffix.lower()

    @property
    def relative(self) -> Path:
        """Path of the source below its input root."""
        return self.source.relative_to(self.root)


@dataclass(frozen=True)
class Info:
    """What a reader knows of a file before it decodes a frame."""

    kind: Kind
    format: str
    """Short lower-case name of the file format: ``jpeg``, ``png``, ``mov,mp4,m4a`` ..."""
    width: int
    height: int
    """Size in pixels of the upright picture (orientation already applied)."""
    frames: int | None = 1
    """Number of frames; None where the container does not say."""
    depth: int = 8
    """Bits a channel of the decoded frames: 8 or 16."""
    alpha: bool = False
    rate: Fraction | None = None
    """Average frames a second, for video."""
    duration: float | None = None
    """Seconds, for video."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the reader wants shown by ``stylepipe probe`` or passed to a writer."""
    chosen: tuple[int, ...] | None = None
    """Numbers of the frames that are painted, from 0, where the job takes only some."""

    def enlarged(self, scale: int) -> Info:
        """The same of pictures ``scale`` times as wide and high."""
        return replace(self, width=scale * self.width, height=scale * self.height)


@dataclass(frozen=True)
class Fate:
    """What becomes of a part of a source in its result, as ``stylepipe probe`` shows it."""

    part: str
    """What it is, in a few words: ``audio aac (eng)``."""
    action: Literal["painted", "copied", "converted", "kept", "left out"]
    words: str = ""
    """How, or why."""
    stream: int | None = None
    """Its index, where it is a stream."""


class Text(NamedTuple):
    """A note in a file, as PNG has them; comments of JPEG and GIF have the keyword ``Comment``."""

    keyword: str
    text: str
    language: str = ""
    translated: str = ""
    """The keyword in that language."""


@dataclass(frozen=True)
class Original:
    """Where a reader converted the pixels to sRGB: what they were, so that it can be undone."""

    icc: bytes
    """The profile of the file."""
    pixels: np.ndarray = field(compare=False)
    """HxWx3, upright, in the colors of that profile."""


@dataclass(frozen=True)
class Meta:
    """Metadata to be written back. What was applied to the pixels is already gone from it."""

    exif: bytes | None = None
    """EXIF block (the TIFF structure, without ``Exif\\0\\0`` before it), orientation removed."""
    icc: bytes | None = None
    """ICC profile that describes the pixels as they are now."""
    original: Original | None = None
    """The colors before the reader converted them; None if it did not."""
    xmp: bytes | None = None
    xmp_extended: bytes | None = None
    """A second packet, of what did not fit into the first, as JPEG has it."""
    iptc: bytes | None = None
    """IPTC datasets: captions, bylines, keywords."""
    texts: tuple[Text, ...] = ()
    dpi: tuple[float, float] | None = None
    lost: tuple[str, ...] = ()
    """What the file had and the reader could not take over, in words; the reader reports it."""


@dataclass
class Frame:
    """One upright picture of an item, in CPU memory."""

    pixels: np.ndarray
    """HxWx3, RGB, uint8 or uint16, C-contiguous."""
    alpha: np.ndarray | None = None
    """HxW, the dtype of ``pixels``; 0 is transparent."""
    index: int = 0
    """Position in the item, from 0."""
    pts: int | None = None
    """Presentation time in units of ``time_base``, as the source has it."""
    time_base: Fraction | None = None
    """Seconds a unit of ``pts``; None where the frame has no time."""
    duration: int | None = None
    """How long the frame stays, in units of ``time_base``, where the source says."""
    meta: Meta = field(default_factory=Meta)
    name: str = ""
    """Of a numbered picture, its name without suffix; empty where it has no file of its own."""

    @property
    def nbytes(self) -> int:
        """Bytes of CPU memory held."""
        original = self.meta.original
        arrays = (self.pixels, self.alpha, original.pixels if original else None)
        return sum(array.nbytes for array in arrays if array is not None)

    @property
    def number(self) -> int:
        """As users count frames: the number in the name of a numbered picture, else from 1."""
        return frame_number(self.index, self.name)

    @property
    def time(self) -> Fraction | None:
        """When it is shown, in seconds by the source's clock; None where it has no time."""
        return self.pts * self.time_base if self.pts is not None and self.time_base else None

    @property
    def white(self) -> int:
        """The integer that means 1.0: 255 or 65535."""
        return 255 if self.pixels.dtype.itemsize == 1 else 65535


@dataclass
class Guide:
    """What the previous frame and its result say about the present one (video only).

    All tensors are float32, of the frame's size, on the device of the batch.
    """

    warped: torch.Tensor
    """N3HW in [0, 1]: the previous result moved along the optical flow."""
    trust: torch.Tensor
    """N1HW in [0, 1]: 1 where the flow can be trusted, 0 where the pixel was hidden before."""
    flow: torch.Tensor | None = None
    """N2HW: for each pixel the way (dx, dy), in pixels, to where it was in the previous frame."""
    source: torch.Tensor | None = None
    """N3HW in [0, 1]: the previous source frame. For stylizers that use guides themselves."""
    result: torch.Tensor | None = None
    """N3HW in [0, 1]: the previous result as it was written, not moved. As ``source``."""


@dataclass
class Painted:
    """A frame and what was made of it, before masks are applied."""

    frame: Frame
    """The source; enlarged where the stylizer's ``Caps.scale`` is not 1."""
    pixels: np.ndarray
    """HxWx3, RGB, the dtype of the frame's pixels."""
    mask: np.ndarray | None = None
    """HxW in [0, 1], by which the engine lays ``pixels`` over the source; None: everywhere."""
    matte: np.ndarray | None = None
    """HxW in [0, 1]: how much of each pixel belongs to the painted side, where the masker's soft
    edges mean that; else None."""


@dataclass
class Batch:
    """Frames of one item and one shape, on the device."""

    images: torch.Tensor
    """N3HW, float32, RGB in [0, 1]."""
    item: Item
    masks: torch.Tensor | None = None
    """N1HW in [0, 1], 1 where the picture is to be painted; None means everywhere. With regions
    NKHW: how much of each pixel belongs to each region, 1 in all."""
    guide: Guide | None = None
    first: int = 0
    """Position of the first of these frames in the item, from 0."""
    regions: tuple[str, ...] = ()
    """Names of the planes of ``masks``, in the order of the styles; empty without regions."""
    time: Fraction | None = None
    """When the first of them is shown, in seconds by the source's clock; None for photos."""


Status = Literal["done", "skipped", "failed"]


@dataclass(frozen=True)
class Outcome:
    """How an item ended."""

    status: Status
    """``done``, ``skipped`` or ``failed``."""
    message: str = ""
    """One sentence; why it failed or was skipped."""
    frames: int = 0
    """How many were painted and written, in this run."""
    seconds: float = 0.0
    """From opening the file to closing its result."""
    damage: str = ""
    """What is torn or missing in the source, in one sentence; empty if it is whole."""

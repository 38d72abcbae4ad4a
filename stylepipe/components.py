"""The base classes a plugin derives from, one for each stage of the work.

A component is made cheaply from its options, opened once per job and closed always. All work is
done between :meth:`Component.open` and :meth:`Component.close`, in the thread the method names.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from stylepipe.checks import checked_tensor, named
from stylepipe.damage import Damaged, refuse
from stylepipe.errors import ItemError, UsageError, suggest
from stylepipe.options import Options, option
from stylepipe.paths import user_path
from stylepipe.types import MAX_PIXELS, Batch, Fate, Frame, Guide, Info, Item, Kind, Painted

if TYPE_CHECKING:
    import numpy as np
    import torch

    from stylepipe.device import Device


PaintFrame = Callable[[Frame, Guide | None], "np.ndarray"]
Warmup = int | Literal["shot"]


def _no_progress(share: float, text: str) -> None:
    """Shows nothing."""


def _no_stage(text: str) -> None:
    """Shows nothing."""


def _no_frames(item: Item, start: int = 0) -> Iterator[Frame]:
    """Stands for the frames of an item where there is no job that reads it."""
    raise ItemError(f"{item.source.name} is read by no job: its other frames are not at hand")


@dataclass(frozen=True)
class Context:
    """What the engine passes to a component when it opens it."""

    device: Device
    """Where tensors live, and the number type that is fast there."""
    memory: int
    """Bytes of working memory the job may use."""
    log: Callable[[str], None]
    """Shows the user one line."""
    progress: Callable[[float, str], None] = _no_progress
    """For minutes of work on one picture: shows the share done, 0..1, and a few words."""
    stage: Callable[[str], None] = _no_stage
    """For work that paints pictures more than once: shows a few words, such as ``pass 2 of 3, frame
    7 of 24``, before those of :attr:`progress` until the next stage; ``""`` ends them."""
    damaged: Damaged = refuse
    """For readers: reports what is torn or missing in the file, in words to follow its name.

    Call it once for each damage, while probing or yielding frames. It returns where the rest of the
    file is to be painted (``--on-damage warn``), and raises DamageError where not; do not catch
    that. For a file that cannot be decoded at all, raise ItemError instead.
    """
    max_pixels: int = MAX_PIXELS
    """Most pixels allowed in a picture that is not an input: a mask, a painting, a map."""
    frames: Callable[..., Iterator[Frame]] = _no_frames
    """``frames(item, start=0)`` reads an item once more, from frame number ``start``: the frames
    as they are painted, with those that are yet to come. For stylizers and maskers that look
    ahead. Close the iterator if you leave it early. Raises ItemError."""
    bars: bool = True
    """Whether trainings may show a progress bar: not with ``--quiet``."""


class Component:
    """Base of all components. The first line of a class's docstring is its summary."""

    name: ClassVar[str]
    """What users call it: lower case, words joined by ``-``."""
    Options: ClassVar[type[Options]] = Options
    plugin: ClassVar[str] = ""
    """The plugin it comes from, for messages; set at registration."""

    def __init__(self, options: Any) -> None:
        """Keep the options; cheap, nothing is loaded."""
        self.options = options

    def files(self) -> Iterable[Path]:
        """Files and folders that results depend on: when one changes, results are made anew.

        By default those named by options of type Path that affect the output. Called before
        :meth:`open`.
        """
        specs = type(self.options).specs()
        values = [getattr(self.options, spec.name) for spec in specs if spec.affects_output]
        several = [v if isinstance(v, tuple) else (v,) for v in values]
        return [path for paths in several for path in paths if isinstance(path, Path)]

    def check_item(self, item: Item, info: Info) -> None:
        """Check quickly that the item can be done. Raises ItemError; NoMask for a missing mask.

        Called for masker, temporal method, flow, stylizer and writer before the item is read, in
        the reading thread; where ``strength`` is 0, for the writer alone. ``--dry-run`` calls it,
        too, and opens none of them. Must not import torch or write anything.
        """

    def rehearse(self) -> None:
        """Called in a dry run, instead of :meth:`open`, to check what that would refuse or fetch.

        Raises UsageError or SetupError. Must import torch only where options ask for what nothing
        else can judge, and must not fetch or write anything.
        """

    def open(self, context: Context) -> None:
        """Load weights, allocate buffers. Raises SetupError or UsageError."""

    def close(self) -> None:
        """Release all resources; called once for each :meth:`open`, also after errors."""


def is_bundled(cls: type[Component]) -> bool:
    """Whether a component belongs to stylepipe itself and not to a third-party plugin."""
    return cls.__module__.partition(".")[0] in ("stylepipe", "stylepipe_plugins")


def noun(base: type[Component]) -> str:
    """What sentences call the components of a base class, such as ``reader``."""
    return "temporal method" if base is Temporal else base.__name__.lower()


class Reader(Component):
    """Turns a file, a folder or a pattern of names into frames. Its methods run in the reading
    thread."""

    kind: ClassVar[Kind]
    patterns: ClassVar[tuple[str, ...]]
    """Lower-case suffixes of files it reads, such as ``.jpg``; none if it reads folders only."""
    instead: ClassVar[Mapping[str, str]] = {}
    """What to write for suffixes that no writer has, ``""`` for a folder or pattern; if not said,
    the first pattern of the last writer of its kind."""

    def claims(self, folder: Path) -> bool:
        """Whether a folder, named or met in another, is one input, which this reader reads.

        Its files are not inputs then. ``folder`` may also be a pattern of files that are there,
        ``shots/fr%04d.png``. Called before :meth:`open`; looks at names only.
        """
        return False

    def pages(self, path: Path) -> int:
        """How many inputs the file is: pages, each of which becomes a separate result.

        0 for a file that is one input. Called before :meth:`open`, where the reader has the suffix.
        ``item.page`` is the page that :meth:`frames` is to read. Raises ItemError: the file fails.
        """
        return 0

    def probe_page(self, path: Path, page: int) -> Info | None:
        """:meth:`probe` of a page, from 1; for readers that have :meth:`pages`."""
        raise NotImplementedError

    def probe(self, path: Path) -> Info | None:
        """Describe the file without decoding all of it; None if another reader should have it.

        Raises ItemError, in one sentence, if nothing in the file can be decoded. Damage to a
        part of it is reported by :attr:`Context.damaged`, here or in :meth:`frames`.
        """
        raise NotImplementedError

    def frames(self, item: Item, info: Info, start: int = 0) -> Iterator[Frame]:
        """Yield the frames in order of presentation, from frame number ``start``."""
        raise NotImplementedError

    def times(self, item: Item, info: Info) -> Sequence[Fraction]:
        """When each frame of a film is shown, in growing seconds; for ``--frames`` and ``--every``.

        By default all frames are read for it; override it where the file says so more quickly.
        """
        rate = info.rate or Fraction(25)
        return [
            frame.pts * frame.time_base
            if frame.pts is not None and frame.time_base
            else frame.index / rate
            for frame in self.frames(item, info)
        ]

    def pick(self, item: Item, info: Info, numbers: Sequence[int]) -> Iterator[Frame]:
        """Yield the frames of these growing numbers, the same that :meth:`frames` would.

        By default it begins anew at each; override it where the file can be searched.
        """
        for number in numbers:
            yield from islice(self.frames(item, info, number), 1)


class PixelLimit(Options):
    """Options of readers of pictures; the limit holds for masks, paintings and maps as well."""

    max_pixels: int = option(
        MAX_PIXELS, "Refuse pictures of more pixels: they may be made to fill the memory.", min=1,
        affects_output=False,
    )  # fmt: skip


class Masker(Component):
    """Says where the picture is to be painted, or which region each style paints.

    All but :meth:`check` and :meth:`check_item` runs in the model's thread.
    """

    argument: ClassVar[str] = ""
    """The option that the text after ``:`` sets, as in ``box:10,20,300,200``; "": it takes none."""
    by_file: ClassVar[bool] = False
    """It looks for masks by the item's path: pictures in memory have none for it."""
    matte: ClassVar[bool] = False
    """Soft edges mean that pixels are partly covered, as by hair, and are no wish to blend: the
    engine frees the photo's colors there from those of the side that is painted."""
    warmup: ClassVar[int] = 0
    """How many frames before a frame its mask depends on, for a masker that keeps a state. Where a
    film is resumed, the engine shows it that many frames first. Frames then come one by one."""
    if_nothing: str = "so the mask is empty"
    """What follows where it finds nothing, to say so; the engine knows what the mask is for."""
    regions: Sequence[str] | None = None
    """Names of the regions, one a plane of :meth:`mask`: of letters, digits, ``-``, ``_``, ``#``.
    None: there is one plane, where to paint. Empty: :meth:`regions_of` names them for each item."""

    def reset(self, item: Item) -> None:
        """Another item or scene begins: forget the frames before."""

    def regions_of(self, item: Item) -> Sequence[str]:
        """The regions of all frames of an item, where there are any. Raises ItemError."""
        return self.regions or ()

    def check(self) -> None:
        """Check quickly that what all items need is there. Raises UsageError.

        Called before :meth:`open`, and by ``--dry-run`` instead of it; must not import torch.
        """

    def mask(self, batch: Batch, frames: Sequence[Frame]) -> torch.Tensor:
        """Return N1HW in [0, 1], as large as ``batch.images``: 1 is painted, 0 stays as it was.

        With regions NKHW, a plane each: how much of a pixel belongs to the region. Where planes
        sum to less than 1, the rest stays as it was. Raises NoMask where the item has no mask at
        all; where there is merely nothing to paint, the mask is 0, and ``context.log`` says so.
        """
        raise NotImplementedError


class Flow(Component):
    """Optical flow between two frames, for temporal methods and others."""

    def flow(self, a: Frame, b: Frame) -> torch.Tensor:
        """Return 12HW, float32, CPU: for each pixel of ``a`` the way (dx, dy), in pixels, to ``b``.

        May be called from several threads at once.
        """
        raise NotImplementedError


class Temporal(Component):
    """A temporal method: keeps the frames of a film alike, which painted one by one would flicker.

    ``mode`` says at which point it works, and so which of its methods the engine calls:

    ``guide``
        before each frame is painted: :meth:`motion` and :meth:`guide` say what the previous frame
        and its result imply for it (Ruder et al. 2016: optical flow, and trust in it). A stylizer
        whose caps say ``temporal="native"`` uses the guide itself; :meth:`blend` serves all others.
    ``filter``
        after it was painted: :meth:`filter` sees the results around each frame, as far as
        ``lookahead``, before it is written (Lai et al. 2018).
    ``shot``
        both: :meth:`paint_shot` gets all frames between two scene cuts and paints each as often
        as it likes, in any order (the passes of Ruder et al. 2016; Lei et al. 2020).

    The engine finds the scene cuts: nothing of one shot reaches another. A method keeps nothing
    from call to call, so that an interrupted film resumes to the same bytes.
    """

    mode: ClassVar[Literal["guide", "filter", "shot"]] = "guide"
    uses_flow: ClassVar[bool] = True
    """False: no flow is opened, and one that the user asks for is refused."""
    lookahead: int = 0
    """For filters: frames on either side that :meth:`filter` sees. Results wait for as many; an
    instance may set it by its options."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.mode not in ("guide", "filter", "shot"):
            raise TypeError(f"mode of {cls.__name__} is guide, filter or shot, not {cls.mode!r}")
        if cls.lookahead and cls.mode != "filter":
            raise TypeError(f"{cls.__name__} has a lookahead, which is for the mode filter")

    def __init__(self, options: Any, flow: Flow | None = None) -> None:
        """Keep the options and the flow, which the engine opens and closes; cheap."""
        super().__init__(options)
        self.flow = flow

    def check(self, stylizer: Stylizer) -> None:
        """Check quickly that it can serve the stylizer, by its caps. Raises UsageError.

        Called before :meth:`open`, and by ``--dry-run`` instead of it; must not import torch.
        """

    def flow_between(self, a: Frame, b: Frame) -> np.ndarray:
        """HxWx2 float32: for each pixel of ``a`` the way (dx, dy), in pixels, to ``b``.

        Raises ItemError if what the flow returns cannot be one.
        """
        assert self.flow is not None
        who, shape = named("flow", self.flow), (1, 2, *a.pixels.shape[:2])
        found = checked_tensor(self.flow.flow(a, b), shape, who).cpu().float()
        if not math.isfinite(float(found.sum())):
            raise ItemError(f"{who} returned values that are not numbers")
        return found[0].permute(1, 2, 0).contiguous().numpy()

    def motion(self, frame: Frame, previous: Frame) -> Any:
        """Find what :meth:`guide` needs of two source frames of one shot.

        Called in a separate thread, ahead of the painting; it may return a few megabytes.
        """
        return None

    def guide(self, motion: Any, result: Frame, device: torch.device) -> Guide | None:
        """Make the guide to a frame from its ``motion`` and the previous result as it was written.

        The guide is as large as ``result``, which is larger than the frame where the stylizer's
        ``caps.scale`` is not 1. Called in the calling thread. None: the frame is painted as if it
        were the first.
        """
        raise NotImplementedError

    def blend(self, painted: torch.Tensor, guide: Guide) -> torch.Tensor:
        """Use the guide on ``painted``, N3HW in [0, 1], for a stylizer that does not by itself.

        By default the moved previous result takes the place of what was painted, by its trust.
        """
        return painted.addcmul(guide.warped - painted, guide.trust)

    def filter(self, window: Sequence[Painted], at: int, previous: Frame | None) -> np.ndarray:
        """Return the final pixels, HxWx3 of the same dtype, of ``window[at]``.

        ``window`` are that frame and up to ``lookahead`` before and after it, fewer where the shot
        ends; their pixels are as painted, not filtered. ``previous`` is the result before it as
        it was written, None at the start of a shot. Called in the calling thread.
        """
        raise NotImplementedError

    def shot_bytes(self, frame: Frame) -> int:
        """Bytes that :meth:`paint_shot` holds of each frame, beside the frame and its result."""
        return 0

    def paint_shot(self, frames: Sequence[Frame], paint: PaintFrame) -> Iterable[np.ndarray]:
        """Return the final pixels, HxWx3 of the same dtype, of all ``frames``, which are a shot.

        ``paint(frame, guide)`` paints one and returns its pixels; the guide may be None. A shot
        that the memory does not hold is refused before. Called in the calling thread; an interrupt
        is raised by ``paint``, and must pass.
        """
        raise NotImplementedError


class StylizerOptions(Options):
    """Options that mean the same in every stylizer."""

    style: tuple[str, ...] = option(
        (),
        "Style: a bundled name or a file, with an optional weight; repeat to blend, or to give "
        "each region one, in order or by name.",
        metavar="STYLE[:WEIGHT][@REGION]",
        short="s",
    )
    strength: float = option(1.0, "How much of the style shows: 0 the photo, 1 all.", min=0, max=1)
    keep_colors: bool = option(False, "Keep the photo's colors; take only the strokes.")


@dataclass(frozen=True)
class StyleRef:
    """One style as the user asked for it."""

    name: str
    """A bundled name, or the path as it was written."""
    weight: float
    """Positive; the weights of a job sum to 1."""
    region: str = ""
    """Name of the only region it paints; empty where the user named none."""

    @property
    def path(self) -> Path:
        """The name as a path. Raises UsageError if it is too long for one."""
        return user_path(self.name)


@dataclass(frozen=True)
class StyleInfo:
    """A style that comes with a stylizer, for ``stylepipe styles``."""

    name: str
    title: str
    license: str


@dataclass(frozen=True)
class Caps:
    """What the engine must know about a stylizer before any weights are loaded."""

    needs_style: bool = True
    max_styles: int | None = None
    """None: any number."""
    masks: Literal["native", "blend"] = "blend"
    """native: ``batch.masks`` is used; blend: the engine composites the result by the mask."""
    regions: Literal["native", "blend"] = "blend"
    """native: the styles are prepared together, and ``batch.regions`` and ``batch.masks`` say which
    paints where; blend: the engine paints once for each style, and composites the results."""
    temporal: Literal["native", "blend"] = "blend"
    """native: ``batch.guide`` is used; blend: the temporal method blends it into the result."""
    warmup: Warmup = 0
    """How many frames before a frame its result depends on, for a stylizer that keeps a state.

    ``"shot"``: all since the last scene cut. Where a film is resumed, the engine feeds the stylizer
    that many source frames first and throws their results away. Frames then come one by one, and
    :meth:`Stylizer.reset` is called at each scene cut. 0: a frame depends on no other.
    """
    strength: Literal["native", "blend"] = "blend"
    """native: ``options.strength`` is used; blend: the engine mixes photo and result.

    Where it is 0, the engine copies the photo: the stylizer is not even opened.
    """
    batch: int = 1
    """Most frames at once that still gain speed on an accelerator."""
    min_side: int = 1
    """Shortest side it can work on; smaller pictures are enlarged for it by reflection."""
    tileable: bool = False
    """The result of a tile depends on its neighborhood only: the engine may cut large pictures."""
    receptive_radius: int = 0
    """For tileable: how many pixels around a tile influence it."""
    scale: int = 1
    """The result is so many times as wide and high as the batch, such as 2.

    Masks, ``batch.guide`` and all else that a stylizer is given have the size of the batch. Where
    the photo shows, through a mask or by ``strength``, the engine enlarges it (Lanczos).
    """

    def __post_init__(self) -> None:
        """Raises ValueError for a scale or a warmup that cannot be."""
        if not isinstance(self.scale, int) or self.scale < 1:
            raise ValueError(f"scale must be a whole number from 1, not {self.scale!r}")
        if self.warmup != "shot" and not (isinstance(self.warmup, int) and self.warmup >= 0):
            raise ValueError(f"warmup is a number of frames or 'shot', not {self.warmup!r}")


class Stylizer(Component):
    """Paints. Its methods run in the calling thread, the one that owns the device."""

    Options: ClassVar[type[Options]] = StylizerOptions
    caps: ClassVar[Caps] = Caps()
    guided_options: ClassVar[Collection[str]] = ()
    """For ``temporal="native"``: names of options that change only frames with a guide. They are
    refused where no frame has one."""
    skips_empty: ClassVar[bool] = True
    """Where the mask is 0 everywhere the result is the photo, and the engine need not ask."""

    @classmethod
    def styles(cls) -> Sequence[StyleInfo]:
        """The bundled styles; must not import torch."""
        return ()

    def check(
        self,
        styles: Sequence[StyleRef],
        items: Sequence[Item] = (),
        masker: Masker | None = None,
    ) -> None:
        """Check quickly that the job's styles are there. Raises UsageError if one is not.

        ``items`` are what the job is to do, ``masker`` says where. Called before :meth:`open`, and
        by ``--dry-run`` instead of it; must not import torch. By default a style is one of
        :meth:`styles` or a file; override it where it is anything else, and to refuse what does not
        fit the items.
        """
        bundled = [info.name for info in self.styles()]
        for ref in styles:
            if ref.name not in bundled and not os.path.isfile(ref.path):  # noqa: PTH113
                known = f"bundled: {', '.join(bundled)}; or " if bundled else ""
                raise UsageError(
                    f"no style {ref.name!r}{suggest(ref.name, bundled)}; {known}give a file that "
                    "exists"
                )

    def assign(self, styles: Sequence[StyleRef], regions: Sequence[str] | None) -> list[int]:
        """Say which of the ``regions``, by number, are painted; by default each by one style.

        ``regions`` are the masker's: None where it has none, empty where they are not known yet.
        Raises UsageError where styles and regions do not match.
        """
        chosen = [style.region for style in styles if style.region]
        if regions is None:
            if chosen:
                raise UsageError(
                    f"a style is for the region {chosen[0]!r}, but there are no regions; pass "
                    "--regions with a map of them, or --mask with a masker that finds them"
                )
            return []
        if not styles:
            raise UsageError("each region is painted in its own style: name some by --style")
        if len({style.weight for style in styles}) > 1:
            raise UsageError(
                "each region is painted by one style, so weights of styles mean nothing; leave "
                "them out"
            )
        if chosen and len(chosen) < len(styles):
            raise UsageError("name the region of every style, as STYLE@REGION, or of none")
        if twice := next((name for name in chosen if chosen.count(name) > 1), None):
            raise UsageError(f"there are two styles for the region {twice!r}: leave one out")
        if regions and not chosen and len(styles) != len(regions):
            raise UsageError(
                f"regions of the picture: {len(regions)}, styles: {len(styles)}; give one style a "
                f"region, in the order {', '.join(regions)}, or name regions: STYLE@{regions[0]}"
            )
        for name in chosen if regions else ():
            if name not in regions:
                raise UsageError(
                    f"no region {name!r}{suggest(name, regions)}; there are {', '.join(regions)}"
                )
        return [regions.index(name) for name in (chosen or regions) if regions]

    def prepare(self, styles: Sequence[StyleRef]) -> None:
        """Load the styles of the job, once, after :meth:`open`. May raise UsageError."""

    def reset(self, item: Item) -> None:
        """A new item or a new scene begins: forget what belonged to the old one.

        Scenes are detected where there is a temporal method, or ``caps.warmup`` is not 0.
        """

    def stylize(self, batch: Batch) -> torch.Tensor:
        """Return the painted frames, N3HW, as large as ``batch.images``, or ``caps.scale`` times.

        The engine clamps them to [0, 1].
        """
        raise NotImplementedError


class Training(Component):
    """Trains what a stylizer paints with, or an encoder: ``stylepipe train NAME``.

    What trains for a stylizer has the stylizer's name. Its options are the command's flags, by
    convention a TrainingOptions; it is neither opened nor closed.
    """

    def train(self, context: Context) -> None:
        """Train, and write the result where the options say. Raises UsageError, SetupError, and
        StylepipeError where the training fails.
        """
        raise NotImplementedError

    def stylizer_table(self, file: Path) -> Mapping[str, Any] | None:
        """The keys of ``[stylizer]`` that paint by what these options train into ``file``, for
        ``stylepipe sweep --train``; ``use`` is the training's name unless it is among them.

        None, the default: no stylizer paints by it. Raises UsageError for options that say too
        little.
        """
        return None


class Sink:
    """An output being written. Its methods run in the writing thread."""

    done: int = 0
    """Frames already safe from an earlier, interrupted run: the engine starts after them."""
    last: Frame | None = None
    """The last of those frames exactly as it was given to :meth:`write`."""

    def write(self, frame: Frame) -> None:
        """Take the next frame. Raises ItemError."""
        raise NotImplementedError

    def close(self) -> None:
        """Complete the file at the path the sink was opened with; the engine then renames it."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close and remove the files; what a later run can use may stay in the work folder."""


class Writer(Component):
    """Turns frames into a file. Sinks are opened in the reading thread, used in the writing one."""

    kind: ClassVar[Kind]
    patterns: ClassVar[tuple[str, ...]]
    """Lower-case suffixes it writes; the first is used where the source's cannot be written.

    One that ends in a slash, such as ``.exr/``, means a folder, of such files as a rule: users ask
    for it by ``--format exr/``, and the result's name has no suffix.
    """

    def forecast(self, item: Item, info: Info, log: Callable[[str], None]) -> Sequence[Fate]:
        """What would become of each part of the item, for ``stylepipe probe``; nothing is kept.

        ``log`` is told what a run would say of it. By default there is nothing to tell. Raises
        ItemError where it cannot be written.
        """
        return ()

    def open_sink(self, item: Item, info: Info, path: Path, work: Path) -> Sink:
        """Begin to write ``path``: a file with the suffix of ``item.output``, or a folder.

        ``path`` is a temporary name that the engine renames only when the sink was closed, so no
        half-written output is ever seen under its final name. ``work`` is a folder for this
        item on the same disk; it outlives a killed run and is removed when the item is done. A
        folder is made by the sink, and still holds what was in it when a killed run resumes.
        """
        raise NotImplementedError

"""The base classes a plugin derives from: Reader, Masker, Stylizer, Flow, Writer, Training.

A component is made cheaply from its options, opened once per job and closed always. All work is
done between :meth:`Component.open` and :meth:`Component.close`, in the thread the method names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from stylepipe.damage import Damaged, refuse
from stylepipe.errors import UsageError, suggest
from stylepipe.options import Options, option
from stylepipe.pictures import MAX_PIXELS
from stylepipe.types import Batch, Frame, Info, Item, Kind

if TYPE_CHECKING:
    import torch

    from stylepipe.device import Device


def _unheard(share: float, text: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class Context:
    """What the engine tells a component when it is opened."""

    device: Device
    """Where tensors live, and the number type that is fast there."""
    memory: int
    """Bytes of working memory the job may use."""
    log: Callable[[str], None]
    """Says one line to the user."""
    progress: Callable[[float, str], None] = _unheard
    """For work of minutes on one picture: shows the share done, 0..1, and a few words beside."""
    damaged: Damaged = refuse
    """For readers: says what is torn or missing in the file in hand, in words to follow its name.

    Call it, as often as there are damages, while probing or yielding frames. It returns where what
    decodes is to be painted (``--on-damage warn``), and raises DamageError where not: let that
    pass. What cannot be decoded at all is no damage but an ItemError.
    """
    max_pixels: int = MAX_PIXELS
    """Most pixels of a picture that is read beside the inputs: a mask, a painting, a map."""


class Component:
    """What all kinds of components share. The class docstring's first line is the summary."""

    name: ClassVar[str]
    """How users call it: lower case, words joined by ``-``."""
    Options: ClassVar[type[Options]] = Options

    def __init__(self, options: Any) -> None:
        """Keep the options; cheap, nothing is loaded."""
        self.options = options

    def files(self) -> Iterable[Path]:
        """Files and folders that results depend on: when one changes, results are made anew.

        By default those that options of type Path name. Called before :meth:`open`.
        """
        return [v for v in vars(self.options).values() if isinstance(v, Path)]

    def check_item(self, item: Item, info: Info) -> None:
        """Raise ItemError if the item cannot be done, as far as is quickly seen: it has no mask ...

        Asked of masker, flow, stylizer and writer before the item is read, in the reading thread;
        where ``strength`` is 0, of the writer alone. ``--dry-run`` asks, too, and opens none of
        them. Must not import torch, and writes nothing.
        """

    def rehearse(self) -> None:
        """In a dry run, instead of :meth:`open`: raise UsageError or SetupError for what would be
        refused there, or have to be fetched. Must import torch only where options ask for what
        nothing else can judge; fetches and writes nothing.
        """

    def open(self, context: Context) -> None:
        """Load weights, pick buffers. May raise SetupError or UsageError."""

    def close(self) -> None:
        """Let go of everything; called once for each open, also after errors."""


class Reader(Component):
    """Turns a file into frames. Its methods run in the reading thread."""

    kind: ClassVar[Kind]
    patterns: ClassVar[tuple[str, ...]]
    """Lower-case suffixes it reads, such as ``.jpg``."""
    instead: ClassVar[Mapping[str, str]] = {}
    """What to write for suffixes that no writer has; the writer's first where it does not say."""

    def probe(self, path: Path) -> Info | None:
        """Describe the file without decoding all of it; None if another reader should have it.

        Raises ItemError, in one sentence, if nothing in the file can be decoded. Of a file that is
        whole in part only, :attr:`Context.damaged` is told, here or by :meth:`frames`.
        """
        raise NotImplementedError

    def frames(self, item: Item, info: Info, start: int = 0) -> Iterator[Frame]:
        """Yield the frames in order of presentation, from frame number ``start``."""
        raise NotImplementedError


class PixelLimit(Options):
    """Options of readers of pictures; the limit holds for masks, paintings and maps as well."""

    max_pixels: int = option(
        MAX_PIXELS, "Refuse pictures of more pixels: they may be made to fill the memory.", min=1,
        affects_output=False,
    )  # fmt: skip


class MaskOptions(Options):
    """Options every masker has; the engine applies them to what the masker returns."""

    invert: bool = option(False, "Paint where the mask is black instead of where it is white.")
    feather: float = option(0.0, "Soften the mask's edge over this many pixels.", min=0, max=1000)


class Masker(Component):
    """Says where the picture is to be painted. Runs in the model's thread."""

    Options: ClassVar[type[Options]] = MaskOptions

    def mask(self, batch: Batch, frames: Sequence[Frame]) -> torch.Tensor:
        """Return N1HW in [0, 1], as large as ``batch.images``: 1 is painted, 0 stays as it was."""
        raise NotImplementedError


class FlowOptions(Options):
    """Options every flow has; the engine guides each frame by the one before it with them."""

    blend: float = option(
        0.7, "Share of the previous result that is kept where the flow is trusted.", min=0, max=1
    )
    max_side: int = option(
        640, "Larger frames are scaled down to this side, in pixels, to find the motion.", min=64
    )


class Flow(Component):
    """Optical flow between two frames, for video."""

    Options: ClassVar[type[Options]] = FlowOptions

    def flow(self, a: Frame, b: Frame) -> torch.Tensor:
        """Return 12HW, float32, CPU: for each pixel of ``a`` the way (dx, dy), in pixels, to ``b``.

        May be called from several threads at once.
        """
        raise NotImplementedError


class StylizerOptions(Options):
    """Options that mean the same in every stylizer."""

    style: tuple[str, ...] = option(
        (),
        "Style: a bundled name or a file, with an optional weight; repeat to blend.",
        metavar="STYLE[:WEIGHT]",
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

    @property
    def path(self) -> Path:
        """The name as a path."""
        return Path(self.name).expanduser()


@dataclass(frozen=True)
class StyleInfo:
    """A style that a stylizer brings along, for ``stylepipe styles``."""

    name: str
    title: str
    license: str


@dataclass(frozen=True)
class Caps:
    """What the engine must know of a stylizer before any weight is loaded."""

    needs_style: bool = True
    max_styles: int | None = None
    """None: any number."""
    masks: Literal["native", "blend"] = "blend"
    """native: ``batch.masks`` is used; blend: the engine composites the result by the mask."""
    temporal: Literal["native", "blend"] = "blend"
    """native: ``batch.guide`` is used; blend: the engine blends the guide into the result."""
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


class Stylizer(Component):
    """Paints. Its methods run in the calling thread, the one that owns the device."""

    Options: ClassVar[type[Options]] = StylizerOptions
    caps: ClassVar[Caps] = Caps()

    @classmethod
    def styles(cls) -> Sequence[StyleInfo]:
        """The bundled styles; must not import torch."""
        return ()

    def check(self, styles: Sequence[StyleRef], items: Sequence[Item] = ()) -> None:
        """Raise UsageError if one of the job's styles is not there, as far as is quickly seen.

        ``items`` are what the job is to do. Called before :meth:`open`, and by ``--dry-run``
        instead of it; must not import torch. By default a style is one of :meth:`styles` or a
        file; override it where it is anything else, and to refuse what does not fit the items.
        """
        bundled = [info.name for info in self.styles()]
        for ref in styles:
            if ref.name not in bundled and not ref.path.is_file():
                known = f"bundled: {', '.join(bundled)}; or " if bundled else ""
                raise UsageError(
                    f"no style {ref.name!r}{suggest(ref.name, bundled)}; {known}give a file that "
                    "exists"
                )

    def prepare(self, styles: Sequence[StyleRef]) -> None:
        """Load the styles of the job, once, after :meth:`open`. May raise UsageError."""

    def reset(self, item: Item) -> None:
        """A new item or a new scene begins: forget what belonged to the old one."""

    def stylize(self, batch: Batch) -> torch.Tensor:
        """Return the painted frames, N3HW, as large as ``batch.images``; the engine clamps them."""
        raise NotImplementedError


class Training(Component):
    """Trains what a stylizer paints with, or an encoder: ``stylepipe train NAME``.

    What trains for a stylizer has the stylizer's name. Its options are the command's flags, by
    convention a TrainingOptions; it is neither opened nor closed.
    """

    def train(self, context: Context) -> None:
        """Train, and write the result where the options say. Raises UsageError, SetupError, and
        StylepipeError where the training comes to nothing.
        """
        raise NotImplementedError


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
        """Let go of the files; what can serve a later resume may stay in the work folder."""


class Writer(Component):
    """Turns frames into a file. Sinks are opened in the reading thread, used in the writing one."""

    kind: ClassVar[Kind]
    patterns: ClassVar[tuple[str, ...]]
    """Lower-case suffixes it writes; the first is used where the source's cannot be written."""

    def open_sink(self, item: Item, info: Info, path: Path, work: Path) -> Sink:
        """Begin to write the file ``path``, which has the suffix of ``item.output``.

        ``path`` is a temporary name that the engine renames only when the sink was closed, so no
        half-written output is ever seen under its final name. ``work`` is a folder of the item's
        own on the same disk; it outlives a killed run and is removed when the item is done.
        """
        raise NotImplementedError

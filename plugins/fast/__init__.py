"""The ``fast`` stylizer: one pass of a small trained network paints a picture.

The networks are those of Johnson 2016 with the styles of Dumoulin 2017: all bundled styles share
one network, so that they can be blended (see stylepipe.nst.networks).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import (
    Batch,
    Caps,
    Context,
    ItemError,
    SetupError,
    StyleInfo,
    StyleRef,
    Stylizer,
    StylizerOptions,
    UsageError,
    hookimpl,
    option,
    parse_style,
    suggest,
)

from . import training

if TYPE_CHECKING:
    import torch

    from stylepipe.nst.inference import StyleEngine
    from stylepipe.nst.networks import StyleNetwork, StyleRecord

STYLES = Path(__file__).with_name("styles")
NETWORKS = ("quality", "light")
PICTURE = 12
"""Bytes of a pixel in float32, of which the photo, what is painted and two on the way are held."""
_PICKLES = (".pth", ".pt", ".pkl", ".pickle", ".ckpt", ".bin", ".t7")


class FastOptions(StylizerOptions):
    quality: str = option(
        "quality", "Bundled network: the better one, or one many times cheaper.", choices=NETWORKS
    )
    style_scale: float = option(
        1.0,
        "Size of the strokes: 2 makes them twice as large, in a quarter of the pixels; 0.5 half as "
        "large, in four times as many.",
        min=0.5,
        max=8,
    )


class FastStylizer(Stylizer):
    """Trained networks that paint a picture in one pass; photos and video, on any machine."""

    name = "fast"
    Options = FastOptions
    caps = Caps(trainable=True)

    @classmethod
    def styles(cls) -> Sequence[StyleInfo]:
        """The bundled styles, from the heads of their files."""
        found: dict[str, StyleInfo] = {}
        for network in NETWORKS:
            for info in _listed(STYLES / f"{network}.safetensors"):
                found.setdefault(info.name, info)
        return list(found.values())

    def files(self) -> Iterable[Path]:
        """The files of the styles asked for that are not bundled."""
        bundled = [info.name for info in self.styles()]
        names = (parse_style(text).name for text in self.options.style)
        return [
            Path(name.rpartition("#")[0] or name).expanduser()
            for name in names
            if name not in bundled
        ]

    def open(self, context: Context) -> None:
        self._context = context
        self._engine: StyleEngine | None = None

    def check(self, styles: Sequence[StyleRef]) -> None:
        """Styles that are neither bundled nor in a file of ours, or not all in one file."""
        self._resolved(styles)

    def prepare(self, styles: Sequence[StyleRef]) -> None:
        """Load the network that knows the styles, and fix their blend."""
        import torch

        from stylepipe.nst.inference import StyleEngine

        asked = self._resolved(styles)
        net, records = _load(asked[0][0])
        known = [record.name for record in records]
        weights = torch.zeros(len(known))
        for (file, name), ref in zip(asked, styles, strict=True):
            weights[_index(file, known, name)] += ref.weight
        device = self._context.device
        self._engine = StyleEngine(net, weights, device.torch, device.dtype, self._context.memory)

    def stylize(self, batch: Batch) -> torch.Tensor:
        assert self._engine is not None, "prepare() comes before stylize()"
        photos, scale = batch.images, self.options.style_scale
        height, width = photos.shape[2:]
        size = max(1, round(height / scale)), max(1, round(width / scale))
        if size == (height, width):
            return self._engine(photos)
        from stylepipe.nst.optimise import resize

        if 4 * PICTURE * size[0] * size[1] > self._context.memory:
            raise ItemError(
                f"to paint {width}x{height} pixels with strokes of size {scale:g} takes pictures "
                f"of {size[1]}x{size[0]}, too large for --memory; allow more, or pass a larger "
                "--style-scale"
            )
        small = resize(photos, size)
        painted = resize(self._engine(small), (height, width))
        # Strokes are as large as the network draws them in the smaller picture; what that lacks of
        # the photo's edges is added again.
        return painted + (photos - resize(small, (height, width))) if scale > 1 else painted

    def close(self) -> None:
        self._engine = None

    TrainOptions = training.TrainOptions

    @classmethod
    def train(cls, options: training.TrainOptions, context: Context) -> None:
        """Train a file of styles for :meth:`prepare`, or go on training it."""
        start = STYLES / f"{options.quality}.safetensors"
        if options.init == "bundled" and not start.is_file():
            raise UsageError(f"{start} is missing; pass --init random")
        training.train(options, context, start)

    def _resolved(self, styles: Sequence[StyleRef]) -> list[tuple[Path, str | None]]:
        """Each style by :meth:`_resolve`; all are in one file, and there is at least one."""
        if not styles:
            raise UsageError(f"name a style with --style; {self._offer()}")
        asked = [self._resolve(ref) for ref in styles]
        files = list(dict.fromkeys(file for file, _ in asked))
        if len(files) > 1:
            names = " and ".join(str(f) for f in files[:2])
            raise UsageError(
                "only styles of one network can be blended, and these belong to several: "
                f"{names}; train them together (stylepipe train fast --style A --style B)"
            )
        return asked

    def _resolve(self, ref: StyleRef) -> tuple[Path, str | None]:
        """The file that holds a style, and the style's name in it (None: its only one)."""
        bundled = [info.name for info in self.styles()]
        if ref.name in bundled:
            return STYLES / f"{self.options.quality}.safetensors", ref.name
        text, mark, style = ref.name.rpartition("#")
        if mark and text.lower().endswith(".safetensors"):
            path, name = Path(text).expanduser(), style
        else:
            path, name = ref.path, None
        suffix = path.suffix.lower()
        if not suffix and not path.exists():
            raise UsageError(
                f"unknown style {ref.name!r}{suggest(ref.name, bundled)}; {self._offer()}"
            )
        if not path.is_file():
            raise UsageError(f"no style file {path}; {self._offer()}")
        if suffix in training.PICTURES:
            raise UsageError(
                f"the fast stylizer has to be trained on {path.name} first: stylepipe train fast "
                f"--photos FOLDER --style {path} -o {path.stem}.safetensors"
            )
        if suffix in _PICKLES:
            raise UsageError(
                f"{path.name} is a pickle, which can run code when it is opened; only safetensors "
                "files written by stylepipe train fast are read"
            )
        return path, name

    def _offer(self) -> str:
        names = [info.name for info in self.styles()]
        if not names:
            return "no style is bundled with this installation: give a .safetensors file"
        return f"bundled: {', '.join(names)}; or give a .safetensors file"


def _load(path: Path) -> tuple[StyleNetwork, list[StyleRecord]]:
    from stylepipe.nst.networks import load_styles

    bundled = path.parent == STYLES
    try:
        net, records, _ = load_styles(path)
    except FileNotFoundError:
        if not bundled:
            raise UsageError(f"no style file {path}") from None
        raise SetupError(f"{path} is missing; install stylepipe again") from None
    except (ValueError, OSError) as error:
        if not bundled:
            raise UsageError(str(error)) from error
        raise SetupError(f"{error}; install stylepipe again") from error
    return net, records


def _index(file: Path, names: list[str], wanted: str | None) -> int:
    if wanted is None and len(names) == 1:
        return 0
    known = ", ".join(names)
    if wanted is None:
        raise UsageError(f"{file} holds {len(names)} styles; pick one as {file}#NAME of: {known}")
    if wanted not in names:
        raise UsageError(f"{file} has no style {wanted!r}{suggest(wanted, names)}; it has: {known}")
    return names.index(wanted)


def _listed(path: Path) -> list[StyleInfo]:
    """Styles named in the head of a safetensors file: 8 bytes of length, then JSON."""
    if not path.is_file():
        return []
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, 10_000_000)))
        metadata = header["__metadata__"]
        records = json.loads(metadata["styles"])
        license = str(metadata.get("licence", ""))
        return [StyleInfo(r["name"], _title(r), license) for r in records]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SetupError(f"{path} is damaged ({error}); install stylepipe again") from error


def _title(record: dict[str, str]) -> str:
    parts = (record.get("title"), record.get("artist"), record.get("year"))
    return ", ".join(part for part in parts if part)


@hookimpl
def stylepipe_components() -> Iterable[type[Stylizer]]:
    return [FastStylizer]

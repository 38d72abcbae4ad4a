"""The ``fast`` stylizer: one pass of a small trained network paints a picture.

The networks are those of Johnson 2016 with the styles of Dumoulin 2017. Styles are blended within a
network that knows several, and between networks that come from one start (see
stylepipe.nst.networks).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stylepipe import (
    PICTURE_SUFFIXES,
    Batch,
    Component,
    Context,
    Item,
    ItemError,
    Masker,
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
    user_path,
)

from .bundled import (
    NETWORKS,
    STYLES,
    Bundled,
    NetworkName,
    bundled_files,
    bundled_styles,
    read_head,
)
from .training import FastTraining

if TYPE_CHECKING:
    import torch

    from stylepipe.nst.inference import StyleEngine
    from stylepipe.nst.networks import StyleNetwork

PICTURE = 12
"""Bytes of a pixel in float32, of which the photo, what is painted and two on the way are held."""
_PICKLES = (".pth", ".pt", ".pkl", ".pickle", ".ckpt", ".bin", ".t7")


class FastOptions(StylizerOptions):
    quality: Literal["auto", NetworkName] = option(
        "auto",
        "light: quick networks. quality: an older, larger one of eight milder styles. auto: light, "
        "unless a style is in quality only.",
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

    @classmethod
    def styles(cls) -> Sequence[StyleInfo]:
        """The bundled styles, from the heads of their files."""
        return bundled_styles()

    def files(self) -> Iterable[Path]:
        """The files of the styles asked for that are not bundled."""
        bundled = [info.name for info in self.styles()]
        names = (parse_style(text).name for text in self.options.style)
        return [_split(name)[0] for name in names if name not in bundled]

    def open(self, context: Context) -> None:
        self._context = context
        self._engine: StyleEngine | None = None

    def check(
        self,
        styles: Sequence[StyleRef],
        items: Sequence[Item] = (),
        masker: Masker | None = None,
    ) -> None:
        """Styles that are neither bundled nor in a file of ours, or that cannot be blended."""
        files = [file for file, _ in self._resolved(styles)]
        if self.options.quality != "auto" and not any(STYLES in file.parents for file in files):
            raise UsageError(
                "--quality picks among the networks in the package, and no style is one of theirs; "
                "leave it out"
            )

    def prepare(self, styles: Sequence[StyleRef]) -> None:
        """Load the networks that know the styles, and fix their blend."""
        import torch

        from stylepipe.nst.inference import StyleEngine
        from stylepipe.nst.networks import interpolated

        shares: dict[Path, dict[str | None, float]] = {}
        for (file, name), ref in zip(self._resolved(styles), styles, strict=True):
            share = shares.setdefault(file, {})
            share[name] = share.get(name, 0.0) + ref.weight
        blends = [(_blended(file, share), sum(share.values())) for file, share in shares.items()]
        device = self._context.device
        try:
            net = interpolated([net for net, _ in blends], [weight for _, weight in blends])
        except ValueError as error:
            raise UsageError(f"these styles cannot be blended: {error}") from error
        whole = torch.ones(1)
        self._engine = StyleEngine(net, whole, device.torch, device.dtype, self._context.memory)

    def stylize(self, batch: Batch) -> torch.Tensor:
        from stylepipe.nst.strokes import rescaled, working_size

        assert self._engine is not None, "prepare() comes before stylize()"
        photos, scale = batch.images, self.options.style_scale
        height, width = photos.shape[2:]
        size = working_size(photos, scale)
        if size != (height, width) and 4 * PICTURE * size[0] * size[1] > self._context.memory:
            raise ItemError(
                f"to paint {width}x{height} pixels with strokes of size {scale:g} takes pictures "
                f"of {size[1]}x{size[0]}, too large for --memory; allow more, or pass a larger "
                "--style-scale"
            )
        return rescaled(photos, scale, self._engine)

    def close(self) -> None:
        self._engine = None

    def _resolved(self, styles: Sequence[StyleRef]) -> list[tuple[Path, str | None]]:
        """Each style by :meth:`_resolve`; they can be blended, and there is at least one."""
        if not styles:
            raise UsageError(f"name a style with --style; {self._offer()}")
        known = bundled_files()
        network = self._network(styles, known)
        asked = [self._resolve(ref, network, known) for ref in styles]
        files = list(dict.fromkeys(file for file, _ in asked))
        families = {_family(file) for file in files} if len(files) > 1 else set()
        if len(families) > 1 or "" in families:
            names = " and ".join(str(f) for f in files[:2])
            raise UsageError(
                "only styles of one network, or of networks trained from one start, can be "
                f"blended, unlike those of {names}; train them together (stylepipe train fast "
                "--style A --style B), or both with --init bundled"
            )
        return asked

    def _network(self, styles: Sequence[StyleRef], known: Bundled) -> str:
        """The bundled network to take: the first that knows all the bundled styles asked for."""
        chosen: str = self.options.quality
        if chosen != "auto":
            return chosen
        asked = [known[ref.name] for ref in styles if ref.name in known]
        able = [network for network in NETWORKS if all(network in files for files in asked)]
        return able[0] if able else NETWORKS[0]

    def _resolve(self, ref: StyleRef, network: str, known: Bundled) -> tuple[Path, str | None]:
        """The file that holds a style, and the style's name in it (None: its only one)."""
        if ref.name in known:
            networks = known[ref.name]
            if network not in networks:
                raise UsageError(
                    f"the style {ref.name!r} is not in the package for --quality {network}, only "
                    f"for --quality {' and '.join(networks)}"
                )
            return networks[network][1], ref.name
        path, name = _split(ref.name)
        suffix = path.suffix.lower()
        if not suffix and not path.exists():
            raise UsageError(
                f"unknown style {ref.name!r}{suggest(ref.name, list(known))}; {self._offer()}"
            )
        if not path.is_file():
            near = suggest(path.stem, list(known))
            raise UsageError(f"there is no style file {path}{near}; {self._offer()}")
        if suffix in PICTURE_SUFFIXES:
            raise UsageError(
                f"the fast stylizer has to be trained on {path.name} first: stylepipe train fast "
                f"--photos FOLDER --style {path} -o {path.stem}.safetensors; "
                "universal and gatys paint after it at once"
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


def _split(text: str) -> tuple[Path, str | None]:
    """The file of ``FILE.safetensors#NAME``, and the style's name in it (None: its only one)."""
    file, _, name = text.rpartition("#")
    if file.lower().endswith(".safetensors"):
        return user_path(file), name
    return user_path(text), None


def _family(path: Path) -> str:
    """The family that a styles file names; "" where it names none, or cannot be read: whoever
    loads it says why."""
    try:
        return read_head(path).family
    except (OSError, ValueError):
        return ""


def _blended(path: Path, shares: Mapping[str | None, float]) -> StyleNetwork:
    """The network of a file with one style: the blend of its own that the shares ask for. A name
    of None is its only style."""
    import torch

    from stylepipe.nst.networks import load_styles

    inside = STYLES in path.parents
    try:
        net, records, _ = load_styles(path)
    except (FileNotFoundError, ValueError, OSError) as error:
        if not inside:
            raise UsageError(str(error)) from error
        raise SetupError(f"{error}; install stylepipe again") from error
    known = [record.name for record in records]
    weights = torch.zeros(len(known))
    for name, share in shares.items():
        weights[_index(path, known, name)] += share
    return net.blended(weights / weights.sum())


def _index(file: Path, names: list[str], wanted: str | None) -> int:
    if wanted is None and len(names) == 1:
        return 0
    known = ", ".join(names)
    if wanted is None:
        raise UsageError(f"{file} holds {len(names)} styles; pick one as {file}#NAME of: {known}")
    if wanted not in names:
        raise UsageError(f"{file} has no style {wanted!r}{suggest(wanted, names)}; it has: {known}")
    return names.index(wanted)


@hookimpl
def stylepipe_components() -> Iterable[type[Component]]:
    return [FastStylizer, FastTraining]

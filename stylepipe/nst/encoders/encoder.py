"""What every encoder is: a chain of named stages that maps pictures to feature maps.

The field's names of the layers are kept (`relu4_2`, `fire5`, `layer2` ...). All that a caller must
know of a layer besides its features (how far it sees, how many pixels one feature stands for, how
a region of the picture lies in it) follows from the sizes of the chain's convolutions and poolings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stylepipe.nst.names import Border
from stylepipe.spelling import suggest

from .guides import propagate
from .windows import Window, windows

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Architecture:
    """A kind of network, as published: complete, whatever depth the weights at hand have."""

    title: str
    layers: tuple[str, ...]
    """All its named layers, shallow first."""
    content: str
    """The layer whose features stand for the content."""
    style: Mapping[str, float]
    """Layers whose statistics stand for the style, with weights of any sum."""
    perceptual: tuple[str, ...] = ()
    """Layers that LPIPS compares, as published; none: those of the style."""
    pools: tuple[str, ...] = ()
    """The poolings that can be named as layers are."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from RGB in [0,1] before the first stage."""
    std: tuple[float, float, float] = IMAGENET_STD
    """What remains is divided by it."""

    def __deepcopy__(self, memo: object) -> Architecture:
        """Itself: nothing in it changes, and a read-only mapping cannot be copied."""
        return self


class Encoder(nn.Module):
    """A fixed network that maps pictures to named feature maps.

    Its weights receive no gradients; a picture does. The input normalization is inside. The first
    convolution sees the picture extended by replication: zeros, which stand for gray there, would
    be judged as a frame around it.
    """

    tileable = True
    """Whether a feature depends only on pixels within its layer's receptive radius."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        architecture: Architecture,
        stages: Mapping[str, nn.Module],
        pools: Mapping[str, str] | None = None,
        end: nn.Module | None = None,
    ) -> None:
        """stages: layer name -> what maps the layer before it, or the picture, to this layer.
        pools: of stages that begin with a pooling that can be named, layer name -> its name.
        end: the pooling after the last stage, the architecture's last.
        """
        super().__init__()
        self.architecture = architecture
        self.layers = tuple(stages)
        """Its layers, shallow first."""
        self.stages = nn.ModuleList(stages.values())
        self._pools, self._end = dict(pools or {}), end
        self.windows: dict[str, list[Window]] = {}
        """Of each name that it knows, shallow first: how positions follow from those before."""
        for layer, stage in stages.items():
            own = windows(stage)
            if layer in self._pools:
                self.windows[self._pools[layer]], own = own[:1], own[1:]
            self.windows[layer] = own
        if end is not None:
            self.windows[architecture.pools[-1]] = windows(end)
        for name, values in (("mean", architecture.mean), ("std", architecture.std)):
            self.register_buffer(name, torch.tensor(values)[:, None, None])
        self.requires_grad_(False).eval()

    @property
    def title(self) -> str:
        """The network's name, for people."""
        return self.architecture.title

    @property
    def dtype(self) -> torch.dtype:
        """The type it computes in."""
        return next(self.stages.parameters()).dtype

    def placed(self, device: torch.device | str, dtype: torch.dtype) -> Encoder:
        """Itself, on a device, computing in a type; the normalization stays exact."""
        self.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.stages.to(dtype=dtype)
        return self

    def check(self, layers: Iterable[str]) -> None:
        """Raises ValueError for a layer that this encoder does not have; it lists those it has."""
        for layer in layers:
            if layer in self.windows:
                continue
            end = f", whose weights end at {self.layers[-1]!r}," if self._cut_short else ""
            published = (*self.architecture.layers, *self.architecture.pools)
            near = "" if layer in published else suggest(layer, self.windows)
            pools = [name for name in self.windows if name not in self.layers]
            known = ", ".join([*self.layers, *pools])
            raise ValueError(f"{self.title}{end} has no layer {layer!r}{near}; it has {known}")

    def forward(self, x: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """x: N 3 H W in [0,1]. Returns one N C h w map per wanted layer; goes no deeper than
        the deepest of them. Raises ValueError for an unknown layer or too small a picture.
        """
        wanted = set(layers)
        found: dict[str, Tensor] = {}
        if not wanted:
            return found
        self._check_side(x, wanted)
        x = ((x - self.mean) / self.std).to(self.dtype)
        for name, features in self._maps(x.contiguous(memory_format=torch.channels_last)):
            if name in wanted:
                found[name] = features
                if len(found) == len(wanted):
                    break
        return found

    def _maps(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """The features of a normalized picture by their names, each computed when it is asked
        for."""
        for name, stage in zip(self.layers, self.stages, strict=True):
            parts = stage
            if name in self._pools:
                assert isinstance(stage, nn.Sequential)
                x, parts = stage[0](x), stage[1:]
                yield self._pools[name], x
            x = parts(x)
            yield name, x
        if self._end is not None:
            yield self.architecture.pools[-1], self._end(x)

    def down_to(self, layer: str) -> tuple[str, ...]:
        """The layers from the first down to this one, or to the one before this pooling. Raises
        ValueError for a layer that it does not have.
        """
        self.check([layer])
        names = list(self.windows)
        above = names[: names.index(layer) + 1]
        return tuple(name for name in self.layers if name in above)

    # -- geometry ---------------------------------------------------------------------------

    def stride(self, layer: str) -> int:
        """Pixels of the picture from one feature to the next."""
        result = 1
        for window in self._chain(layer):
            result *= window.stride
        return result

    def receptive_radius(self, layer: str) -> int:
        """R: the feature at row i depends on no pixel beyond i * stride - R .. i * stride + R.

        A gradient travels the same way back: a tile's inner part has the whole picture's gradient
        with 2 * R pixels around it. Raises ValueError where every feature depends on the whole
        picture: see `tileable`.
        """
        before, after, step = 0, 0, 1
        for window in self._chain(layer):
            before += step * window.padding
            after += step * (window.kernel - 1 - window.padding)
            step *= window.stride
        return max(before, after)

    def least_side(self, layer: str) -> int:
        """Pixels of the smallest picture's side that this layer can be computed of."""
        chain, side = self._chain(layer), 1
        while not _fits(side, chain):
            side += 1
        return side

    def side(self, layer: str, pixels: int) -> int:
        """Features along a side of so many pixels; 0 if it is too small."""
        for window in self._chain(layer):
            pixels = window.size(pixels)
        return pixels

    def propagate(
        self, region_masks: Tensor, layers: Iterable[str], mode: Border = "inside"
    ) -> dict[str, Tensor]:
        """How much each feature belongs to each region: masks, propagated through the network.

        region_masks: N K H W in [0,1], one plane a region, of the picture's size. Returns N K h w
        in [0,1] for each layer. mode "inside": a feature counts as far as all that it sees does,
        at every convolution and pooling; a region that has no such feature is taken as in
        "simple". "feather": averaged over what a feature sees, step by step. "simple": the plane,
        resized by area. Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer"
        (2017), section 4. Raises ValueError for an unknown layer, mode or too small a picture.
        """
        wanted = set(layers)
        self._check_side(region_masks, wanted)
        return propagate(region_masks, self.windows, wanted, mode)

    def _chain(self, layer: str) -> list[Window]:
        self.check([layer])
        names = list(self.windows)
        return [w for name in names[: names.index(layer) + 1] for w in self.windows[name]]

    def _check_side(self, x: Tensor, layers: Iterable[str]) -> None:
        height, width = x.shape[2:]
        self.check(layers)
        for layer in layers:
            if not _fits(min(height, width), self._chain(layer)):
                raise ValueError(
                    f"a picture of {width}x{height} pixels is too small for {layer!r} of "
                    f"{self.title}: each side needs {self.least_side(layer)} or more"
                )

    # -- what to use it for -----------------------------------------------------------------

    @property
    def default_content(self) -> dict[str, float]:
        """The layer that stands for the content, or the deepest before it that there is."""
        end = self.architecture.layers.index(self.architecture.content) + 1
        return {[n for n in self.architecture.layers[:end] if n in self.layers][-1]: 1.0}

    @property
    def default_style(self) -> dict[str, float]:
        """The layers that stand for the style, those that it has, with weights of sum 1."""
        style = {n: w for n, w in self.architecture.style.items() if n in self.layers}
        total = sum(style.values())
        return {name: weight / total for name, weight in style.items()}

    @property
    def default_perceptual(self) -> dict[str, float]:
        """The layers that LPIPS compares, those that it has, or else the layers that stand for the
        style, each with weight 1."""
        published = [name for name in self.architecture.perceptual if name in self.layers]
        return dict.fromkeys(published or self.default_style, 1.0)

    @property
    def _cut_short(self) -> bool:
        return self.layers[-1] != self.architecture.layers[-1]


def _fits(side: int, chain: list[Window]) -> bool:
    for window in chain:
        if side < window.least:
            return False
        side = window.size(side)
    return side > 0

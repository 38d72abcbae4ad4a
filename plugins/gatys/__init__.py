"""The ``gatys`` stylizer: the picture itself is optimised, step by step.

Slow beside a trained network, but any painting serves at once, and every wish can be expressed:
see stylepipe.nst.gatys for the method and its sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import (
    Batch,
    Caps,
    Context,
    Item,
    ItemError,
    StyleRef,
    Stylizer,
    UsageError,
    hookimpl,
    read_picture,
)

from .options import GatysOptions

if TYPE_CHECKING:
    import torch

    from stylepipe.nst.encoders import Encoder
    from stylepipe.nst.gatys import Gatys, Painting
    from stylepipe.nst.optimise import Step

    from .regions import RegionFiles

SHARE = 0.6
"""Of the job's memory, for one picture's optimisation; the rest is the engine's."""


class GatysStylizer(Stylizer):
    """Optimises each picture towards any painting; minutes a photo, the finest control."""

    name = "gatys"
    Options = GatysOptions
    caps = Caps(strength="native", min_side=64)  # three patches of the deepest layer

    def files(self) -> Iterable[Path]:
        options = self.options
        paintings = [Path(text).expanduser() for text in options.paintings()]
        single = [options.encoder_weights, options.regions, options.start]
        if options.encoder == "auto" and options.encoder_weights is None:
            from stylepipe.weights import KNOWN

            # Fetched in the middle of a film it would go on in another manner.
            single.append(KNOWN["vgg19"].path)
        return [*(p for p in single if p is not None), *options.style_regions, *paintings]

    def open(self, context: Context) -> None:
        self._context = context
        self._painter: Gatys | None = None
        self._item: Item | None = None
        self._frame = 0

    def prepare(self, styles: Sequence[StyleRef]) -> None:
        """Read the paintings and the regions, open the encoder, check that all fits together.

        Raises UsageError or SetupError.
        """
        from stylepipe.nst.gatys import Gatys

        from .regions import RegionFiles
        from .trace import check_outputs

        options, device = self.options, self._context.device
        check_outputs(options)
        self._regions: RegionFiles | None = None
        if options.regions is not None:
            self._regions = RegionFiles(options.regions, options.style_regions)
        paintings = self._paintings(styles)
        self._start = None
        if options.start is not None:
            self._start = _given(options.start, device.torch)
        encoder = self._encoder()  # last: it may have to be fetched
        memory = int(self._context.memory * SHARE)
        try:
            self._painter = Gatys(encoder, paintings, options.recipe(encoder), memory)
        except ValueError as error:
            raise UsageError(str(error)) from error
        self._tuned = options.tune is None

    def _encoder(self) -> Encoder:
        from stylepipe.nst.encoders import open_encoder

        options, device = self.options, self._context.device
        return open_encoder(
            options.encoder,
            options.encoder_weights,
            pooling=options.pooling,
            device=device.torch,
            dtype=_exact_enough(device.dtype),
            log=self._context.log,
        )

    def _paintings(self, styles: Sequence[StyleRef]) -> list[Painting]:
        import torch

        from stylepipe.nst.gatys import Painting

        paintings = []
        for index, ref in enumerate(styles):
            picture = _given(ref.path, self._context.device.torch)
            regions = None
            if self._regions is not None and self.options.style_regions:
                planes = self._regions.of_style(index, len(styles), picture.shape[2:])
                regions = torch.from_numpy(planes)[None].to(picture)
            paintings.append(Painting(picture, ref.weight, regions))
        return paintings

    def reset(self, item: Item) -> None:
        if item != self._item:  # else a new scene of the same film
            self._item, self._frame = item, 0

    def stylize(self, batch: Batch) -> torch.Tensor:
        import torch

        painted = []
        # Gradients are needed here, whatever the caller has switched off.
        with torch.inference_mode(False):
            for image in batch.images:
                painted.append(self._paint(image[None].clone(), batch.item))
                self._frame += 1
            return torch.cat(painted)

    def _paint(self, photo: torch.Tensor, item: Item) -> torch.Tensor:
        import torch

        from stylepipe.nst.optimise import Diverged

        from .trace import Trace

        assert self._painter is not None, "prepare() comes before stylize()"
        regions = None
        if self._regions is not None:
            planes = self._regions.of_photo(item, photo.shape[2:], self.caps.min_side)
            regions = torch.from_numpy(planes)[None].to(photo)
        try:
            if not self._tuned:
                self._tune(photo, regions)
            with Trace(self.options, item, self._frame) as trace:

                def on_step(step: Step) -> None:
                    trace(step)
                    self._tell(step)

                return self._painter.paint(
                    photo,
                    regions=regions,
                    start=self._start,
                    seed=self.options.seed,
                    on_step=on_step,
                )
        except (Diverged, ValueError) as error:
            raise ItemError(str(error)) from error

    def _tell(self, step: Step) -> None:
        terms = " ".join(f"{name} {value:.3f}" for name, value in step.terms.items())
        height, width = step.size
        self._context.progress(step.number / step.steps, f"{width}x{height} {terms}")

    def _tune(self, photo: torch.Tensor, regions: torch.Tensor | None) -> None:
        """Search the best weights on the first photo, and go on with them."""
        from stylepipe.nst.gatys import Gatys
        from stylepipe.nst.tune import search, sheet

        from .trace import write_picture

        assert self._painter is not None and self.options.tune is not None
        old = self._painter
        candidates = search(
            old.encoder, old.paintings, old.recipe, photo, regions,
            memory=old.memory, seed=self.options.seed, progress=self._context.progress,
        )  # fmt: skip
        best = candidates[0]
        write_picture(self.options.tune, sheet(photo, candidates))
        self._context.log(
            f"tuned: {best.title} (score {best.score:.3f}, lower is better); "
            f"{len(candidates)} candidates in {self.options.tune}"
        )
        self._painter = Gatys(old.encoder, old.paintings, best.recipe(old.recipe), old.memory)
        self._tuned = True

    def close(self) -> None:
        self._painter = None


def _exact_enough(dtype: torch.dtype) -> torch.dtype:
    """bfloat16 in place of float16, whose range the sums of a gradient leave."""
    import torch

    return torch.bfloat16 if dtype == torch.float16 else dtype


def _tensor(path: Path, device: torch.device) -> torch.Tensor:
    """A picture file as 1 3 H W in [0,1]. Raises ItemError."""
    import torch

    pixels = torch.from_numpy(read_picture(path)).to(device)
    return pixels.permute(2, 0, 1)[None].float() / 255.0


def _given(path: Path, device: torch.device) -> torch.Tensor:
    """As _tensor, of a file that is part of the request. Raises UsageError."""
    try:
        return _tensor(path, device)
    except ItemError as error:
        raise UsageError(str(error)) from error


@hookimpl
def stylepipe_components() -> Iterable[type[Stylizer]]:
    return [GatysStylizer]

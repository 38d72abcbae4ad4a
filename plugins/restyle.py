"""What the stylizers share that encode a photo, change its features, decode them. No plugin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from stylepipe import Batch, Context, ItemError, SetupError, StyleRef, UsageError, option

from .paintings import PaintingOptions, PaintingStylizer, too_large, working_memory

if TYPE_CHECKING:
    import torch

    from stylepipe.nst.encoders import Encoder
    from stylepipe.nst.inverses import FeatureInverter
    from stylepipe.nst.restyle import FeatureTransform, Restyler

DECODERS = Path(__file__).with_name("decoders")
BUNDLED_FOR = "compact"
"""The encoder that the decoders in the package belong to."""


class RestyleOptions(PaintingOptions):
    encoder: str = option(
        BUNDLED_FOR,
        "Network that looks at the pictures; the package has decoders for the first.",
        choices=(BUNDLED_FOR, "vgg19", "vgg16"),
    )
    decoder: Path | None = option(
        None,
        "Decoder for that encoder, from stylepipe train; by default the one in the package.",
        metavar="FILE",
    )

    def check(self) -> None:
        super().check()
        if self.decoder is not None and not self.decoder.is_file():
            raise UsageError(f"no such decoder file: {self.decoder}")

    def decodes(self) -> bool:
        """Whether a decoder is used at all."""
        return True

    def needs_decoder(self) -> bool:
        """Whether the one in the package does not serve."""
        other = self.encoder != BUNDLED_FOR or self.encoder_weights is not None
        return self.decoder is None and other

    def inputs(self) -> list[Path]:
        return [*super().inputs(), *([self.decoder] if self.decoder else [])]


class RestyleStylizer(PaintingStylizer):
    """Paints in one pass after any painting."""

    options: RestyleOptions
    decoder_file: ClassVar[str]
    """Of its decoders in the package."""

    def transform(self) -> FeatureTransform:
        """What it does to the features."""
        raise NotImplementedError

    def layers(self, decoders: Iterable[str]) -> list[str]:
        """The layers to transform, in this order, of those that a file's decoders are for. Raises
        UsageError for one that is asked for and has no decoder.
        """
        return list(decoders)

    def files(self) -> Iterable[Path]:
        # The decoder in the package, too: after an upgrade a film would go on in another manner.
        bundled = self.options.decodes() and self.options.decoder is None
        return [*super().files(), *([DECODERS / self.decoder_file] if bundled else [])]

    def check(self, styles: Sequence[StyleRef]) -> None:
        super().check(styles)
        if self.options.needs_decoder():
            raise UsageError(
                f"the decoder in the package is for --encoder {BUNDLED_FOR}; for another encoder "
                f"train one (stylepipe train {self.name}) and pass it as --decoder FILE"
            )

    def open(self, context: Context) -> None:
        self._context = context
        self._restyler: Restyler | None = None

    def prepare(self, styles: Sequence[StyleRef]) -> None:
        """Read the paintings, open encoder and decoder. Raises UsageError or SetupError."""
        from stylepipe.nst.restyle import Restyler, RestyleSettings

        options = self.options
        paintings = self.read_paintings(styles)
        encoder = self.open_encoder()
        inverses = self.inverses(encoder)
        try:
            settings = RestyleSettings(
                strength=options.strength,
                style_scale=options.style_scale,
                colors="style" if options.match_colors == "no" else options.match_colors,  # type: ignore[arg-type]
                border=options.border,  # type: ignore[arg-type]
            )
            self._restyler = Restyler(
                encoder,
                inverses,
                self.transform(),
                paintings,
                settings,
                working_memory(self._context),
            )
        except ValueError as error:
            raise UsageError(str(error)) from error

    def inverses(self, encoder: Encoder) -> dict[str, FeatureInverter]:
        """The way back from each layer that is changed. Raises UsageError, SetupError."""
        from stylepipe.nst.decoders import load_decoders
        from stylepipe.nst.inverses import DecoderInverter

        path = self.options.decoder or DECODERS / self.decoder_file
        try:
            file = load_decoders(path)
            file.check(encoder, path)
        except (ValueError, OSError) as error:
            if self.options.decoder is None:
                raise SetupError(f"{error}; install stylepipe again") from error
            raise UsageError(str(error)) from error
        device = self._context.device.torch
        return {
            layer: DecoderInverter(file.decoders[layer].placed(device, encoder.dtype))
            for layer in self.layers(file.decoders)
        }

    def stylize(self, batch: Batch) -> torch.Tensor:
        import torch

        from stylepipe.nst.budget import NotEnoughMemory

        assert self._restyler is not None, "prepare() comes before stylize()"
        painted = []
        for index, image in enumerate(batch.images):
            photo = image[None]
            self.tell_scale(photo, self._restyler.paintings)
            try:
                painted.append(self._restyler.paint(photo, self.regions_of(batch, index)))
            except NotEnoughMemory as error:
                raise too_large(error, photo) from error
            except ValueError as error:
                raise ItemError(str(error)) from error
        return torch.cat(painted)

    def close(self) -> None:
        self._restyler = None

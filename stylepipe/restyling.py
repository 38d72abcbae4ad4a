"""Base classes of stylizers that encode a photo, change its features, and decode them.

A stylizer of this kind is a FeatureTransform and a file of decoders, which ``stylepipe train``
writes; see stylepipe.nst.restyle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from stylepipe.components import Masker, StyleRef
from stylepipe.errors import SetupError, UsageError
from stylepipe.nst.names import VggName
from stylepipe.nst.recent import Recent, Remember, alone
from stylepipe.nst.recipe import RestyleSettings
from stylepipe.options import option
from stylepipe.stylizers import PaintingOptions, PaintingStylizer, working_memory
from stylepipe.types import Item

if TYPE_CHECKING:
    import torch

    from stylepipe.nst.decoders import Decoder
    from stylepipe.nst.encoders import Encoder
    from stylepipe.nst.inverses import FeatureInverter
    from stylepipe.nst.restyle import FeatureTransform, Restyler

BUNDLED_FOR: VggName = "compact"
"""The encoder that the decoders in the package belong to."""


class RestyleOptions(PaintingOptions):
    encoder: VggName = option(
        BUNDLED_FOR, "Network that judges the pictures; the package has decoders for the first."
    )
    decoder: Path | None = option(
        None,
        "Decoder for that encoder, from stylepipe train; by default the one in the package.",
        metavar="FILE",
    )
    statistics_frames: int = option(
        8,
        "For films: frames of a shot over which statistics are averaged, so that the whole "
        "picture does not pulse; 1 takes each frame alone.",
        min=1,
        max=64,
    )

    def check(self) -> None:
        super().check()
        if self.decoder is not None and not self.decoder.is_file():
            raise UsageError(f"no such decoder file: {self.decoder}")

    def decodes(self) -> bool:
        """Whether a decoder is used at all."""
        return True

    def needs_decoder(self) -> bool:
        """Whether one has to be given, as the one in the package does not fit."""
        other = self.encoder != BUNDLED_FOR or self.encoder_weights is not None
        return self.decoder is None and other

    def inputs(self) -> list[Path]:
        return [*super().inputs(), *([self.decoder] if self.decoder else [])]


class RestyleStylizer(PaintingStylizer):
    """Paints in one pass after any painting."""

    options: RestyleOptions
    for_encoder = ("decoder", "levels", "layer")
    decoder_file: ClassVar[Path]
    """Decoders of BUNDLED_FOR that come with it."""
    trained_as: ClassVar[str] = ""
    """The stylizer whose training makes its decoders, where that is another."""
    lossless: ClassVar[bool] = False
    """See RestyleSettings."""
    means: int = 2
    """How many means over frames build on one another, including that of exposure: a resumed film
    warms up for as many times their frames. An instance may set it by its options."""
    _restyler: Restyler | None = None

    def __init__(self, options: RestyleOptions) -> None:
        super().__init__(options)
        self._recent = Recent(options.statistics_frames)
        warmup = self.means * (options.statistics_frames - 1)
        self.caps = replace(self.caps, warmup=warmup)  # type: ignore[misc]

    def reset(self, item: Item) -> None:
        self._recent.reset()

    def transform(self) -> FeatureTransform:
        """What it does to the features."""
        raise NotImplementedError

    def layers(self, decoders: Iterable[str]) -> list[str]:
        """The layers to transform, in this order, of those that a file's decoders are for. Raises
        UsageError for one that is asked for and has no decoder.
        """
        return list(decoders)

    def files(self) -> Iterable[Path]:
        # The decoder in the package, too: an upgrade would change how a film continues.
        bundled = self.options.decodes() and self.options.decoder is None
        return [*super().files(), *([self.decoder_file] if bundled else [])]

    def check(
        self,
        styles: Sequence[StyleRef],
        items: Sequence[Item] = (),
        masker: Masker | None = None,
    ) -> None:
        super().check(styles, items, masker)
        if self.options.needs_decoder():
            training = self.trained_as or self.name
            raise UsageError(
                f"the decoder in the package is for --encoder {BUNDLED_FOR}; for another encoder "
                f"train one (stylepipe train {training}) and pass it as --decoder FILE"
            )

    def prepare(self, styles: Sequence[StyleRef]) -> None:
        """Read the paintings, open encoder and decoder. Raises UsageError or SetupError."""
        from stylepipe.nst.restyle import Restyler

        options = self.options
        paintings = self.read_paintings(styles)
        encoder = self.open_encoder()
        inverses = self.inverses(encoder)
        try:
            settings = options.into(RestyleSettings, lossless=self.lossless)
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

    def check_encoder(self, encoder: Encoder) -> None:
        if self.options.decodes():
            self._decoders(encoder)
        else:
            self.inverses(encoder)

    def inverses(self, encoder: Encoder) -> dict[str, FeatureInverter]:
        """The way back from each layer that is changed. Raises UsageError, SetupError."""
        from stylepipe.nst.inverses import DecoderInverter

        device = self._context.device.torch
        return {
            layer: DecoderInverter(decoder.placed(device, encoder.dtype))
            for layer, decoder in self._decoders(encoder).items()
        }

    def _decoders(self, encoder: Encoder) -> dict[str, Decoder]:
        from stylepipe.nst.decoders import load_decoders

        path = self.options.decoder or self.decoder_file
        try:
            file = load_decoders(path)
            file.check(encoder, path)
        except (ValueError, OSError) as error:
            if self.options.decoder is None:
                raise SetupError(f"{error}; install stylepipe again") from error
            raise UsageError(str(error)) from error
        return {layer: file.decoders[layer] for layer in self.layers(file.decoders)}

    def paint(
        self, photo: torch.Tensor, regions: torch.Tensor | None, item: Item, frame: int
    ) -> torch.Tensor:
        self._recent.begin(frame)
        result = self.restyle(photo, regions, self._recent.remember)
        self._recent.keep()
        return result

    def restyle(
        self, photo: torch.Tensor, regions: torch.Tensor | None, remember: Remember = alone
    ) -> torch.Tensor:
        """:meth:`paint`, with what is remembered of a film's last frames."""
        assert self._restyler is not None, "prepare() comes before stylize()"
        return self._restyler.paint(photo, regions, remember)

    def close(self) -> None:
        super().close()
        self._restyler = None

"""Maskers that a network in the package serves: ``person``, ``faces``, ``subject``, ``sky``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from stylepipe import Batch, Context, Frame, Masker, Options, hookimpl, option

from ..masks.planes import PlaneMasker, of_film

if TYPE_CHECKING:
    import torch

    from .finder import Finder


class DetailOptions(Options):
    detail: Literal["auto", "fine", "fast"] = option(
        "auto",
        "How edges are drawn: fine decides hair strand by strand, fast only follows the picture's "
        "edges, in a fraction of the time; auto is fine for photos and fast for films.",
    )


class _Found(PlaneMasker):
    """Asks the network."""

    matte = True
    _finder: Finder | None = None

    def open(self, context: Context) -> None:
        """Load the network. Raises SetupError if its file is damaged."""
        from .finder import Finder

        super().open(context)
        self._finder = Finder.shared(context)

    def close(self) -> None:
        self._finder = None

    def mask(self, batch: Batch, frames: Sequence[Frame]) -> torch.Tensor:
        assert self._finder is not None
        matte = self._finder.matte(batch.images, self.name, self._fine(frames[0]))
        self._report_empty(batch.item, frames, matte.flatten(1).any(1).tolist())
        return matte

    def _fine(self, frame: Frame) -> bool:
        detail: Any = getattr(self.options, "detail", "auto")
        return not of_film(frame) if detail == "auto" else detail == "fine"


class PersonMasker(_Found):
    """People, with their hair: all of them, of any size."""

    name, nothing = "person", "there is nobody in it"
    Options: ClassVar[type[Options]] = DetailOptions


class FacesMasker(_Found):
    """Faces, as soft ellipses from chin to hairline."""

    name, nothing = "faces", "there is no face in it"


class SubjectMasker(_Found):
    """What the picture is of: an animal, a car, a flower, a person."""

    name, nothing = "subject", "there is no subject that stands out"
    Options: ClassVar[type[Options]] = DetailOptions


class SkyMasker(_Found):
    """The sky."""

    name, nothing = "sky", "there is no sky in it"
    Options: ClassVar[type[Options]] = DetailOptions


@hookimpl
def stylepipe_components() -> Iterable[type[Masker]]:
    return [PersonMasker, FacesMasker, SubjectMasker, SkyMasker]

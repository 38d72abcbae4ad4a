"""Maskers that a network in the package serves: ``person``, ``faces``, ``subject``, ``sky``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

import stylepipe
from stylepipe import Batch, Frame, Item, Masker, hookimpl

if TYPE_CHECKING:
    import torch

    from .finder import Finder


class _Found(Masker):
    """Asks the network."""

    matte = True
    what: ClassVar[str]
    """What is found, for messages."""
    _finder: Finder
    _told: Item | None = None

    def open(self, context: stylepipe.Context) -> None:
        """Load the network. Raises SetupError if its file is damaged."""
        from .finder import Finder

        self._finder = Finder(context.device.torch)
        self._log = context.log

    def mask(self, batch: Batch, frames: Sequence[Frame]) -> torch.Tensor:
        matte = self._finder.matte(batch.images, self.name)
        if self._told != batch.item:
            self._told = batch.item
            if not matte.any():
                self._log(f"{batch.item.relative}: there is {self.what}, so the mask is empty")
        return matte


class PersonMasker(_Found):
    """People, with their hair: all of them, of any size."""

    name, what = "person", "nobody in it"


class FacesMasker(_Found):
    """Faces, as soft ellipses from chin to hairline."""

    name, what = "faces", "no face in it"


class SubjectMasker(_Found):
    """What the picture is of: an animal, a car, a flower, a person."""

    name, what = "subject", "no subject that stands out"


class SkyMasker(_Found):
    """The sky."""

    name, what = "sky", "no sky in it"


@hookimpl
def stylepipe_components() -> Iterable[type[Masker]]:
    return [PersonMasker, FacesMasker, SubjectMasker, SkyMasker]

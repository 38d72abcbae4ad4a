"""The ``grade`` stylizer: a reference's colors, and nothing else of it, by a table of colors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylepipe import (
    Batch,
    Caps,
    Component,
    Context,
    Info,
    Item,
    ItemError,
    Job,
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
    read_cutout,
)

from .cube import cube_text, read_cube
from .looks import LOOKS

if TYPE_CHECKING:
    import torch

    from stylepipe.nst.tables import Grade

_PLAIN = 0.02
"""Standard deviation of lightness, of 1, below which a picture shows one tone only."""


class GradeOptions(StylizerOptions):
    export: Path | None = option(
        None,
        "Write the table of colors for editors as well: of the one photo of the job, or of looks "
        "and .cube files.",
        metavar="FILE.cube",
        affects_output=False,
    )

    def check(self) -> None:
        if self.keep_colors:
            raise UsageError(
                "--keep-colors keeps what grade changes; leave it out, or lower --strength"
            )
        if self.export is None:
            return
        if self.export.suffix.lower() != ".cube":
            raise UsageError(f"--export writes .cube files: name {self.export.name!r} so")
        if self.export.is_dir():
            raise UsageError(f"{self.export} is a folder; name a file in it")
        if not self.export.parent.is_dir():
            raise UsageError(f"there is no folder {self.export.parent} to --export into")
        if any(
            StyleRef(name, 1.0).path.absolute() == self.export.absolute() for name in self.names()
        ):
            raise UsageError(
                f"--export would replace {self.export}, which is a --style: name another"
            )
        if self.strength == 0:
            raise UsageError("--strength 0 changes nothing: there is no table to --export")

    def names(self) -> list[str]:
        """The styles as they were written, without weights and regions."""
        return [parse_style(text).name for text in self.style]


class GradeStylizer(Stylizer):
    """A reference's colors alone, or a look: one smooth table for each photo, or shot of a film."""

    name = "grade"
    Options = GradeOptions
    options: GradeOptions
    caps = Caps(strength="native", warmup="shot")
    _context: Context
    _fixed: Sequence[tuple[Grade, float]] = ()
    """The looks and .cube files, with their weights."""
    _reference: torch.Tensor | None = None
    """The colors of the pictures, as stylepipe.nst.grading takes them."""
    _share = 0.0
    """The weight of the pictures."""
    _grades: Sequence[tuple[Grade, float]] = ()
    """All tables of the photo or shot in hand; empty before its first frame."""
    _reported = False

    @classmethod
    def styles(cls) -> Sequence[StyleInfo]:
        return [StyleInfo(name, look.title, "MIT") for name, look in LOOKS.items()]

    def files(self) -> Iterable[Path]:
        return [StyleRef(n, 1.0).path for n in self.options.names() if n not in LOOKS]

    def check(
        self,
        styles: Sequence[StyleRef],
        items: Sequence[Item] = (),
        masker: Masker | None = None,
    ) -> None:
        super().check(styles, items, masker)
        for ref in styles:
            if _is_cube(ref):
                read_cube(ref.path)
        if self.options.export is None:
            return
        if masker is not None and masker.regions is not None:
            raise UsageError("each region has its own table: --export one without regions")
        if len(items) != 1 and any(map(_is_picture, styles)):
            raise UsageError(
                "the table differs from photo to photo: --export needs a single one among the "
                "inputs, or a look or .cube file as --style"
            )

    def check_item(self, item: Item, info: Info) -> None:
        styles = [parse_style(text) for text in self.options.style]
        if self.options.export and info.kind == "video" and any(map(_is_picture, styles)):
            raise ItemError(
                "each shot of a film has its own table: --export that of a photo, or of a "
                "look or .cube file"
            )

    def open(self, context: Context) -> None:
        self._context = context

    def prepare(self, styles: Sequence[StyleRef]) -> None:
        """Read references and tables, and export the table if it is the same for all photos.

        Raises UsageError or SetupError.
        """
        from stylepipe.nst.grading import blend

        if not styles:
            raise UsageError("grade needs a --style: a picture, a .cube file or a look")
        pictures = [ref for ref in styles if _is_picture(ref)]
        self._fixed = [(_fixed(ref), ref.weight) for ref in styles if not _is_picture(ref)]
        self._share = sum(ref.weight for ref in pictures)
        if pictures:
            parts = [(self._samples(ref), ref.weight / self._share) for ref in pictures]
            self._reference = blend(parts)
        elif self.options.export is not None:
            self._export(self._fixed, ", ".join(ref.path.stem for ref in styles))

    def reset(self, item: Item) -> None:
        self._grades, self._reported = [], False

    def stylize(self, batch: Batch) -> torch.Tensor:
        import torch

        from stylepipe.nst.tables import graded

        results = []
        for image in batch.images[:, None]:
            self._grades = self._grades or self._found(image[0], batch.item)
            grades, strength = self._grades, self.options.strength
            results.append(graded(image, grades, strength) if grades else image)
        return torch.cat(results)

    def close(self) -> None:
        self._fixed, self._grades, self._reference = [], [], None

    def _found(self, image: torch.Tensor, item: Item) -> Sequence[tuple[Grade, float]]:
        """The tables, and their weights, of a photo, 3HW, or of a shot that begins with it.

        None yet where it shows one tone only: a film that fades in begins with black, which says
        nothing of the shot's colors.
        """
        from stylepipe.nst.grading import fitted_table, samples
        from stylepipe.nst.oklab import oklab

        if self._reference is None:
            return self._fixed
        photo = samples(image)
        if float(oklab(photo)[:, 0].std()) < _PLAIN:
            if not self._reported:
                self._context.log(f"{item.source.name}: left as it is where it shows one tone only")
            self._reported = True
            return []
        grades = [*self._fixed, (fitted_table(photo, self._reference), self._share)]
        if self.options.export is not None:
            self._export(grades, item.source.stem)
        return grades

    def _samples(self, ref: StyleRef) -> torch.Tensor:
        """The colors of a reference that can be seen. Raises UsageError."""
        import torch

        from stylepipe.nst.grading import samples

        try:
            pixels, alpha = read_cutout(ref.path, self._context.max_pixels)
        except ItemError as error:
            raise UsageError(str(error)) from error
        picture = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
        opacity = None if alpha is None else torch.from_numpy(alpha.copy())[None].float() / 255
        found = samples(picture, opacity)
        if not len(found):
            raise UsageError(f"{ref.name} is transparent everywhere: it has no colors to take")
        return found

    def _export(self, grades: Sequence[tuple[Grade, float]], title: str) -> None:
        """Write the table, whole or not at all. Raises SetupError."""
        from stylepipe.nst.tables import sampled

        export = self.options.export
        assert export is not None
        table = sampled(grades, self.options.strength)
        part = export.with_name(f".{export.name}.part")
        try:
            part.write_text(cube_text(table.values.numpy(), title), "utf-8")
            part.replace(export)
        except OSError as error:
            raise SetupError(f"cannot write {export}: {error.strerror}") from error


def _is_cube(ref: StyleRef) -> bool:
    return ref.name not in LOOKS and ref.path.suffix.lower() == ".cube"


def _is_picture(ref: StyleRef) -> bool:
    return ref.name not in LOOKS and not _is_cube(ref)


def _fixed(ref: StyleRef) -> Grade:
    """The table of a look or a .cube file. Raises UsageError."""
    import torch

    from stylepipe.nst.tables import Curves, Table

    from .looks import table

    if not _is_cube(ref):
        return table(ref.name)
    cube = read_cube(ref.path)
    kind = Curves if cube.values.ndim == 2 else Table
    return kind(torch.from_numpy(cube.values), cube.low, cube.high)


@hookimpl
def stylepipe_components() -> Iterable[type[Component]]:
    return [GradeStylizer]


@hookimpl
def stylepipe_job_start(job: Job, items: Sequence[Item]) -> None:
    """Refuse an export that would not be made because nothing is left to grade."""
    stylizer = job.settings.stylizer
    export = stylizer.options.export if isinstance(stylizer, GradeStylizer) else None
    if export is None or export.exists() or job.redo:
        return
    if all(item.output.exists() for item in items):
        raise UsageError(
            f"{items[0].output} is there already, and {export} is made while grading: pass --redo"
        )

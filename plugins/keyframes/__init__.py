"""Frames of a film that an artist has painted, carried over the frames between them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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
    StyleRef,
    Stylizer,
    StylizerOptions,
    UsageError,
    hookimpl,
    option,
)

from .asked import Keyframe, misfit, parse_all
from .shots import Shot, check_number, check_time, find_shots, numbers_of

if TYPE_CHECKING:
    import torch

    from .film import PaintedFilm


class KeyframesOptions(StylizerOptions):
    keyframe: tuple[str, ...] = option(
        (),
        "A painted frame: its number or its time in the film, and the picture, as in "
        "13=painted.png or 2.5s=painted.png; repeatable. The number is that in the name of the "
        "exported frame: 1 is the first, at --start. Where the picture is transparent, the film "
        "shows.",
        metavar="FRAME=FILE",
    )
    keyframe_missing: Literal["fail", "keep"] = option(
        "fail",
        "What happens to a film that has shots without a keyframe: it fails before any of it is "
        "painted, or those shots stay as they are.",
    )

    def check(self) -> None:
        parse_all(self.keyframe)


class KeyframesStylizer(Stylizer):
    """Painted frames of a film, carried over the frames around them by flow and patches."""

    name = "keyframes"
    Options = KeyframesOptions
    options: KeyframesOptions
    caps = Caps(needs_style=False)
    _context: Context
    _film: PaintedFilm | None = None
    _origin = Fraction(0)
    _chosen: Collection[int] | None = None

    @cached_property
    def _keyframes(self) -> Sequence[Keyframe]:
        return parse_all(self.options.keyframe)

    def files(self) -> Iterable[Path]:
        return [keyframe.path for keyframe in self._keyframes]

    def check(
        self,
        styles: Sequence[StyleRef],
        items: Sequence[Item] = (),
        masker: Masker | None = None,
    ) -> None:
        if styles:
            raise UsageError("keyframes takes its style from the painted frames; leave --style out")
        if not self._keyframes:
            raise UsageError("keyframes needs painted frames: pass --keyframe 13=painted.png")
        if len(items) > 1:
            raise UsageError(
                f"keyframes are painted for one film, and there are {len(items)} inputs; name one"
            )
        for keyframe in self._keyframes:
            if not keyframe.path.is_file():
                raise UsageError(f"--keyframe {keyframe.when}: there is no file {keyframe.path}")
            try:
                _ = keyframe.pixels
            except ItemError as error:
                raise UsageError(f"--keyframe {keyframe.when}: {error}") from error

    def check_item(self, item: Item, info: Info) -> None:
        if info.kind != "video":
            raise ItemError(
                "keyframes are carried over a film, and this is a photo; name a film, or pass "
                "--fps for a folder of numbered frames"
            )
        if info.format == "camera":
            raise ItemError("keyframes are carried over a film, and a camera shows none")
        for keyframe in self._keyframes:
            if why := misfit(keyframe, info.width, info.height):
                raise ItemError(why)
            if keyframe.number is not None and (numbers := numbers_of(info)):
                check_number(keyframe, numbers)
            if keyframe.number is None and info.duration is not None:
                check_time(keyframe, info)
        self._chosen = info.chosen
        self._origin = Fraction(info.details.get("origin") or 0)

    def open(self, context: Context) -> None:
        self._context = context

    def stylize(self, batch: Batch) -> torch.Tensor:
        import torch

        height, width = batch.images.shape[2:]
        if self._film is None or self._film.item != batch.item:
            self._film = self._film_of(batch.item, width, height)
        painted = []
        for index, image in enumerate(batch.images):
            picture = self._film.painted(batch.first + index, width, height)
            if picture is None:
                painted.append(image)
                continue
            values = (torch.from_numpy(picture).to(image).permute(2, 0, 1) / 255).clamp(0, 1)
            painted.append(values[:3] + image * (1 - values[3:]) if len(values) > 3 else values)
        return torch.stack(painted)

    def close(self) -> None:
        self._film = None

    def _film_of(self, item: Item, width: int, height: int) -> PaintedFilm:
        """Look at the whole film, before its first frame is painted. Raises ItemError."""
        from .film import PaintedFilm

        frames = self._context.frames(item)
        shots, keyframes = find_shots(frames, self._keyframes, self._origin)
        bare = [shot for shot in shots if not shot.keys]
        if bare and self.options.keyframe_missing == "fail":
            raise ItemError(
                f"{_named(bare)} no keyframe: paint one of its frames, or pass --keyframe-missing "
                "keep to leave it as it is"
            )
        if bare:
            self._context.log(f"{item.source.name}: {_named(bare)} no keyframe, left as it is")
        for keyframe in self._keyframes:
            own_height, own_width = keyframe.pixels[0].shape[:2]
            if (own_width, own_height) != (width, height):
                self._context.log(
                    f"{keyframe.path.name}: scaled from {own_width}x{own_height} to "
                    f"{width}x{height}, the size of the film"
                )
        memory = self._context.memory // 2
        return PaintedFilm(item, shots, keyframes, self._context, memory, self._chosen)


def _named(shots: Sequence[Shot]) -> str:
    """The shots as the subject of a sentence, with its verb."""
    first = f"the shot of frames {shots[0].numbers[0]} to {shots[0].numbers[1]}"
    return f"{first} (and {len(shots) - 1} more) has" if len(shots) > 1 else f"{first} has"


@hookimpl
def stylepipe_components() -> Iterable[type[Component]]:
    return [KeyframesStylizer]


@hookimpl
def stylepipe_job_start(job: Job, items: Sequence[Item]) -> None:
    """Refuse a temporal method: painted frames are to stay as they are."""
    settings = job.settings
    stylizers = [settings.stylizer, *(region.stylizer for region in settings.regions)]
    if settings.temporal and any(isinstance(s, KeyframesStylizer) for s in stylizers):
        raise UsageError(
            f"keyframes hold still by themselves, and --temporal {settings.temporal.name} would "
            "change the painted frames; pass --temporal none"
        )

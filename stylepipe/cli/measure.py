"""``stylepipe measure``: painted films beside their source, or pictures beside their photo."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylepipe.cli.app import App, app_of
from stylepipe.cli.judged import judge_options
from stylepipe.cli.output import complain, print_json, print_table
from stylepipe.errors import ItemError, NoInputError, SetupError, UsageError
from stylepipe.places import is_several, no_file
from stylepipe.stdio import printable, tell

if TYPE_CHECKING:
    from stylepipe.film_measures import Comparison
    from stylepipe.film_reading import Film

DEFAULT_RATE = "25"
"""Of folders where no film beside them has a rate; only the order of their frames counts then."""

HELP = """\
Measure how steady and how crisp painted films are, beside their source; or how near pictures come
to a painting, and what they keep of the photo (--photo).

SOURCE is a film, or a folder or pattern of numbered frames, and each RESULT one that was painted
from it. The table has one row for each film:

\b
  e_warp    warping error: change between consecutive frames beyond their motion; RGB in
            0..1, squared. Blur lowers it: judge it beside "kept"
  source    the source's own e_warp over the same pairs, the floor
  excess    e_warp less source
  gone      share of the excess of --alone that is gone
  sharp     variance of the Laplacian of the luminance, 0..255; noise raises it
  kept      sharp over that of --alone, mean over the frames; worst: least of a frame
  style     relative distance of Gram matrices to --alone; 0 for equal pictures
  flicker   mean change in levels of 255 where the source is static
  fixed     correlation of fine texture at the same place where the source moves: high
            for texture that sticks to the screen; along: the same along the motion

Nothing is measured across scene cuts. Frames are paired by their times, counted from the first
frame of each film; results of another size are scaled to the source's.

With --photo each RESULT is a picture of that photo, or a folder of pictures with the names of the
photos in another. The table has style_distance and color_distance to the painting (--style),
content_distance and sharpness beside the photo, and perceptual, mse, psnr and ssim to --reference
or else to the photo, and lpips where --perceptual-calibration names its weights; --csv and --json
add distances by layer.

\b
Examples:
  stylepipe measure clip.mp4 painted.mp4
  stylepipe measure clip.mp4 smooth.mp4 fast.mp4 --alone single.mp4 --plot measures.png
  stylepipe measure painted.jpg other.jpg --photo photo.jpg --style painting.jpg
"""
_PANELS = {
    "e_warp": "E_warp (RGB in 0..1, squared)",
    "sharpness": "sharpness (variance of the Laplacian, 0..255)",
    "style_distance": "style distance to --alone (relative)",
    "flicker": "flicker where the source is static (levels of 255)",
    "texture_fixed": "texture fixed to the screen (correlation)",
    "texture_along": "texture along the motion (correlation)",
}


@click.command("measure", help=HELP)
@click.argument(
    "files", nargs=-1, required=True, metavar="[SOURCE] RESULT...", type=click.Path(path_type=Path)
)
@click.option(
    "--photo",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The photo of the results, or the folder of their photos: all of them are pictures.",
)
@click.option(
    "--style", type=click.Path(path_type=Path), metavar="FILE", help="With --photo: the painting."
)
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --photo: the picture that results should equal.",
)
@judge_options
@click.option(
    "--alone",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The same film painted frame by frame (--temporal none): results are compared with it.",
)
@click.option(
    "--start",
    metavar="TIME",
    help="Where in SOURCE the results begin, as given to run: seconds, or [hours:]minutes:seconds.",
)
@click.option("--frames", type=click.IntRange(2), metavar="N", help="Only the first N of SOURCE.")
@click.option(
    "--max-side",
    type=click.IntRange(32),
    metavar="N",
    help="Scale larger frames down to this side, in pixels, first; figures depend on the size.",
)
@click.option(
    "--fps",
    metavar="RATE",
    help="Frames a second of folders; unset: as the file of times in the folder says, or those of "
    f"the first film that is named, or {DEFAULT_RATE}.",
)
@click.option(
    "--csv",
    "table",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the measures of each frame as a table: film, number of the frame, time (s), "
    "cut, then as above; a pair's stand at its later frame, and what does not apply is empty.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    help="Draw the measures over time.",
)
@click.option("--overwrite", is_flag=True, help="Replace the files of --csv and --plot.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    files: tuple[Path, ...],
    photo: Path | None,
    style: Path | None,
    reference: Path | None,
    calibration: Path | None,
    judge_weights: Path | None,
    alone: Path | None,
    start: str | None,
    frames: int | None,
    max_side: int | None,
    fps: str | None,
    table: Path | None,
    plot: Path | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    app = app_of(ctx)
    app.warn_of_broken()
    if photo is not None:
        _refuse(ctx, ("alone", "start", "frames", "max_side", "fps", "plot"), "films")
        if table:
            read = [path for path in (photo, style, reference, *files) if path]
            _check_output("--csv", table, read, overwrite)
        from stylepipe.cli.measure_pictures import measure_pictures

        judged = calibration, judge_weights
        code, lines = measure_pictures(files, photo, style, reference, *judged, as_json)
        if table and lines:
            _write(table, lines)
        return code
    own = ("style", "reference", "calibration", "judge_weights")
    _refuse(ctx, own, "pictures, whose photo --photo names")
    if len(files) < 2:
        raise UsageError(
            "name the source and what was painted from it: stylepipe measure SOURCE RESULT; for "
            "pictures: stylepipe measure RESULT --photo PHOTO"
        )
    source, *results = files
    named = [path for path in (source, alone, *results) if path]
    for flag, path in (("--csv", table), ("--plot", plot)):
        if path:
            _check_output(flag, path, named, overwrite)
    if table and plot and table.resolve() == plot.resolve():
        raise UsageError(f"--csv and --plot both name {table}; name two files")
    for path in named:
        if not (path.exists() or is_several(path)):
            raise NoInputError(no_file(path))
    if plot and plot.suffix.lower() != ".png":
        raise UsageError(f"--plot writes PNG: name a file that ends in .png, not {plot}")
    from stylepipe.film_measures import measure_films

    failures: list[ItemError] = []

    def failed(error: ItemError) -> None:
        failures.append(error)
        complain(str(error))

    with ExitStack() as stack:
        rate = fps or _rate(app, named)

        def opened(path: Path, **options: str) -> Film:
            if fps or not _says_times(path):
                options["fps"] = rate
            return stack.enter_context(_film(app, path, options))

        first = opened(source, **({"start": start} if start else {}))

        def comparable(path: Path) -> Film:
            film = opened(path)
            film.check_against(first)
            if start is None:
                film.tell_other_numbers(first)
            return film

        base = comparable(alone) if alone else None
        films = []
        for path in results:
            try:
                films.append(comparable(path))
            except ItemError as error:
                failed(error)
        if not films:
            return ItemError.exit_code
        found = measure_films(first, films, base, max_side=max_side, limit=frames, failed=failed)
        damaged = any(film.damaged for film in (first, base, *films) if film)
    if as_json:
        print_json([_summary(one) for one in found])
    else:
        _print(found)
    if table:
        _write(table, _csv(found))
    if plot:
        _write(plot, _drawn(found))
    return ItemError.exit_code if failures or damaged else 0


def _refuse(ctx: click.Context, names: Sequence[str], meant: str) -> None:
    """Raises UsageError for a flag that means nothing here."""
    for name in names:
        if ctx.params[name] is not None:
            flag = next(p.opts[0] for p in ctx.command.params if p.name == name)
            raise UsageError(f"{flag} is for {meant}; leave it out")


def _film(app: App, path: Path, options: Mapping[str, str]) -> Film:
    from stylepipe.film_reading import Film
    from stylepipe.presets import draft

    readers = draft(app.plugins, "default", {"input": options}).settings().readers
    return Film(path, readers, lambda line: tell(printable(line)))


def _says_times(path: Path) -> bool:
    """Whether it is a film, or a folder of pictures with a file that says when each is shown."""
    from stylepipe.media.images import ImageReader
    from stylepipe.media.sequence import is_sequence

    return path.is_file() or is_sequence(path, ImageReader.patterns, timed=False)


def _rate(app: App, named: Sequence[Path]) -> str:
    """The rate of folders that do not say theirs: that of the first film that does."""
    for path in named:
        if _says_times(path):
            with suppress(ItemError), _film(app, path, {}) as film:  # reported in its turn
                if film.info.rate:
                    return str(film.info.rate)
    return DEFAULT_RATE


def _check_output(flag: str, path: Path, inputs: Sequence[Path], overwrite: bool) -> None:
    """Raises UsageError where a file cannot or must not be written."""
    if path.resolve() in [one.resolve() for one in inputs]:
        raise UsageError(f"{flag} {path} is one of the files to be read; name another")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UsageError(f"{flag} {path}: name a file in a folder that exists")
    if path.exists() and not overwrite:
        raise UsageError(f"{flag} {path} exists; pass --overwrite to replace it")


def _summary(one: Comparison) -> dict[str, Any]:
    """What is printed of a film; None for what does not apply."""
    film, kept = one.film, one.kept
    values: dict[str, Any] = {
        "film": str(film.path),
        "frames": len(film.frames),
        "pairs": len(film.pairs),
        "cuts": sum(frame.cut for frame in film.frames.values()),
        "e_warp": film.mean("e_warp"),
        "source": one.source_e_warp,
        "excess": one.excess,
        "gone": one.excess_gone,
        "sharp": film.mean("sharpness"),
        "kept": sum(kept) / len(kept) if kept else nan,
        "worst": min(kept, default=nan),
        "kept_in_shots": [_known(value) for value in one.kept_in_shots] if kept else nan,
        "style": film.mean("style_distance"),
        "flicker": film.mean("flicker"),
        "fixed": film.mean("texture_fixed"),
        "along": film.mean("texture_along"),
    }
    return {key: _known(value) for key, value in values.items()}


def _known(value: Any) -> Any:
    """None in place of nan, which JSON does not have."""
    return None if isinstance(value, float) and isnan(value) else value


_FORMATS = {
    "e_warp": ".5f",
    "source": ".5f",
    "excess": ".5f",
    "gone": ".1%",
    "sharp": ".0f",
    "kept": ".1%",
    "worst": ".1%",
    "style": ".3f",
    "flicker": ".2f",
    "fixed": ".3f",
    "along": ".3f",
}


def _print(found: Sequence[Comparison]) -> None:
    rows = [["film", *_FORMATS]]
    for one in found:
        values = _summary(one)
        cells = [
            "-" if values[key] is None else format(values[key], form)
            for key, form in _FORMATS.items()
        ]
        rows.append([values["film"], *cells])
    print_table(rows)


def _csv(found: Sequence[Comparison]) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        ["film", "frame", "time", "cut", "e_warp", "source", "sharp", "kept", "style", "flicker",
         "fixed", "along"]
    )  # fmt: skip
    for one in found:
        for index, frame in one.film.frames.items():
            values = [
                frame.e_warp,
                one.source.frames[index].e_warp,
                frame.sharpness,
                one.sharpness_kept(index),
                frame.style_distance,
                frame.flicker,
                frame.texture_fixed,
                frame.texture_along,
            ]
            cells = ["" if isnan(value) else f"{value:.8g}" for value in values]
            rows.writerow(
                [one.film.path, frame.number, f"{frame.time:.6f}", int(frame.cut), *cells]
            )
    return text.getvalue().encode(errors="surrogateescape")


def _drawn(found: Sequence[Comparison]) -> bytes:
    from stylepipe.film_plot import Curve, Panel, draw_chart

    panels = []
    for name, label in _PANELS.items():
        curves = [
            Curve(str(one.film.path), [(f.time, getattr(f, name)) for f in frames])
            for one in found
            for frames in [one.film.frames.values()]
        ]
        if any(not isnan(value) for curve in curves for _, value in curve.points):
            panels.append(Panel(label, curves))
    cuts = [frame.time for frame in found[0].source.frames.values() if frame.cut]
    data = io.BytesIO()
    draw_chart(panels, cuts).save(data, "png")
    return data.getvalue()


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises SetupError."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):  # the first error counts
            part.unlink(missing_ok=True)
        raise SetupError(f"cannot write {path}: {error.strerror or error}") from error

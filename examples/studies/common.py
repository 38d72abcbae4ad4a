"""What the studies share: one folder each, sweeps in it, and a page of tables, pictures and claims.

A study paints by ``stylepipe sweep``, whose pictures, pages and tables stay in its folder, and
measures those pictures. Its page, ``index.md``, is text, small pictures, and a table for every
``.csv`` beside it, which also names the picture of each line.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import platform
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from stylepipe.cli import main as program
from stylepipe.device import pick
from stylepipe.encoders import absent_weights, open_encoder
from stylepipe.errors import ItemError, SetupError, StylepipeError, UsageError
from stylepipe.memory import tune_threads
from stylepipe.nst.encoders import NAMES, Encoder
from stylepipe.nst.files import write_atomically
from stylepipe.pictures import read_picture
from stylepipe.sheets import Cell, contact_sheet, thumbnail
from stylepipe.stdio import tell
from stylepipe.studies.measures import Judge, Picture, limited

EXAMPLES = Path(__file__).resolve().parents[1]
SETTINGS = "study.json"
"""What a study was begun with: the same may resume it."""
LOADS = "loads.json"
"""How busy the machine was when each sweep or training had ended."""
MOST_BYTES = 60_000
"""Of a picture of the page."""
CELL = 200
"""Pixels of a picture on a sheet; small ones are enlarged."""
GATYS = {"use": "gatys", "style_loss": "gram", "first_side": 0, "tv_weight": 0}
"""Gatys et al. (2016): Gram matrices and content, at one size, and nothing else."""

Line = dict[str, Any]
"""One line of a table by column: texts, and numbers."""


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, and what became of it."""

    text: str
    holds: bool | None
    """None: it was not tried at these sizes."""
    found: str
    """The figures."""

    def line(self) -> Line:
        verdict = {True: "confirmed", False: "not confirmed", None: "not tried"}[self.holds]
        return {"the paper says": self.text, "here": verdict, "figures": self.found}


@dataclass
class Study:
    """The folder of one study, and what it is made with."""

    title: str
    args: argparse.Namespace
    encoder: Encoder
    judge: Judge
    """Of all figures, whatever the encoder that paints."""
    page: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        folder: Path = self.args.output
        return folder

    def picture(self, source: Path, name: str, side: int | None = None) -> Path:
        """A copy in the folder, no side longer than ``side`` or else ``--side``."""
        path = self.folder / f"{name}.png"
        try:
            save(path, limited(read_picture(source), side or self.args.side))
        except ItemError as error:
            raise UsageError(f"{source}: {error}") from error
        return path

    def sweep(
        self,
        name: str,
        photo: Path,
        styles: Sequence[Path],
        vary: Mapping[str, Sequence[object]],
        options: Mapping[str, object],
        *more: object,
    ) -> list[Line]:
        """``stylepipe sweep`` into a folder of the study: the lines of its table, with the
        ``picture`` of each. ``vary`` and ``options``: of the stylizer. Raises StudyFailed."""
        folder = self.folder / name
        if options["use"] == "gatys":
            options = {**self.encoder_options(), **options}
        calls: list[object] = ["sweep", photo, "-o", folder]
        for style in styles:
            calls += ["--style", style]
        for key, value in options.items():
            # a list is a value of --vary alone
            flag = "--vary" if isinstance(value, list) else "--set"
            calls += [flag, f"stylizer.{key}={_typed(value)}"]
        for key, values in vary.items():
            calls += ["--vary", f"stylizer.{key}={','.join(map(_typed, values))}"]
        command(*calls, *more)
        self.note_load(name)
        lines: list[Line] = []
        for line in csv.DictReader(io.StringIO((folder / "table.csv").read_text("utf-8"))):
            numbers = {key: _number(value) for key, value in line.items()}
            lines.append({**numbers, "picture": folder / line["folder"] / photo.name})
        return lines

    def note_load(self, work: str) -> None:
        """Remember how busy the machine is now that this work has ended, if it did not before."""
        loads = {work: os.getloadavg()[1], **self.loads()} if hasattr(os, "getloadavg") else {}
        write_atomically(self.folder / LOADS, json.dumps(loads, indent=1).encode())

    def loads(self) -> dict[str, float]:
        """Load averages, of five minutes, by work; none on systems without them."""
        note = self.folder / LOADS
        found: dict[str, float] = json.loads(note.read_text("utf-8")) if note.is_file() else {}
        return found

    def encoder_options(self) -> dict[str, object]:
        """The network asked for, as options of a stylizer."""
        weights = self.args.encoder_weights
        chosen = {"encoder": self.args.encoder}
        return chosen if weights is None else {**chosen, "encoder_weights": weights}

    def read(self, line: Line) -> Picture:
        """The picture of a line."""
        return read_picture(line["picture"])

    def say(self, *paragraphs: str) -> None:
        """Add text to the page."""
        self.page += paragraphs

    def differs(self, *ways: str) -> None:
        """Say what is not as in the paper; of the network it is said here."""
        if self.args.encoder and "VGG-19" not in self.encoder.title:
            ways = f"{self.encoder.title} instead of VGG-19", *ways
        self.say(f"Unlike the paper: {'; '.join(ways)}.")

    def table(self, name: str, lines: Sequence[Line], columns: Sequence[str]) -> None:
        """Add a table to the page, and write it as ``name.csv``, with the pictures' names."""
        text = io.StringIO()
        every = [*columns, *(["picture"] if "picture" in lines[0] else [])]
        table = csv.DictWriter(text, every, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        for line in lines:
            place = line.get("picture")
            where = {} if place is None else {"picture": place.relative_to(self.folder).as_posix()}
            table.writerow({**line, **where})
        write_atomically(self.folder / f"{name}.csv", text.getvalue().encode())
        self.say(markdown(lines, columns))

    def sheet(self, name: str, rows: Sequence[Sequence[tuple[str, Path]]]) -> None:
        """Add a labeled sheet of pictures to the page, ``name.jpg``."""
        box = CELL, CELL
        cells = [[Cell(text, thumbnail(read_picture(file), box)) for text, file in r] for r in rows]
        self.image(name, contact_sheet(cells, CELL), ", ".join(c.caption for r in cells for c in r))

    def image(self, name: str, image: Image.Image, says: str) -> None:
        """Add a picture to the page, ``name.jpg``, of at most MOST_BYTES."""
        write_atomically(self.folder / f"{name}.jpg", small_jpeg(image))
        self.say(f"![{says}]({name}.jpg)")

    def claims(self, claims: Sequence[Claim]) -> None:
        """Add what is confirmed and what is not."""
        lines = [claim.line() for claim in claims]
        self.say("## What is confirmed", markdown(lines, list(lines[0])))

    def write(self) -> None:
        """Write the page."""
        page = "\n\n".join([f"# {self.title}", *self.page, computed_on(self.loads())]) + "\n"
        write_atomically(self.folder / "index.md", page.encode())
        tell(f"{self.folder / 'index.md'}: the page of the study")


def computed_on(loads: Mapping[str, float]) -> str:
    """The processor and how busy it was, in words."""
    chosen = pick()
    if chosen.type == "cuda":
        return f"Computed on {torch.cuda.get_device_name(chosen.torch)}."
    facts = Path("/proc/cpuinfo")
    names = re.search(r"model name\s*: (.+)", facts.read_text("utf-8")) if facts.is_file() else None
    name = names[1] if names else platform.processor() or platform.machine()
    cores = os.cpu_count() or 1
    said = f"Computed on {cores} core{'s' * (cores > 1)}, {name}"
    if loads:
        ends = dict.fromkeys(f"{end(loads.values()) / cores:.1f}" for end in (min, max))
        said += f", at a load average of {' to '.join(ends)} per core, its own work included"
    return f"{said}."


class StudyFailed(Exception):
    """A command of the study failed, and said why."""

    def __init__(self, code: int) -> None:
        self.code = code


def command(*args: object) -> None:
    """Run a command of stylepipe. Raises StudyFailed."""
    code = program.run([str(a) for a in args])
    if code:
        raise StudyFailed(code)


def parser(
    doc: str, steps: int, full: str, side: int = 96, encoders: Sequence[str] = NAMES
) -> argparse.ArgumentParser:
    """The flags of every study. ``full``: the paper's sizes, in words. ``encoders``: what
    ``--encoder`` may name, the default first; none: the study has no such flags."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("-o", "--output", type=Path, required=True, help="the study's folder")
    made.add_argument("--side", type=int, default=side, help="long side of pictures [%(default)s]")
    made.add_argument("--steps", type=int, default=steps, help="of each picture [%(default)s]")
    made.add_argument("--full", action="store_true", help=f"the paper's sizes: {full}; hours")
    made.set_defaults(encoder=None, encoder_weights=None)
    if encoders:
        made.add_argument(
            "--encoder", default=encoders[0], choices=encoders, help="what paints [%(default)s]"
        )
        made.add_argument("--encoder-weights", type=Path, metavar="FILE", help="its weights")
    return made


def run(
    make: Callable[[Study], None],
    arguments: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    full: Mapping[str, object],
) -> int:
    """Parse the flags, run the study, write its page. Returns the exit code; what is wrong is said
    in one sentence. ``full``: the flags that ``--full`` stands for, unless they are typed."""
    args = arguments.parse_args(argv)
    typed = {
        name: value
        for name, value in vars(args).items()
        if name != "output" and value != arguments.get_default(name)
    }
    if args.full:
        vars(args).update({**full, **typed})
    tune_threads()
    try:
        study = _begin(arguments.description or "", typed, args)
        make(study)
        study.write()
    except StylepipeError as error:
        tell(f"error: {error}")
        return error.exit_code
    except StudyFailed as failed:
        return failed.code
    return 0


def _begin(doc: str, typed: Mapping[str, object], args: argparse.Namespace) -> Study:
    title, made_by = doc.partition(".\n")[0], doc.strip().splitlines()[-1].strip()
    for name, value in vars(args).items():
        least = 16 if name == "side" else 1
        if isinstance(value, int) and value is not False and value < least:
            raise UsageError(f"{_flag(name)} {value} is too small: {least} is the least")
        if isinstance(value, Path) and value != args.output and not value.exists():
            raise UsageError(f"{value} does not exist")
    named = args.encoder or "auto"
    if absent := absent_weights(named, args.encoder_weights):
        raise SetupError(absent)
    encoder = open_encoder(named, args.encoder_weights)
    judge = Judge(open_encoder("auto"))
    settings = {k: str(v) for k, v in vars(args).items() if k != "output"}
    settings |= {"study": title, "paints": encoder.title, "judges": judge.title}
    _claim_folder(args.output, settings)
    study = Study(title, args, encoder, judge)
    flags = [shlex.join(_flags(name, value)) for name, value in typed.items()]
    painted = f"painted by {encoder.title}, " if args.encoder else ""
    study.say(
        f"Made by `{' '.join([made_by, *flags])}`: {args.side} px, {args.steps} steps, "
        f"{painted}judged by {judge.title}. "
        "[What the figures are](../../guide/studies.md#the-figures)"
    )
    return study


def _flags(name: str, value: object) -> list[str]:
    """As they are typed."""
    if value is True:
        return [_flag(name)]
    values = value if isinstance(value, list) else [value]
    return [word for each in values for word in (_flag(name), str(each))]


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _claim_folder(folder: Path, settings: Mapping[str, str]) -> None:
    """Take an empty folder, or the study's own. Raises UsageError, SetupError."""
    note = folder / SETTINGS
    try:
        if note.is_file():
            if json.loads(note.read_text("utf-8")) != settings:
                raise UsageError(
                    f"{folder} holds a study with other settings; choose another --output"
                )
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} exists and holds no study; choose another --output")
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(note, json.dumps(settings, indent=1).encode())
    except ValueError as error:
        raise UsageError(f"{note} is damaged; choose another --output") from error
    except OSError as error:
        raise SetupError(f"cannot write into {folder}: {error.strerror or error}") from error


def region_mask(file: Path, like: np.ndarray) -> np.ndarray | None:
    """A mask from a file in the size of a picture, H W of 0 and 255; None if it has one color.
    Raises UsageError."""
    try:
        mask = read_picture(file)[..., 0]
    except ItemError as error:
        raise UsageError(f"{file}: {error}") from error
    size = like.shape[1], like.shape[0]
    mask = np.where(cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 127, 255, 0)
    return None if mask.min() == mask.max() else mask.astype(np.uint8)


def save(path: Path, picture: np.ndarray) -> None:
    """Write HxWx3 or HxW of uint8, losslessly."""
    Image.fromarray(picture).save(path)


def blocks(study: Study) -> list[str]:
    """One layer of each block: the poolings where the encoder has them, else its style layers.

    Raises UsageError for an encoder of fewer than three."""
    layers = [n for n in study.encoder.windows if n.startswith("pool")]
    layers = layers if len(layers) > 2 else list(study.encoder.default_style)
    if len(layers) < 3:
        raise UsageError(
            f"{study.encoder.title} has {len(layers)} blocks of layers, and three are compared at "
            "least; choose another --encoder"
        )
    return layers


def markdown(lines: Sequence[Line], columns: Sequence[str]) -> str:
    """The lines as a table."""
    rows = [columns, ["---"] * len(columns)]
    rows += [[shown(line.get(column, "")) for column in columns] for line in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def shown(value: object) -> str:
    """As tables and sentences show it: numbers to three digits."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def small_jpeg(image: Image.Image) -> bytes:
    """As good as MOST_BYTES allow, and smaller where quality alone does not do."""
    while True:
        for quality in (85, 75, 65, 55):
            file = io.BytesIO()
            image.save(file, "JPEG", quality=quality)
            if len(file.getvalue()) <= MOST_BYTES:
                return file.getvalue()
        image = image.resize((image.width * 4 // 5, image.height * 4 // 5))


def _typed(value: object) -> str:
    """As it is typed behind --set and --vary."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text

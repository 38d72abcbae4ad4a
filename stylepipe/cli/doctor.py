"""``stylepipe doctor``: one look at everything a job needs."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stylepipe.cli.app import App, app_of
from stylepipe.cli.output import print_json
from stylepipe.errors import SetupError, StylepipeError
from stylepipe.stdio import printable, tell
from stylepipe.version import __version__

if TYPE_CHECKING:
    from stylepipe.components import Stylizer

IMPORTS = {"opencv-python": "cv2", "pillow": "PIL"}
"""Import names that differ from the distribution's."""
NEEDED_ENCODERS = ("libx264", "aac")
OTHER_ENCODERS = (
    "libx265",
    "libsvtav1",
    "libvpx-vp9",
    "prores_ks",
    "h264_nvenc",
    "hevc_nvenc",
    "av1_nvenc",
    "h264_videotoolbox",
    "hevc_videotoolbox",
    "h264_qsv",
    "h264_vaapi",
)
LEAST_DISK = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    topic: str
    text: str
    ok: bool = True


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> int:
    """Check that everything stylepipe needs is in order; exit code 4 if something is not."""
    findings = []
    for check in CHECKS:
        try:
            made = list(check(app_of(ctx)))
        except Exception as error:  # what a check trips over is a finding, too
            why = str(error) if isinstance(error, StylepipeError) else repr(error)
            made = [Finding(check.__name__, why, ok=False)]
        findings += made
        for finding in made if not as_json else []:
            mark = (
                click.style("ok     ", fg="green")
                if finding.ok
                else click.style("problem", fg="red", bold=True)
            )
            click.echo(f"{mark}  {finding.topic:<9} {printable(finding.text)}")
    if as_json:
        print_json([vars(f) for f in findings])
    problems = sum(not f.ok for f in findings)
    if problems and not as_json:
        tell(f"{problems} problem{'s' if problems > 1 else ''} found")
    return SetupError.exit_code if problems else 0


def versions(app: App) -> Iterator[Finding]:
    yield Finding(
        "stylepipe", f"{__version__}, Python {platform.python_version()}, {platform.platform()}"
    )
    for requirement in metadata.requires("stylepipe") or []:
        if "extra ==" in requirement:
            continue
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        least, bound = (re.search(rf"{sign}\s*([\d.]+)", requirement) for sign in (">=", "<"))
        try:
            importlib.import_module(IMPORTS.get(name, name))
            version = _version(name)
        except ImportError as error:
            yield Finding("package", f"{name}: {error}; install stylepipe again", ok=False)
            continue
        if least and _numbers(version) < _numbers(least[1]):
            yield Finding("package", f"{name} {version} is too old: needs {requirement}", ok=False)
        elif bound and _numbers(version) >= _numbers(bound[1]):
            yield Finding("package", f"{name} {version} is too new: needs {requirement}", ok=False)
        else:
            yield Finding("package", f"{name} {version}")


def _version(name: str) -> str:
    for alternative in (name, f"{name}-headless", name.replace("-python", "-contrib-python")):
        try:
            return metadata.version(alternative)
        except metadata.PackageNotFoundError:
            continue
    return str(getattr(importlib.import_module(IMPORTS.get(name, name)), "__version__", "0"))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version.partition("+")[0])[:3])


def device(app: App) -> Iterator[Finding]:
    import torch

    from stylepipe.device import pick
    from stylepipe.memory import available_memory

    chosen = pick()
    name = (
        torch.cuda.get_device_name(chosen.torch)
        if chosen.type == "cuda"
        else (f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    )
    yield Finding("device", f"{chosen.type}: {name}")
    kind = str(chosen.dtype).removeprefix("torch.")
    why = (
        "computes in half precision natively"
        if chosen.dtype.itemsize == 2
        else ("no native half precision here, so models run in float32")
    )
    yield Finding("precision", f"{kind}: {why}")
    free = available_memory()
    yield Finding("memory", f"{free / 2**30:.1f} GiB available", ok=free > 1 << 30)


def ffmpeg(app: App) -> Iterator[Finding]:
    import av

    libraries = ", ".join(
        f"{k} {'.'.join(map(str, v))}"
        for k, v in sorted(av.library_versions.items())
        if k in ("libavcodec", "libavformat")
    )
    yield Finding("ffmpeg", f"PyAV {av.__version__}, {libraries}")
    for name in NEEDED_ENCODERS:
        if not _encodes(name):
            text = f"encoder {name} is missing; install the av package from PyPI"
            yield Finding("encoders", text, ok=False)
    usable = [n for n in (*NEEDED_ENCODERS, *OTHER_ENCODERS) if _encodes(n)]
    yield Finding("encoders", ", ".join(usable))


def pictures(app: App) -> Iterator[Finding]:
    from PIL import features

    for name in ("jpg", "webp", "libtiff", "avif"):
        if not features.check(name):
            yield Finding("pictures", f"Pillow lacks {name}; install pillow from PyPI", ok=False)
    extras = [
        what
        if all(map(importlib.util.find_spec, packages))
        else f"{what} needs: pip install 'stylepipe[{extra}]'"
        for what, packages, extra in (
            ("HEIC", ("pillow_heif",), "heic"),
            ("camera RAW", ("rawpy",), "raw"),
            ("rare TIFF", ("tifffile", "imagecodecs"), "tiff"),
        )
    ]
    yield Finding("pictures", "; ".join(["JPEG, PNG, WebP, TIFF, AVIF, BMP, GIF", *extras]))


def _encodes(name: str) -> bool:
    import av

    from stylepipe.media.video_encode import lacks_device

    try:
        av.codec.Codec(name, "w")
    except ValueError:  # PyAV's UnknownCodecError
        return False
    return not lacks_device(name)


def disk(app: App) -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free
    yield Finding("disk", f"{free / 2**30:.1f} GiB free in {Path.cwd()}", ok=free >= LEAST_DISK)


def plugins(app: App) -> Iterator[Finding]:
    for record in app.plugins.records:
        if record.error:
            why = f"{record.name}: {record.reason} (see stylepipe plugins)"
            yield Finding("plugin", why, ok=False)
        elif record.blocked:
            yield Finding("plugin", f"{record.name} is blocked by STYLEPIPE_PLUGINS")
        else:
            yield Finding("plugin", f"{record.name} ({record.origin})")


def presets(app: App) -> Iterator[Finding]:
    from stylepipe.presets import available, draft

    good = []
    for name, (_, path) in sorted(available(app.plugins).items()):
        try:
            draft(app.plugins, path).settings()
        except StylepipeError as error:
            yield Finding("preset", f"{name}: {error}", ok=False)
        else:
            good.append(name)
    yield Finding("presets", ", ".join(good) or "none", ok=bool(good))


def styles(app: App) -> Iterator[Finding]:
    """Every bundled style is loaded as a job would load it."""
    from stylepipe.components import Stylizer

    for name, cls in app.plugins.components(Stylizer).items():
        try:
            bundled = [style.name for style in cls.styles()]
        except Exception as error:  # the styles are the plugin's
            yield Finding("style", f"{name}: {error}", ok=False)
            continue
        broken = 0
        for style in bundled:
            try:
                _load(cls(cls.Options.build({"style": style})))
            except Exception as error:  # any failure to load is what we are looking for
                broken += 1
                yield Finding("style", f"{name}: {style}: {error}", ok=False)
        if bundled and not broken:
            yield Finding("styles", f"{name}: {', '.join(bundled)}")


def _load(stylizer: Stylizer) -> None:
    from stylepipe.job import OutputOptions, Settings
    from stylepipe.session import Session

    settings = Settings("doctor", (), None, stylizer, None, (), OutputOptions.build({}))
    Session(settings, device="cpu", log=lambda line: None).prepare().close()


def weights(app: App) -> Iterator[Finding]:
    from stylepipe.weights import KNOWN

    for name, entry in KNOWN.items():
        if entry.path.is_file():
            good = entry.matches(entry.path)
            advice = "" if good else f" is damaged; fetch it again: stylepipe weights fetch {name}"
            yield Finding("weights", f"{name}: {entry.path}{advice}", ok=good)


CHECKS: tuple[Callable[[App], Iterator[Finding]], ...] = (
    versions,
    device,
    ffmpeg,
    pictures,
    disk,
    plugins,
    presets,
    styles,
    weights,
)

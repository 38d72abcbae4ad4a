"""The files of a new plugin: a package to change, which installs and passes its contract."""

from __future__ import annotations

import keyword
import re
import shutil
from pathlib import Path
from string import Template

from stylepipe.declarations import NAME
from stylepipe.errors import SetupError, UsageError
from stylepipe.stdio import printable
from stylepipe.verbs import VERBS

_PROJECT = """\
[build-system]
requires = ["setuptools>=70"]
build-backend = "setuptools.build_meta"

[project]
name = "stylepipe-$name"
version = "0.1.0"
description = "A stylepipe plugin: $kind $name"
requires-python = ">=3.11"
dependencies = ["stylepipe"]

[project.optional-dependencies]
test = ["stylepipe[test]"]

# This is how stylepipe finds the plugin once it is installed: a name, and the module with hooks.
[project.entry-points.stylepipe]
$name = "$module"

[tool.setuptools]
packages = ["$module"]

[tool.setuptools.package-data]
$module = ["presets/*.toml"]
"""

_README = """\
# stylepipe-$name

A $kind for [stylepipe](https://pypi.org/project/stylepipe/).

```sh
python -m pip install .
stylepipe plugins check $name
stylepipe run PHOTOS -o OUTPUT --preset $name
```
"""

_TEST = '''\
"""The contract tests what stylepipe relies on; add tests of your own below."""

from stylepipe.testing import PluginContract


class TestPlugin(PluginContract):
    plugin = "$module"
'''

_HOOKS = """

@hookimpl
def stylepipe_components():
    return [$cls]


@hookimpl
def stylepipe_presets():
    return [Path(__file__).with_name("presets")]
"""

_SOURCES = {
    "stylizer": '''\
"""A stylizer: says how the picture is painted."""

from pathlib import Path

from stylepipe import Caps, Stylizer, StylizerOptions, hookimpl, option


class ${cls}Options(StylizerOptions):
    warmth: float = option(0.3, "From 0, gray, to 1, brown.", min=0, max=1)


class $cls(Stylizer):
    """Paints in browns, like an old photograph."""

    name = "$name"
    Options = ${cls}Options
    caps = Caps(needs_style=False, batch=8)

    def stylize(self, batch):
        """Return N3HW for N3HW, both in [0, 1]."""
        red, green, blue = batch.images.unbind(1)
        gray = 0.299 * red + 0.587 * green + 0.114 * blue
        tint = batch.images.new_tensor([0.4, 0.1, -0.3])[:, None, None] * self.options.warmth
        return (gray[:, None] * (1 + tint)).clamp(0, 1)
''',
    "masker": '''\
"""A masker: says where the picture is painted."""

from pathlib import Path

from stylepipe import Masker, Options, hookimpl, option


class ${cls}Options(Options):
    above: float = option(0.5, "Paint what is brighter, from 0 to 1.", min=0, max=1)


class $cls(Masker):
    """Paints only what is bright."""

    name = "$name"
    Options = ${cls}Options

    def mask(self, batch, frames):
        """Return N1HW in [0, 1], as large as the images: 1 is painted."""
        return (batch.images.mean(1, keepdim=True) > self.options.above).float()
''',
    "temporal": '''\
"""A temporal method: keeps the frames of a film alike. This one takes the median of a few."""

from pathlib import Path

from stylepipe import Options, Temporal, hookimpl, option


class ${cls}Options(Options):
    radius: int = option(1, "Frames on either side that count.", min=1, max=8)


class $cls(Temporal):
    """Takes the median over neighboring frames: flicker goes, and fast things leave traces."""

    name = "$name"
    mode = "filter"
    uses_flow = False
    Options = ${cls}Options

    def __init__(self, options, flow=None):
        super().__init__(options, flow)
        self.lookahead = options.radius

    def filter(self, window, at, previous):
        """Return the final pixels of ``window[at]``: HxWx3 of the same dtype."""
        import numpy as np

        pixels = [painted.pixels for painted in window]
        return np.median(pixels, axis=0).astype(window[at].pixels.dtype)
''',
    "flow": '''\
"""An optical flow: says how things move from one frame of a video to the next."""

from pathlib import Path

from stylepipe import Flow, Options, hookimpl, option


class ${cls}Options(Options):
    radius: int = option(4, "Largest motion that is looked for, in pixels.", min=0, max=32)


class $cls(Flow):
    """Finds the one shift that moves the whole picture best."""

    name = "$name"
    Options = ${cls}Options

    def flow(self, a, b):
        """Return 12HW, float32: for each pixel of ``a`` the way (dx, dy), in pixels, to ``b``."""
        import numpy as np
        import torch

        before, now = (f.pixels.mean(2, dtype=np.float32) / f.white for f in (a, b))
        height, width = before.shape
        across, down = (min(self.options.radius, side - 1) for side in (width, height))

        def error(shift):
            dx, dy = shift
            here = before[max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
            there = now[max(0, dy) : height - max(0, -dy), max(0, dx) : width - max(0, -dx)]
            return float(np.abs(here - there).mean()), abs(dx) + abs(dy)

        shifts = [(dx, dy) for dy in range(-down, down + 1) for dx in range(-across, across + 1)]
        best = torch.tensor(min(shifts, key=error), dtype=torch.float32)
        return best[None, :, None, None].repeat(1, 1, height, width)
''',
    "reader": '''\
"""A reader: turns files into frames. This one reads PPM, the simplest format there is."""

import re
from pathlib import Path

from stylepipe import Frame, Info, ItemError, Options, Reader, hookimpl, option

HEADER = re.compile(rb"P6\\s+(\\d+)\\s+(\\d+)\\s+255\\s")


class ${cls}Options(Options):
    ppm_gamma: float = option(1.0, "Below 1 pictures get brighter.", min=0.1, max=10)


class $cls(Reader):
    """PPM pictures of eight bits."""

    name = "$name"
    kind = "image"
    patterns = (".ppm",)
    Options = ${cls}Options

    def probe(self, path):
        """Describe the file; raise ItemError, in one sentence, if it is not a picture."""
        try:
            with path.open("rb") as file:
                header = HEADER.match(file.read(64))
            size = path.stat().st_size
        except OSError as error:
            raise ItemError(f"it cannot be read: {error.strerror}") from error
        if not header:
            raise ItemError("this is not a PPM picture of eight bits")
        width, height = int(header[1]), int(header[2])
        if size < header.end() + 3 * width * height or not width * height:
            raise ItemError("the picture is cut off")
        return Info("image", "ppm", width, height)

    def frames(self, item, info, start=0):
        """Yield the frames from number ``start``; a picture has one."""
        import numpy as np

        if start:
            return

        data = item.source.read_bytes()
        count, begin = 3 * info.width * info.height, HEADER.match(data).end()
        pixels = np.frombuffer(data, np.uint8, count, begin) / 255
        bright = 255 * pixels**self.options.ppm_gamma
        yield Frame(bright.round().astype(np.uint8).reshape(info.height, info.width, 3))
''',
    "writer": '''\
"""A writer: turns frames into files. This one writes PPM, the simplest format there is."""

from pathlib import Path

from stylepipe import ItemError, Options, Sink, Writer, hookimpl, option


class ${cls}Options(Options):
    ppm_text: bool = option(False, "Write numbers as text, which people can read.")


class $cls(Writer):
    """PPM pictures of eight bits."""

    name = "$name"
    kind = "image"
    patterns = (".ppm",)
    Options = ${cls}Options

    def open_sink(self, item, info, path, work):
        """Begin to write the file ``path``."""
        return ${cls}Sink(path, self.options.ppm_text)


class ${cls}Sink(Sink):
    def __init__(self, path, text):
        self.path, self.text = path, text

    def write(self, frame):
        """Take the frame: HxWx3, uint8 or uint16."""
        pixels = frame.pixels if frame.white == 255 else (frame.pixels // 257).astype("uint8")
        height, width = pixels.shape[:2]
        body = " ".join(map(str, pixels.ravel())).encode() if self.text else pixels.tobytes()
        data = b"P%d %d %d 255\\n%b" % (3 if self.text else 6, width, height, body)
        try:
            self.path.write_bytes(data)
        except OSError as error:
            raise ItemError(f"it cannot be written: {error.strerror}") from error

    def close(self):
        """Complete the file."""

    def abort(self):
        """Remove what was written."""
        if self.path.is_file():
            self.path.unlink()
''',
}

_TABLES = {
    "stylizer": '[stylizer]\nuse = "$name"\nwarmth = 0.8\n',
    "masker": '[mask]\nuse = "$name"\nthreshold = 0.6\nfeather = 4\n',
    "temporal": '[temporal]\nuse = "$name"\nradius = 2\n',
    "flow": '[temporal]\nuse = "warp"\nflow = "$name"\nradius = 6\n',
    "reader": "[input]\nppm_gamma = 0.8\n",
    "writer": '[output]\nformat = "ppm"\nppm_text = true\n',
}
KINDS = tuple(_SOURCES)


def create(name: str, kind: str, parent: Path) -> Path:
    """Write a plugin of one of :data:`KINDS` to the folder ``stylepipe-NAME`` in ``parent``.

    Returns the folder. Raises UsageError for a name that cannot be used and a folder that exists,
    SetupError if it cannot be written.
    """
    if not NAME.fullmatch(name) or not name[0].isalpha():
        raise UsageError(
            f"{name!r} cannot be a plugin's name; write it in lower case, begin with a letter, and "
            "join words by '-', such as old-photo"
        )
    if name in VERBS or name == "none":
        raise UsageError(f"{name!r} is a word that stylepipe uses itself; choose another name")
    folder = parent / f"stylepipe-{name}"
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{printable(str(folder))} exists; choose another name, or --output")
    cls = "".join(word.title() for word in name.split("-"))
    if keyword.iskeyword(cls) or re.search(rf"\b{cls}\b", _SOURCES[kind] + _HOOKS):
        cls += kind.title()  # such as PathMasker, for the source uses Path
    words = {
        "name": name,
        "kind": kind,
        "module": f"stylepipe_{name.replace('-', '_')}",
        "cls": cls,
    }
    extends = "" if kind == "stylizer" else 'extends = "default"\n'
    preset = f'description = "What {name} does, in a few words."\n{extends}\n{_TABLES[kind]}'
    files = {
        "pyproject.toml": _PROJECT,
        "README.md": _README,
        f"{words['module']}/__init__.py": _SOURCES[kind] + _HOOKS,
        f"{words['module']}/presets/{name}.toml": preset,
        f"tests/test_{words['module']}.py": _TEST,
    }
    try:
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(Template(text).substitute(words), encoding="utf-8")
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)  # half of it would be in the way of another try
        if isinstance(error, OSError):
            raise SetupError(f"cannot write {folder}: {error.strerror}") from error
        raise
    return folder

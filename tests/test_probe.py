"""``stylepipe probe`` opens readers as a job does, and is quick."""

from __future__ import annotations

import subprocess
import sys

from clips import make_clip

from stylepipe.cli import main

PLUGIN = '''
from stylepipe import Info, Reader, hookimpl


class Asking(Reader):
    """Asks for all that a context has."""

    name, kind, patterns = "asking", "image", (".ask",)

    def open(self, context):
        context.log("opened")
        context.progress(0.5, "half")
        assert context.memory > 0
        self.device = context.device.type

    def probe(self, path):
        return Info("image", self.device, 1, 1)

    def frames(self, item, info, start=0):
        raise NotImplementedError


@hookimpl
def stylepipe_components():
    return [Asking]
'''


def test_a_reader_gets_all_that_a_context_has(tmp_path, capsys):
    (tmp_path / "asking.py").write_text(PLUGIN)
    (tmp_path / "a.ask").write_text("")
    argv = ["probe", str(tmp_path / "a.ask"), "--plugin", str(tmp_path / "asking.py")]
    assert main.run(argv) == 0
    said = capsys.readouterr()
    assert "opened" in said.err and "opened" not in said.out
    assert "cpu" in said.out


def test_a_film_is_described_without_torch(tmp_path):
    clip = make_clip(tmp_path / "in.mp4", (0, 40))
    program = (
        "import sys; from stylepipe.cli import main\n"
        "code = main.run(['probe', sys.argv[1]])\n"
        "sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, clip], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "h264" in done.stdout

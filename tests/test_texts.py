"""Texts from outside are bounded before they are used."""

import json
import struct
import time
import zlib
from pathlib import Path

import fakes
import numpy as np
import pytest
from fakes import array, settings

from stylepipe import UsageError, presets
from stylepipe.job import Job, OutputOptions
from stylepipe.media.segments import read_index
from stylepipe.media.video import VideoReader
from stylepipe.options import Options, option
from stylepipe.pipeline import run
from stylepipe.report import Report

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"[stylizer]\nstyle = {'[' * 5000}{']' * 5000}", "nested too deeply"),
        (f"x = {'{a=' * 5000}1{'}' * 5000}", "nested too deeply"),
        ("[stylizer]\n" + "a." * 20_000 + "a = 1", "more than 200 dots in line 2"),
        (f"description = '{'x' * 70_000}'", "larger than 64 KiB"),
    ],
)
def test_a_preset_that_would_fill_the_memory_is_refused_at_once(tmp_path, text, words):
    path = tmp_path / "p.toml"
    path.write_text(text)
    begun = time.process_time()
    with pytest.raises(UsageError, match=f"p.toml is not valid TOML: it.*{words}"):
        presets.load(path)
    assert time.process_time() - begun < 1


def test_a_table_of_paintings_is_bounded_too(tmp_path):
    from stylepipe_plugins.fast.exemplars import read_exemplars

    path = tmp_path / "p.toml"
    path.write_text(f"x = {'[' * 5000}{']' * 5000}")
    with pytest.raises(UsageError, match=r"cannot read the table of paintings .*nested too deeply"):
        read_exemplars(path)


def test_journal_lines_of_others_cost_nothing(tmp_path):
    np.save(tmp_path / "a.npy", array())

    def go():
        job = Job((tmp_path / "a.npy",), tmp_path / "out", chosen,
                  device="cpu")  # fmt: skip
        return run(job, fakes.Plugins(), Report(quiet=True)).counts

    # Names that tell a number are looked for under all names that the journal has.
    chosen = settings(name="{stem}-{index}")
    assert go() == {"done": 1}
    journal = tmp_path / "out" / ".stylepipe" / "journal.jsonl"
    lines = [DEEP[:60_000], "x" * 200_000, '{"output": []}', '{"output": {"a": 1}}', "[]", "1" * 99]
    entry = json.loads(journal.read_text())
    lines.append(json.dumps({**entry, "content": 3, "version": None, "settings": 4}))
    lines.append(json.dumps({**entry, "name": []}))
    lines += [json.dumps({**entry, "output": name}) for name in (5, "a\0b", "x" * 5000)]
    journal.write_text("\n".join([*lines, journal.read_text()]))
    assert go() == {"skipped": 1}
    journal.write_text(json.dumps({**entry, "content": "3", "version": ""}))
    assert go() == {"done": 1}, "it is ours, of a source that was something else"


def test_found_numbers_of_others_are_refused(tmp_path):
    from stylepipe_plugins.gatys.tuning import read_found

    path = tmp_path / "sheet.json"
    for text in (DEEP, "x" * 200_000, "[]", '{"source": 3}'):
        path.write_text(text)
        with pytest.raises(UsageError, match="another file; give the sheet another name"):
            read_found(path, "", {}, [])


def test_heads_of_styles_are_bounded(tmp_path):
    from stylepipe_plugins.fast.bundled import read_head

    path = tmp_path / "light.safetensors"
    path.write_bytes(struct.pack("<Q", len(DEEP)) + DEEP.encode())
    with pytest.raises(ValueError, match="is no file of styles"):
        read_head(path)


def test_a_segment_with_a_nested_index_is_none(tmp_path):
    from stylepipe.media.segments import _FOOTER, _MAGIC

    data = DEEP.encode()
    (tmp_path / "s.seg").write_bytes(data + _FOOTER.pack(len(data), zlib.crc32(data), _MAGIC))
    assert read_index(tmp_path / "s.seg") is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("{stem:>2000000000}", "wider than 255"),
        ("{stem!r:0<256}", "wider than 255"),
        ("{index:.2000000000f}", "wider than 255"),
        ("{index:02000000000d}", "wider than 255"),
        ("{index:" + "9" * 5000 + "d}", "5009 characters, of 255"),
        ("{stem}" * 100, "600 characters, of 255"),
    ],
)
def test_names_are_no_longer_than_a_disk_holds(name, words):
    with pytest.raises(UsageError, match=words):
        OutputOptions(name=name)
    assert OutputOptions(name="{stem:>20}-{index:04d}").numbered


@pytest.mark.parametrize("text", ["1e999999999", "1e9:1e9", "9" * 100, "1/3", "1_0"])
def test_times_are_plain_numbers(text):
    begun = time.process_time()
    with pytest.raises(UsageError, match="start takes seconds"):
        VideoReader.Options(start=text)
    assert time.process_time() - begun < 1


def test_messages_quote_long_values_cut(tmp_path):
    class Mine(Options):
        count: int = option(1, "A number.")
        kind: str = option("a", "A word.", choices=("a", "b"))

    for values in ({"count": "x" * 60_000}, {"kind": "y" * 60_000}, {"count": ["z"] * 9000}):
        with pytest.raises(UsageError) as caught:
            Mine.build(values)
        assert len(str(caught.value)) < 300
    path = tmp_path / "p.toml"
    path.write_text(f"extends = [{'1,' * 20_000}]")
    with pytest.raises(UsageError) as caught:
        presets.load(path)
    assert len(str(caught.value)) < 300 + len(str(path)) and Path(path).exists()

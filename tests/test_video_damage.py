"""Damaged films: what is painted all the same, and what is told of the rest."""

from __future__ import annotations

import json
import threading
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from clips import Log, convert, item_for, make_clip

from stylepipe.cli import main
from stylepipe.errors import DamageError, ItemError
from stylepipe.media.video import VideoReader

FAMILIES = {
    "mp4": ("libx264", "yuv420p"),
    "mov": ("png", "rgb24"),
    "mkv": ("libx264", "yuv420p"),
    "webm": ("libvpx", "yuv420p"),
    "avi": ("mpeg4", "yuv420p"),
    "ts": ("libx264", "yuv420p"),
    "flv": ("flv", "yuv420p"),
    "nut": ("ffv1", "yuv420p"),
    "wmv": ("wmv2", "yuv420p"),
    "y4m": ("wrapped_avframe", "yuv420p"),
    "ogv": ("libvpx", "yuv420p"),
}
FRAMES = 50


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A film of two seconds in each family; noise, so that any byte matters."""
    folder = tmp_path_factory.mktemp("films")
    noise = np.random.default_rng(0).integers(0, 255, (FRAMES, 48, 64, 3), np.uint8)
    made = {}
    for suffix, (codec, pix_fmt) in FAMILIES.items():
        path = make_clip(
            folder / f"{codec}.{suffix}",
            range(FRAMES),
            codec=codec,
            pix_fmt=pix_fmt,
            pictures=noise,
            time_base=Fraction(1, 25),
        )
        made[suffix] = path
    for suffix in ("mp4", "mov"):  # with its index in front, as films of the web have it
        with (
            av.open(str(made[suffix])) as old,
            av.open(
                str(front := folder / f"front.{suffix}"),
                "w",
                container_options={"movflags": "faststart"},
            ) as new,
        ):
            stream = new.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(old.streams.video[0]):
                if packet.size:
                    packet.stream = stream
                    new.mux(packet)
        made[f"late {suffix}"], made[suffix] = made[suffix], front
    return made


def read(path, **options):
    """Frames and what was told of damage, as a job that paints what decodes would have it."""
    told: list[str] = []
    reader = VideoReader(VideoReader.Options(**options))
    reader.open(SimpleNamespace(damaged=told.append, log=told.append))
    info = reader.probe(path)
    return list(reader.frames(item_for(path, path), info)), told


def cut(path, share, folder):
    data = path.read_bytes()
    short = folder / f"cut{path.suffix}"
    short.write_bytes(data[: int(len(data) * share)])
    return short


def torn(path, share, folder, size=500):
    """Random bytes in the place of the file's own."""
    data = bytearray(path.read_bytes())
    start = int(len(data) * share)
    data[start : start + size] = np.random.default_rng(1).integers(0, 256, size, np.uint8).tobytes()
    damaged = folder / f"torn{path.suffix}"
    damaged.write_bytes(bytes(data))
    return damaged


@pytest.mark.parametrize("family", FAMILIES)
def test_whole_films_are_not_accused(films, family):
    frames, told = read(films[family])
    assert (len(frames), told) == (FRAMES, [])


@pytest.mark.parametrize("family", FAMILIES)
def test_cut_films_are_told_and_read_as_far_as_they_go(films, tmp_path, family, capfd):
    frames, told = read(cut(films[family], 0.6, tmp_path))
    assert FRAMES * 0.4 <= len(frames) < FRAMES
    assert any(word in " ".join(told) for word in ("cut", "damaged at 0:01"))
    assert capfd.readouterr() == ("", "")


def test_half_a_picture_of_dv_is_told(tmp_path):
    """FFmpeg fills it up with what was in memory."""
    film = make_clip(
        tmp_path / "in.dv", range(4), codec="dvvideo", size=(720, 576), time_base=Fraction(1, 25)
    )
    assert len(read(film)[0]) == 4
    assert "cut short: it ends in a picture, at 0:00.120" in read(cut(film, 0.6, tmp_path))[1]


@pytest.mark.parametrize("family", ["mp4", "mov", "mkv", "webm", "avi", "ts", "flv", "nut"])
def test_random_bytes_in_the_middle_are_told(films, tmp_path, family, capfd):
    """Not at any place: most of the bits of VP8, VP9, AV1 and HEVC decode whatever they are."""
    shares = (0.45, 0.5, 0.55, 0.6)
    found = [read(torn(films[family], share, tmp_path)) for share in shares]
    accused = [frames for frames, told in found if told]
    assert len(accused) >= (1 if family == "webm" else 3)
    assert all(len(frames) > FRAMES / 2 for frames in accused)
    assert all(told for frames, told in found if len(frames) < FRAMES), "lost without a word"
    assert all(
        one.startswith(("damaged at 0:0", "cut short")) or "index are missing" in one
        for _, told in found
        for one in told
    )
    assert capfd.readouterr() == ("", "")


def test_a_film_without_its_index_is_refused_in_one_sentence(films, tmp_path):
    with pytest.raises(ItemError, match=r"cut short.* index at the end is missing; copy it"):
        read(cut(films["late mov"], 0.6, tmp_path))


def test_a_film_that_ends_between_two_packets_is_told_by_its_header(films, tmp_path):
    """The demuxer sees nothing wrong there."""
    data = films["mkv"].read_bytes()
    with av.open(str(films["mkv"])) as film:
        last = [bytes(p) for p in film.demux(video=0) if p.size][24]
    short = tmp_path / "short.mkv"
    short.write_bytes(data[: data.index(last) + len(last)])
    frames, told = read(short)
    assert len(frames) == 25
    assert told[-1] == "cut short: it ends at 0:01.000 of 0:02.000"


def test_a_film_that_lacks_its_last_bytes_only_is_told(films, tmp_path):
    short = tmp_path / "short.avi"
    short.write_bytes(films["avi"].read_bytes()[:-60])
    frames, told = read(short)
    assert (len(frames), told) == (FRAMES, ["cut short: 60 bytes are missing at its end"])


def test_sound_that_is_longer_than_the_pictures_is_no_damage(tmp_path):
    source = make_clip(tmp_path / "in.mkv", range(0, 2000, 40), sound=True)
    mixed = tmp_path / "mixed.mkv"
    with av.open(str(source)) as old, av.open(str(mixed), "w") as new:
        streams = {s.index: new.add_stream_from_template(s) for s in old.streams}
        for packet in old.demux():
            early = packet.stream.type == "audio" or (packet.pts or 0) * packet.time_base < 1
            if packet.size and early:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    frames, told = read(mixed)
    assert (len(frames), told) == (25, [])


def test_probe_says_what_is_in_a_film_that_is_cut_off(films, tmp_path, capsys):
    short = cut(films["mp4"], 0.6, tmp_path)
    assert main.run(["probe", "--json", str(short), str(films["mkv"])]) == 1
    damaged, whole = json.loads(capsys.readouterr().out)
    assert damaged["width"] == 64 and damaged["damage"].startswith("the file is cut off")
    assert "damage" not in whole


def test_damage_outside_the_span_does_not_count(films, tmp_path):
    damaged = torn(films["mov"], 0.5, tmp_path)
    _, told = read(damaged)
    assert len(told) == 1 and told[0].startswith("damaged at 0:0")
    assert read(damaged, end="0.6")[1] == [] and read(damaged, start="1.4")[1] == []
    short = cut(films["mp4"], 0.6, tmp_path)
    assert read(short, end="0.6")[1] == []


def test_pictures_of_other_threads_survive_damage_at_the_end(films, tmp_path):
    """The last picture is damaged, and only that one is lost."""
    with av.open(str(films["mov"])) as film:
        last = [p.pos for p in film.demux(video=0) if p.size][-1]
    data = bytearray(films["mov"].read_bytes())
    data[last + 60 : last + 400] = bytes(340)
    path = tmp_path / "end.mov"
    path.write_bytes(bytes(data))
    frames, told = read(path)
    assert len(frames) == FRAMES - 1 and [f.index for f in frames] == list(range(FRAMES - 1))
    assert len(told) == 1 and "damaged at 0:01.9" in told[0]


def test_nothing_that_decodes_is_an_error(films, tmp_path):
    data = bytearray(films["mov"].read_bytes())
    with av.open(str(films["mov"])) as film:
        for packet in film.demux(video=0):
            if packet.size:
                data[packet.pos : packet.pos + 100] = bytes(100)
    path = tmp_path / "nothing.mov"
    path.write_bytes(bytes(data))
    with pytest.raises(ItemError, match=r"nothing of it can be decoded: .*copy it again"):
        read(path)


def test_without_a_job_damage_is_an_error(films, tmp_path):
    path = torn(films["mov"], 0.5, tmp_path)
    reader = VideoReader(VideoReader.Options())
    info = reader.probe(path)
    with pytest.raises(DamageError, match="damaged at 0:0"):
        list(reader.frames(item_for(path, path), info))


def test_the_log_of_ffmpeg_is_as_it_was(films, tmp_path):
    path = torn(films["mkv"], 0.5, tmp_path)
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    for _ in range(10):  # also where reading stops while decoders are at work
        reader = VideoReader(VideoReader.Options())
        reader.open(SimpleNamespace(damaged=lambda what: None, log=lambda line: None))
        frames = reader.frames(item_for(path, path), reader.probe(path))
        next(frames)
        frames.close()
    assert (av.logging.get_level(), av.logging.get_skip_repeated()) == before
    assert threading.active_count() < 20


def test_a_torn_packet_of_sound_costs_no_more_than_itself(tmp_path):
    """Where it has to be decoded: in a container that cannot hold it as it is."""
    film = make_clip(tmp_path / "in.mp4", range(0, 2000, 40), sound=True)
    with av.open(str(film)) as opened:
        packets = [(p.pos, p.size) for p in opened.demux(audio=0) if p.size]
    place, size = packets[len(packets) // 2]
    data = bytearray(film.read_bytes())
    data[place : place + size] = b"\xff" * size
    film.write_bytes(data)
    log = Log()
    convert(film, tmp_path / "out.webm", log)
    assert "in.mp4: sound is damaged from 0:0" in log.lines[-1] and len(log.lines) == 2
    with av.open(str(tmp_path / "out.webm")) as out, av.open(str(film)) as opened:
        heard = [float(p.pts * p.time_base) for p in out.demux(audio=0) if p.size]
        whole = [float(p.pts * p.time_base) for p in opened.demux(audio=0) if p.size]
    assert heard[-1] == pytest.approx(whole[-1], abs=0.06)
    assert max(np.diff(heard)) < 0.1

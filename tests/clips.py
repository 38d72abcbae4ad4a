"""Tiny clips for the video tests, made on the spot, and a writer that paints nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from stylepipe.media.video import VideoReader, VideoWriter
from stylepipe.types import Frame, Info, Item


class Log:
    """Stands for the engine's context; keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)

    damaged = log


def picture(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """HxWx3 uint8: soft colors, a bright square that moves with ``number``."""
    x, y = np.meshgrid(np.linspace(60, 180, width), np.linspace(70, 170, height))
    rgb = np.stack((x, y, np.full_like(x, 100 + number % 50)), -1)
    left = (number * 3) % max(1, width - 12)
    rgb[height // 4 : height // 2, left : left + 12] = (210, 190, 60)
    return rgb.astype(np.uint8)


def make_clip(
    path: Path,
    times: Sequence[int] = tuple(range(0, 600, 40)),
    *,
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    pix_fmt: str = "yuv420p",
    time_base: Fraction = Fraction(1, 1000),
    sound: bool = False,
    rotate: int = 0,
    aspect: Fraction | None = None,
    color: tuple[int, int, int, int] | None = None,
    options: dict[str, str] | None = None,
    pictures: Iterable[np.ndarray] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Encode a clip whose frames begin at ``times``; ``color``: range, matrix, primaries, trc."""
    frames = [picture(n, *size) for n in range(len(times))] if pictures is None else list(pictures)
    with av.open(str(path), "w") as out:
        out.metadata.update(metadata or {})
        fast = {"preset": "ultrafast"} if codec == "libx264" else {}
        video = out.add_stream(codec, rate=25, options={**fast, **(options or {})})
        video.width, video.height = size
        video.pix_fmt = pix_fmt
        video.codec_context.time_base = video.time_base = time_base
        if aspect:
            video.codec_context.sample_aspect_ratio = aspect
        if rotate:
            video.set_display_rotation(rotate)
        if color:
            ctx = video.codec_context
            ctx.color_range, ctx.colorspace, ctx.color_primaries, ctx.color_trc = color
        matrix = {1: 1, 9: 9}.get(color[1], 5) if color else 5
        span = color[0] if color else 1
        packets = []
        if sound:
            audio = out.add_stream("aac", rate=48000)
            audio.layout = "mono"
            length = int((times[-1] * time_base + Fraction(1, 25)) * 48000)
            wave = (8000 * np.sin(np.arange(length) / 20)).astype(np.int16)[None]
            piece = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            piece.sample_rate, piece.pts = 48000, 0
            resampler = av.AudioResampler("fltp", "mono", 48000, 1024)
            for part in [*resampler.resample(piece), *resampler.resample(None)]:
                packets += audio.encode(part)
            packets += audio.encode(None)
        for number, time in enumerate(times):
            pixels = frames[number]
            name = "rgb48le" if pixels.dtype == np.uint16 else "rgb24"
            frame = av.VideoFrame.from_ndarray(pixels, format=name).reformat(
                format=pix_fmt,
                src_colorspace=matrix,
                dst_colorspace=matrix,
                src_color_range=2,
                dst_color_range=span,
            )
            frame.pts, frame.time_base = time, time_base
            packets += video.encode(frame)
        packets += video.encode(None)
        step = round(Fraction(1, 25) / time_base)
        lasting = dict(zip(times, [b - a for a, b in pairwise(times)] + [step], strict=True))
        for packet in packets:
            if packet.stream.type == "video":
                packet.duration = lasting[packet.pts]
        packets.sort(key=lambda p: p.dts * p.time_base)
        for packet in packets:
            out.mux(packet)
    return path


def item_for(source: Path, output: Path) -> Item:
    return Item(0, source, source.parent, output)


def read(path: Path, first: int = 0, **options: object) -> tuple[Info, list[Frame]]:
    reader = VideoReader(VideoReader.Options(**options))
    info = reader.probe(path)
    assert info is not None
    return info, list(reader.frames(item_for(path, path), info, first))


def convert(
    source: Path,
    output: Path,
    log: Log | None = None,
    stop: int | None = None,
    trim: dict[str, str] | None = None,
    **options: object,
) -> int:
    """Copy a clip through reader and writer; ``stop`` ends it like a kill before that frame.

    Returns how many frames were already done.
    """
    reader = VideoReader(VideoReader.Options(**(trim or {})))
    writer = VideoWriter(VideoWriter.Options(**options))
    log = log or Log()
    reader.open(log)
    writer.open(log)
    info = reader.probe(source)
    assert info is not None
    work = output.parent / "work"
    work.mkdir(exist_ok=True)
    sink = writer.open_sink(item_for(source, output), info, output, work)
    done = sink.done
    try:
        for number, frame in enumerate(reader.frames(item_for(source, output), info, done), done):
            if number == stop:
                return done
            sink.write(frame)
        sink.close()
    finally:
        if segment := getattr(sink, "_segment", None):
            segment.file._file.close()  # as the system does for a process that was killed
    return done


def packets(path: Path, kind: str) -> list[list[tuple[Fraction, bytes]]]:
    """Times and bytes of all packets of each stream of a kind."""
    with av.open(str(path)) as container:
        streams = [s for s in container.streams if s.type == kind]
        found: dict[int, list[tuple[Fraction, bytes]]] = {s.index: [] for s in streams}
        for packet in container.demux(streams) if streams else ():
            if packet.size:
                found[packet.stream.index].append((packet.pts * packet.time_base, bytes(packet)))
    return list(found.values())

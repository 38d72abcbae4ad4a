"""Paint photos or a clip as one writes it first: decode a picture, paint it, encode it.

    python tests/benchmarks/naive.py SOURCE OUTPUT NETWORK STYLE LIMIT CRF PRESET

The reference of speed.py: eager float32, nothing tuned, only the first LIMIT pictures. An OUTPUT
named .npy takes the pictures as they were painted, without an encoder's noise. Prints two events:
``item_start`` when the network is there, ``job_done`` with the seconds by stage.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from stylepipe.nst.networks import StyleNetwork, load_styles

STYLES = Path(__file__).resolve().parents[2] / "plugins" / "fast" / "styles"
# So that the painting is all that differs from what ships.
EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def decode(source: Path) -> Iterator[np.ndarray]:
    """HxWx3 RGB, uint8."""
    if source.is_dir():
        for path in sorted(source.iterdir()):
            yield cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        return
    with av.open(str(source)) as container:
        for frame in container.decode(video=0):
            yield frame.reformat(
                format="rgb24", src_colorspace=Colorspace.ITU709, interpolation=EXACT,
                dst_color_range=ColorRange.JPEG,
            ).to_ndarray()  # fmt: skip


def paint(net: StyleNetwork, weights: torch.Tensor, pixels: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        images = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous() / 255
        painted = net(images, weights)[0].clamp(0, 1) * 255
        array: np.ndarray = painted.round().byte().permute(1, 2, 0).contiguous().numpy()
    return array


class Pictures:
    """Keeps them in one .npy file."""

    def __init__(self, path: Path) -> None:
        self._path, self._all = path, []  # type: ignore[var-annotated]

    def write(self, pixels: np.ndarray) -> None:
        self._all.append(pixels)

    def close(self) -> None:
        np.save(self._path, np.stack(self._all))


class Photos:
    """Writes a folder of JPEG files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder, self._count = folder, 0

    def write(self, pixels: np.ndarray) -> None:
        path, self._count = self._folder / f"{self._count:02}.jpg", self._count + 1
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])

    def close(self) -> None:
        pass


class Clip:
    """Writes a film by x264."""

    def __init__(self, path: Path, rate: Fraction, options: dict[str, str]) -> None:
        self._out = av.open(str(path), "w")
        self._stream: Any = self._out.add_stream("libx264", rate, options)
        self._stream.pix_fmt = "yuv420p"

    def write(self, pixels: np.ndarray) -> None:
        if not self._stream.codec_context.is_open:
            self._stream.height, self._stream.width = pixels.shape[:2]
        picture = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        self._out.mux(self._stream.encode(picture))

    def close(self) -> None:
        self._out.mux(self._stream.encode())
        self._out.close()


def main() -> None:
    source, output = Path(sys.argv[1]), Path(sys.argv[2])
    network, style, limit, crf, preset = sys.argv[3:]
    net, records, _ = load_styles(STYLES / f"{network}.safetensors")
    weights = net.one_hot([record.name for record in records].index(style))
    sink: Pictures | Photos | Clip
    if output.suffix == ".npy":
        sink = Pictures(output)
    elif source.is_dir():
        sink = Photos(output)
    else:
        sink = Clip(output, Fraction(25), {"crf": crf, "preset": preset})
    print(json.dumps({"event": "item_start"}), flush=True)
    stages = dict.fromkeys(("decode", "model", "encode"), 0.0)
    clock = time.perf_counter()

    def spent(stage: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        stages[stage], clock = stages[stage] + now - clock, now

    for pixels in islice(decode(source), int(limit)):
        spent("decode")
        painted = paint(net, weights, pixels)
        spent("model")
        sink.write(painted)
        spent("encode")
    sink.close()
    spent("encode")
    print(json.dumps({"event": "job_done", "stages": stages}), flush=True)


if __name__ == "__main__":
    main()

"""Print how near the automatic maskers come to masks drawn by people, and what they cost.

    python tests/benchmarks/masks.py FOLDER... [--mask person] [--names FILE] [--empty FOLDER]
        [--teacher MODEL.tflite]

A FOLDER holds photos and their masks, NAME.jpg and NAME.png, white on what is to be found.
--names: only the photos whose names stand in this file, one a line (those kept out of a training,
as PARENT_NAME or NAME). --empty: a folder of photos without any of it. --teacher: a model that
OpenCV reads, of a square RGB picture to one plane, measured on the same photos.

    iou       intersection over union with the mask, both cut at one half: mean, and the lowest
    mae       mean absolute error of alpha, in percent
    border    the same within 4 pixels of the mask's border, where it counts
    false     area marked in photos without any, in percent: mean, and part of photos above 1 %
    ms/MP     median time a megapixel, of photos of one megapixel and of eight

The rows `all` and `none` mark everything and nothing: what doing nothing is worth.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from stylepipe import Batch, Context, Frame, Item
from stylepipe.device import pick
from stylepipe.plugins import Plugins

Find = Callable[[np.ndarray], np.ndarray]
"""HxWx3 uint8 RGB to HxW in [0, 1]."""


def masker(name: str) -> Find:
    """A masker of the package, or of a plugin that is installed."""
    from stylepipe.components import Masker

    cls = Plugins().components(Masker)[name]
    found = cls(cls.Options.build({}))
    found.open(Context(pick("cpu"), 4 << 30, lambda line: None))
    item = Item(0, Path("photo"), Path(), Path("photo"))

    def find(photo: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float() / 255
        return found.mask(Batch(images, item), [Frame(photo)])[0, 0].numpy()

    return find


def teacher(file: Path) -> Find:
    """A model of another tool."""
    network = cv2.dnn.readNetFromTFLite(str(file))

    def find(photo: np.ndarray) -> np.ndarray:
        network.setInput(cv2.dnn.blobFromImage(photo, 1 / 255, (256, 256)))
        plane = network.forward().reshape(256, 256)
        large = cv2.resize(plane, photo.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        return np.clip(large, 0, 1)

    return find


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    """Of two masks in [0, 1], cut at one half; 1 where both are empty."""
    one, other = found > 0.5, truth > 0.5
    union = (one | other).sum()
    return float((one & other).sum() / union) if union else 1.0


def errors(found: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """IoU, mean absolute error, and that within 4 pixels of the border."""
    inside, kernel = (truth > 0.5).astype(np.uint8), np.ones((9, 9), np.uint8)
    border = cv2.dilate(inside, kernel) != cv2.erode(inside, kernel)
    wrong = np.abs(found - truth)
    return (
        iou(found, truth),
        float(wrong.mean()),
        float(wrong[border].mean() if border.any() else 0),
    )


def read(file: Path) -> np.ndarray:
    """A photo as HxWx3, RGB."""
    return np.ascontiguousarray(cv2.imread(str(file))[:, :, ::-1])


def speed(find: Find, photo: np.ndarray, megapixels: float) -> float:
    """Median milliseconds a megapixel of a photo scaled to so many."""
    grow = (megapixels * 1e6 / (photo.shape[0] * photo.shape[1])) ** 0.5
    large = cv2.resize(photo, None, fx=grow, fy=grow, interpolation=cv2.INTER_CUBIC)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        find(large)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:]) * 1000 / megapixels


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--mask", default="person", help="masker to measure")
    parser.add_argument("--names", type=Path)
    parser.add_argument("--empty", type=Path)
    parser.add_argument("--teacher", type=Path)
    args = parser.parse_args()
    names = set(args.names.read_text().split()) if args.names else None

    def chosen(file: Path) -> bool:
        return names is None or bool(names & {file.stem, f"{file.parent.name}_{file.stem}"})

    finders: dict[str, Find] = {
        args.mask: masker(args.mask),
        "all": lambda photo: np.ones(photo.shape[:2], np.float32),
        "none": lambda photo: np.zeros(photo.shape[:2], np.float32),
    }
    if args.teacher:
        finders["teacher"] = teacher(args.teacher)
    print(f"{'':24}{'photos':>7}{'iou':>7}{'lowest':>8}{'mae %':>7}{'border %':>10}")
    photo = None
    for folder in args.folders:
        files = [p for p in sorted(folder.glob("*.jpg")) if p.with_suffix(".png").exists()]
        files = [p for p in files if chosen(p)]
        rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in finders}
        for file in files:
            photo = read(file)
            plane = cv2.imread(str(file.with_suffix(".png")), cv2.IMREAD_UNCHANGED)
            truth = (plane[..., -1] if plane.ndim == 3 else plane).astype(np.float32) / 255
            for name, find in finders.items():
                rows[name].append(errors(find(photo), truth))
        for name, row in rows.items():
            print_row(f"{folder.name}: {name}", row)
    if args.empty:
        files = sorted(p for p in args.empty.iterdir() if chosen(p))
        print(f"\n{'no ' + args.mask + ' in it':24}{'photos':>7}{'false %':>9}{'above 1 %':>11}")
        for name, find in finders.items():
            areas = [float((find(read(file)) > 0.5).mean()) for file in files]
            above = np.mean([area > 0.01 for area in areas])
            print(f"{name:24}{len(areas):7}{100 * np.mean(areas):9.2f}{100 * above:10.1f}%")
    if photo is not None:
        print(f"\n{'ms/MP, ' + str(torch.get_num_threads()) + ' threads':24}{'1 MP':>7}{'8 MP':>7}")
        for name in [args.mask, *(["teacher"] if args.teacher else [])]:
            times = [speed(finders[name], photo, size) for size in (1, 8)]
            print(f"{name:24}{times[0]:7.0f}{times[1]:7.0f}")


def print_row(title: str, row: Sequence[tuple[float, float, float]]) -> None:
    """One masker on one folder."""
    if not row:
        print(f"{title:24}{0:7}")
        return
    ious, wrong, border = (np.array(column) for column in zip(*row, strict=True))
    print(
        f"{title:24}{len(row):7}{ious.mean():7.3f}{ious.min():8.2f}{100 * wrong.mean():7.2f}"
        f"{100 * border.mean():10.2f}"
    )


if __name__ == "__main__":
    main()

"""Train the network of the maskers person, faces, subject and sky.

    python examples/train_mattes.py MATERIAL -o mattes.safetensors [--minutes 100] [--threads 2]

MATERIAL is a folder with

    photos/NAME.jpg       photos, of any size
    person/NAME.png       their masks, white on people; faces/, subject/ and sky/ likewise.
                          A photo without a mask there is not learnt from in that respect.
    person/none.txt       names, one a line, of photos that show no person at all; likewise sky/
    held_out.txt          names that are not trained on, but measured with tests/benchmarks/masks.py

Photos without people serve as places to paste people into, too: a few hundred of either teach that
whoever stands anywhere is a person, and that what is pasted alone is none. Pictures are small and
many at first, larger in the last part. The network's encoder begins as the compact encoder of the
package and is trained on, slowly. It follows the clock, and what is in NAME.checkpoint continues
where it was interrupted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import time
from fnmatch import fnmatch
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from stylepipe_plugins.mattes.network import FORMAT_VERSION, PLANES, MatteNetwork, state
from torch import Tensor
from torch.nn import functional as F

from stylepipe.nst.encoders.opening import BUNDLED
from stylepipe.nst.files import safetensors_bytes, tensors_digest, write_atomically

PERSON, FACES, SUBJECT, SKY = range(4)
SMALL, LARGE = (12, (128, 160, 160, 192)), (8, (224, 256, 256, 256, 288, 320))
"""Pictures a step, and their sides: at first, and in the last part."""
SMALL_PART = 0.6
FROZEN = ("encoder.relu1_1", "encoder.relu1_2", "encoder.relu2_1")
"""Layers that stay as they were: edges and colors are the same for all."""
ENCODER_RATE = 0.15
"""Of the learning rate, for the encoder, which has learnt something before."""
WEIGHTS = (1.0, 0.5, 0.4, 0.4)
"""Of the planes, in the loss."""

Picture = np.ndarray
"""HxWx3, uint8, RGB."""
Sample = tuple[Picture, np.ndarray, np.ndarray]
"""A picture, its planes 4HW (uint8), and which of them are known (4, float)."""


class Material:
    """The photos of a folder, and what is known of each."""

    def __init__(self, folder: Path, often: str) -> None:
        """``often``: a pattern of the people's photos that are half of all seen."""
        held_out = set(_lines(folder / "held_out.txt"))
        photos = sorted((folder / "photos").iterdir())
        self._photos = {p.stem: p for p in photos if p.stem not in held_out}
        self._masks = [{p.stem: p for p in (folder / n).glob("*.png")} for n in PLANES]
        self._none = [set(_lines(folder / name / "none.txt")) for name in PLANES]
        self._known: dict[str, Sample] = {}
        labeled = [set(masks) | none for masks, none in zip(self._masks, self._none, strict=True)]
        self.people = [n for n in self._photos if n in self._masks[PERSON]]
        chosen = [n for n in self.people if fnmatch(n, often)]
        self.people += chosen * max(0, len(self.people) // max(1, len(chosen)) - 2)
        self.empty = [n for n in self._photos if n in self._none[PERSON]]
        self.things = [[n for n in self._photos if n in self._masks[i]] for i in (SUBJECT, SKY)]
        both = {*self.people, *self.empty}
        self.others = [n for n in self._photos if n not in both and any(n in x for x in labeled)]

    def __getitem__(self, name: str) -> Sample:
        if name not in self._known:
            photo = cv2.imread(str(self._photos[name]))[:, :, ::-1]
            planes, known = np.zeros((4, *photo.shape[:2]), np.uint8), np.zeros(4, np.float32)
            for i, (masks, none) in enumerate(zip(self._masks, self._none, strict=True)):
                known[i] = name in masks or name in none
                if name in masks:
                    plane = cv2.imread(str(masks[name]), cv2.IMREAD_GRAYSCALE)
                    planes[i] = cv2.resize(plane, photo.shape[1::-1])
            if name in self._none[PERSON]:
                known[FACES] = 1
            self._known[name] = photo, planes, known
        return self._known[name]


def _lines(file: Path) -> list[str]:
    return file.read_text().split() if file.is_file() else []


class Maker:
    """Makes training pictures: photos as they are, people pasted elsewhere, places without any."""

    def __init__(self, material: Material, seed: int, things: float) -> None:
        """``things``: how many of the pictures show a subject or a sky, 0 to 1."""
        self._things = things if all(material.things) else 0.0
        self._all, self._random = material, random.Random(seed)
        self._noise = np.random.default_rng(seed)

    def sample(self, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """3 S S and 4 S S in [0, 1], and which of the planes are known."""
        chance = self._random.random()
        if self._random.random() < self._things:
            picture, planes, known = self._thing(side)
        elif chance < 0.48 or not self._all.empty:
            picture, planes, known = self._photo(side)
        elif chance < 0.70:
            picture, planes, known = self._pasted(side)
        else:
            picture, planes, known = self._empty(side)
        colored = self._recolored(np.clip(picture, 0, 255))
        return colored.transpose(2, 0, 1), planes.astype(np.float32) / 255, known

    def _photo(self, side: int) -> Sample:
        r = self._random
        photo, planes, known = self._all[r.choice(self._all.people)]
        height, width = photo.shape[:2]
        if r.random() < 0.4:  # all of the photo, as the network will see it
            scale, center = side / max(height, width) * r.uniform(0.85, 1.15), None
        else:
            scale = side / min(height, width) * np.exp(r.uniform(-0.2, 0.9))
            center = self._on_person(planes[PERSON], side / scale)
        return *self._turned(photo, planes, side, scale, center), known

    def _on_person(self, plane: np.ndarray, across: float) -> tuple[float, float]:
        """A place near a pixel of a person; of its upper part more often."""
        r, (rows, columns) = self._random, np.nonzero(plane[::8, ::8])
        if not len(rows) or r.random() > 0.85:
            return self._middle(plane)
        one = r.randrange(len(rows))
        if r.random() < 0.4:
            one = int(len(rows) * abs(r.gauss(0, 0.15))) % len(rows)
        away = 0.12 * across
        return columns[one] * 8 + r.gauss(0, away), rows[one] * 8 + r.gauss(0, away)

    def _empty(self, side: int) -> Sample:
        r, others = self._random, self._all.others
        pool = others if others and r.random() < 0.2 else self._all.empty
        photo, planes, known = self._all[r.choice(pool)]
        scale = side / min(photo.shape[:2]) * r.uniform(0.8, 1.6)
        picture, planes = self._turned(photo, planes, side, scale, self._middle(photo))
        if pool is self._all.empty and r.random() < 0.15:
            picture = self._with_nobody(picture)
            known = known * (1, 1, 0, 0)
        return picture, planes, known

    def _thing(self, side: int) -> Sample:
        r = self._random
        photo, planes, known = self._all[r.choice(r.choice(self._all.things))]
        scale = side / min(photo.shape[:2]) * r.uniform(0.7, 1.5)
        return *self._turned(photo, planes, side, scale, self._middle(photo)), known

    def _pasted(self, side: int) -> Sample:
        r = self._random
        photo, planes, known = self._all[r.choice(self._all.empty)]
        scale = side / min(photo.shape[:2]) * r.uniform(1, 1.8)
        picture, planes = self._turned(photo, planes, side, scale, self._middle(photo))
        picture, known = picture.astype(np.float32), known * (1, 1, 0, 1)
        if r.random() < 0.3:
            picture, known = self._with_nobody(picture), known * (1, 1, 0, 0)
        count = r.choice((1, 1, 1, 2, 2, 3, 4))
        for _ in range(count):
            who, mask, sees = self._all[r.choice(self._all.people)]
            rows, columns = np.nonzero(mask[PERSON][::8, ::8])
            if not len(rows):
                continue
            size = 8 * max(np.ptp(rows), np.ptp(columns), 2)
            scale = side * r.uniform(0.25, 1.5 if count < 3 else 0.8) / size
            across = side / scale
            center = (
                4 * (columns.min() + columns.max()) + r.gauss(0, 0.3) * across,
                4 * (rows.min() + rows.max()) + r.gauss(0, 0.2) * across,
            )
            person, mask = self._turned(who, mask, side, scale, center)
            alpha = mask[PERSON].astype(np.float32) / 255
            if r.random() < 0.7:  # masks include a little of the old place
                alpha = cv2.GaussianBlur(alpha, (0, 0), r.uniform(0.5, 1.4))
                alpha = np.clip((alpha - 0.3) / 0.7, 0, 1)
            lit = person.astype(np.float32)
            if r.random() < 0.5:  # the light of the new place
                shift = picture.mean((0, 1)) - lit.mean((0, 1))
                lit = np.clip(lit * np.exp(r.gauss(0, 0.2)) + shift * r.uniform(0, 0.3), 0, 255)
            picture += (lit - picture) * alpha[..., None]
            planes[PERSON] = np.maximum(planes[PERSON], np.rint(alpha * 255))
            planes[FACES] = planes[FACES] * (1 - alpha) + mask[FACES] * alpha
            planes[SKY] = planes[SKY] * (1 - alpha)
            known = known * (1, sees[FACES], 1, 1)
        return picture, planes, known

    def _with_nobody(self, picture: np.ndarray) -> np.ndarray:
        """With a cut-out that is no person, though half of them have the shape of one."""
        r, side = self._random, len(picture)
        photo, planes, _ = self._all[r.choice(self._all.empty)]
        scale = side / min(photo.shape[:2]) * r.uniform(1, 2)
        other, _ = self._turned(photo, planes, side, scale, self._middle(photo))
        if r.random() < 0.5:
            who, mask, _ = self._all[r.choice(self._all.people)]
            scale = side / max(who.shape[:2]) * r.uniform(0.5, 1.6)
            shape = self._turned(who, mask, side, scale, self._middle(who), 90)[1][PERSON] / 255
        else:
            shape, angles = (
                np.zeros((side, side)),
                sorted(r.uniform(0, 2 * np.pi) for _ in "123456"),
            )
            middle = np.array([r.uniform(0, side), r.uniform(0, side)])
            rays = [np.array([np.cos(a), np.sin(a)]) * r.uniform(0.08, 0.4) for a in angles]
            cv2.fillPoly(shape, [np.int32([middle + side * ray for ray in rays])], 1)
        soft = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), r.uniform(0.5, 1.4))[..., None]
        return picture * (1 - soft) + other * soft

    def _middle(self, picture: np.ndarray) -> tuple[float, float]:
        height, width = picture.shape[:2]
        return width * self._random.uniform(0.35, 0.65), height * self._random.uniform(0.35, 0.65)

    def _turned(
        self,
        photo: Picture,
        planes: np.ndarray,
        side: int,
        scale: float,
        center: tuple[float, float] | None,
        degrees: float = 7.5,
    ) -> tuple[Picture, np.ndarray]:
        """A square of a photo, scaled around a center, turned a little, mirrored or not."""
        r, (height, width) = self._random, photo.shape[:2]
        if scale < 0.7:  # averaged first: what is only sampled shimmers
            size = max(1, round(width * scale)), max(1, round(height * scale))
            photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
            planes = np.stack([cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in planes])
            if center:
                center = center[0] * size[0] / width, center[1] * size[1] / height
            scale, (height, width) = 1.0, photo.shape[:2]
        angle, mirror = np.deg2rad(r.gauss(0, degrees)), r.choice((-1, 1))
        wide, high = scale * np.exp(r.gauss(0, 0.08)), scale
        turn = np.array([
            [mirror * wide * np.cos(angle), -high * np.sin(angle)],
            [mirror * wide * np.sin(angle), high * np.cos(angle)],
        ])  # fmt: skip
        shift = side / 2 - turn @ (center or (width / 2, height / 2))
        matrix = np.column_stack([turn, shift]).astype(np.float32)

        def warped(picture: np.ndarray) -> np.ndarray:
            return cv2.warpAffine(picture, matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101)

        return warped(photo), np.stack([warped(plane) for plane in planes])

    def _recolored(self, picture: np.ndarray) -> np.ndarray:
        """Another light, another camera, another JPEG; float32 in [0, 1]."""
        r, x = self._random, picture.astype(np.float32) / 255
        if r.random() < 0.8:
            x = x ** np.exp(r.gauss(0, 0.25)) * np.exp([r.gauss(0, 0.07) for _ in range(3)])
            mean = x.mean((0, 1), keepdims=True)
            x = (x - mean) * np.exp(r.gauss(0, 0.15)) + mean + r.gauss(0, 0.04)
            gray = x.mean(2, keepdims=True)
            vivid = r.uniform(0, 0.4) if r.random() < 0.12 else np.exp(r.gauss(0, 0.25))
            x = gray + (x - gray) * vivid
        x = np.clip(x, 0, 1).astype(np.float32)
        if r.random() < 0.15:
            x = cv2.GaussianBlur(x, (0, 0), r.uniform(0.3, 1.5))
        if r.random() < 0.2:
            noise = self._noise.standard_normal(x.shape, np.float32)
            x = np.clip(x + noise * r.uniform(0.005, 0.04), 0, 1)
        if r.random() < 0.3:
            quality = [cv2.IMWRITE_JPEG_QUALITY, r.randint(25, 85)]
            _, data = cv2.imencode(".jpg", np.rint(x * 255).astype(np.uint8), quality)
            x = cv2.imdecode(data, cv2.IMREAD_COLOR).astype(np.float32) / 255
        return x


def loss(logits: Tensor, presence: Tensor, planes: Tensor, known: Tensor) -> Tensor:
    """Cross entropy, four times as much at borders, where a cut-out shows, and a soft Dice loss
    (Milletari et al. 2016), over the planes that are known; and whether anything is there."""
    planes = F.avg_pool2d(planes, 2)
    weights = known * known.new_tensor(WEIGHTS)
    border = F.max_pool2d(planes, 7, 1, 3) + F.max_pool2d(-planes, 7, 1, 3)
    pixels = F.binary_cross_entropy_with_logits(logits, planes, reduction="none")
    entropy = (pixels * (1 + 3 * border)).mean((2, 3))
    p, squares = logits.sigmoid(), (2, 3)
    common = 2 * (p * planes).sum(squares) + 20
    dice = 1 - common / (p.square().sum(squares) + planes.square().sum(squares) + 20)
    there = (planes.amax((2, 3)) > 0.5).float()
    seen = F.binary_cross_entropy_with_logits(presence, there, reduction="none")
    return ((entropy + 0.5 * dice + 0.1 * seen) * weights).sum() / len(planes)


def make(material: Material, seed: int, things: float, large: Synchronized[int], made: Any) -> None:
    """Fill a queue with batches, in a process of its own."""
    cv2.setNumThreads(1)
    maker, r = Maker(material, seed, things), random.Random(seed)
    while True:
        count, sides = LARGE if large.value else SMALL
        side = r.choice(sides)
        batch = [maker.sample(side) for _ in range(count)]
        made.put([np.stack(x) for x in zip(*batch, strict=True)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("material", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, default=BUNDLED, help="what the encoder begins as")
    parser.add_argument("--minutes", type=float, default=100, help="how long to train")
    parser.add_argument(
        "--often", default="", metavar="PATTERN", help="photos of people that are half of all seen"
    )
    parser.add_argument("--things", type=float, default=0.3, help="part with subjects and skies")
    parser.add_argument("--rate", type=float, default=2e-3, help="largest learning rate")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--about", default="", help="data, teacher and license, for the file")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    material = Material(args.material, args.often)
    print(
        f"{len(set(material.people))} photos of people, {len(material.empty)} of none", flush=True
    )

    network = MatteNetwork().to(memory_format=torch.channels_last)
    network.encoder.load_state_dict({k: v.float() for k, v in load_file(args.encoder).items()})
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not name.startswith(FROZEN))
    fine = [p for p in network.encoder.parameters() if p.requires_grad]
    rest = [p for n, p in network.named_parameters() if not n.startswith("encoder.")]
    parts = {ENCODER_RATE: fine, 1.0: rest}
    optimizer = torch.optim.AdamW(
        [{"params": p, "part": part} for part, p in parts.items()],
        betas=(0.9, 0.99),
        weight_decay=0.01,
    )
    mean = {k: v.clone() for k, v in network.state_dict().items()}
    checkpoint, step, spent = args.output.with_suffix(".checkpoint"), 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        step, spent, mean = saved["step"], saved["spent"], saved["mean"]
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])

    context = multiprocessing.get_context("fork")
    large, made = context.Value("i", 0), context.Queue(6)
    seed = args.seed + step
    context.Process(
        target=make, args=(material, seed, args.things, large, made), daemon=True
    ).start()
    began, running, done = time.time() - spent, 0.0, 0.0
    while done < 1:
        spent = time.time() - began
        done = min(1.0, spent / (60 * args.minutes))
        large.value = int(done >= SMALL_PART)
        for group in optimizer.param_groups:
            group["lr"] = args.rate * group["part"] * _pace(done)
        images, planes, known = (torch.from_numpy(x.astype(np.float32)) for x in made.get())
        network.train()
        logits, presence = network(images.contiguous(memory_format=torch.channels_last))
        value = loss(logits, presence, planes, known)
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        step += 1
        keep = min(0.995, step / (step + 20))
        with torch.no_grad():
            for name, now in network.state_dict().items():
                if now.is_floating_point():
                    mean[name].lerp_(now, 1 - keep)
                else:
                    mean[name].copy_(now)
        running += value.item()
        if step % 50 == 0:
            print(f"{step:6} {spent:7.0f} s  loss {running / 50:.4f}", flush=True)
            running = 0.0
        if step % 100 == 0 or done == 1:
            saved = {
                "step": step,
                "spent": spent,
                "mean": mean,
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
            }
            torch.save(saved, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
            result = MatteNetwork()
            result.load_state_dict(mean)
            tensors = state(result)
            about = {
                "format": "stylepipe-mattes",
                "format_version": FORMAT_VERSION,
                "steps": str(step),
                "data": args.about,
                "licence": "MIT",
                "sha256": tensors_digest(tensors),
            }
            write_atomically(args.output, safetensors_bytes(tensors, about))


def _pace(done: float) -> float:
    """Of the largest learning rate: rises at first, then falls along a cosine."""
    return min(done / 0.04, 0.5 + 0.5 * float(np.cos(np.pi * min(done, 0.995))))


if __name__ == "__main__":
    main()

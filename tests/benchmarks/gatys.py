"""Print the cost of Gatys optimization beside plain loops as one writes them first.

    python tests/benchmarks/gatys.py [--quick] [--vgg FILE]

First table: seconds a step at 500x500 through relu5_1, medians, each row in a process of its own,
the rows in turn. ``full`` is torchvision's VGG-19 in float32 whose weights ask for gradients, run
to its end; ``truncated`` stops at relu5_1 and asks for none; ``VGG-19`` and ``compact`` are what
ships. VGG-19 has random weights here: they do not change the time.

Second table, with --vgg (VGG-19 weights, complete or to relu3_1): 300 iterations of L-BFGS by a
plain loop, and how long what ships takes to the same loss, as the plain loop's own float32 function
measures it, neither picture cut to [0,1]. So that both minimize one function, what ships pads with
zeros here, as torchvision does, not by replication, and has no term for values outside.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

REPOSITORY = Path(__file__).resolve().parents[2]
PHOTO = REPOSITORY / "examples" / "photos" / "lake.jpg"
PAINTING = REPOSITORY / "examples" / "paintings" / "currents.jpg"
ROWS = ("full", "truncated", "VGG-19", "compact")
LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
SIDE = 500


def load(path: Path, size: tuple[int, int]) -> Tensor:
    """A picture scaled to height and width, 1 3 H W."""
    import cv2

    pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    pixels = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float().contiguous() / 255


# -- plain loops, as tutorials have them ----------------------------------------------------


class Plain(nn.Module):
    """VGG-19 by torchvision's layers; returns the ReLUs asked for by their index."""

    def __init__(self, features: nn.Sequential, indices: tuple[int, ...]) -> None:
        super().__init__()
        self.features, self.indices = features, indices
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        found, x = [], (x - self.mean) / self.std
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.indices:
                found.append(x)
        return found


def gram(features: Tensor) -> Tensor:
    _, channels, height, width = features.shape
    flat = features.view(channels, height * width)
    return flat @ flat.t() / (channels * height * width)


STYLE, CONTENT = 1e5, 1.0


class PlainLoss:
    """Content MSE at one of the layers and Gram MSE at all of them."""

    def __init__(self, net: Plain, photo: Tensor, painting: Tensor, content: int) -> None:
        self.net, self.content = net, content
        with torch.no_grad():
            self.target = net(photo)[content].clone()
            self.grams = [gram(f) for f in net(painting)]

    def __call__(self, x: Tensor) -> Tensor:
        found = self.net(x)
        loss = CONTENT * F.mse_loss(found[self.content], self.target)
        for features, wanted in zip(found, self.grams, strict=True):
            loss = loss + STYLE * F.mse_loss(gram(features), wanted)
        return loss


def plain_vgg(vgg: Path | None = None, *, truncated: bool) -> Plain:
    import torchvision

    features = torchvision.models.vgg19(weights=None).features
    indices: tuple[int, ...] = (1, 6, 11, 20, 29)
    if vgg is not None:
        from stylepipe.nst.encoders import read_tensors

        tensors = {k: v for k, v in read_tensors(vgg).items() if k.startswith("features.")}
        tensors = {k.removeprefix("features."): v for k, v in tensors.items()}
        deepest = max(int(k.split(".")[0]) for k in tensors)
        features = features[: deepest + 2]
        features.load_state_dict(tensors)
        indices = tuple(i for i in indices if i < len(features))
    if truncated:
        features = features[: indices[-1] + 1].requires_grad_(False)
    for layer in features:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False
    return Plain(features, indices)


# -- a step of each -------------------------------------------------------------------------


def plain_step(row: str) -> Callable[[], None]:
    photo, painting = load(PHOTO, (SIDE, SIDE)), load(PAINTING, (SIDE, SIDE))
    loss = PlainLoss(plain_vgg(truncated=row == "truncated"), photo, painting, 3)
    x = photo.clone().requires_grad_()
    optimizer = torch.optim.Adam([x], 0.02)

    def step() -> None:
        optimizer.zero_grad()
        loss(x).backward()
        optimizer.step()

    return step


def shipped_step(row: str) -> Callable[[], None]:
    from stylepipe.device import pick
    from stylepipe.memory import tune_allocator

    tune_allocator()
    from stylepipe.nst.encoders import open_encoder
    from stylepipe.nst.gatys import Gatys
    from stylepipe.nst.paintings import Painting
    from stylepipe.nst.recipe import Recipe

    device = pick("cpu")
    with tempfile.TemporaryDirectory() as folder:
        weights = None
        if row == "VGG-19":
            import torchvision

            weights = Path(folder) / "vgg19.pth"
            torch.save(torchvision.models.vgg19(weights=None).state_dict(), weights)
        name = "vgg19" if row == "VGG-19" else "compact"
        encoder = open_encoder(name, weights, device=device.torch, dtype=device.dtype)
    photo, painting = load(PHOTO, (SIDE, SIDE)), load(PAINTING, (SIDE, SIDE))
    recipe = Recipe({"relu4_1": 1.0}, dict.fromkeys(LAYERS, 1.0), style_loss="gram")
    objective = Gatys(encoder, [Painting(painting)], recipe, 8 << 30).objective(photo)
    x = photo.clone().requires_grad_()
    optimizer = torch.optim.Adam([x], 0.02)

    def step() -> None:
        _, x.grad = objective(x)
        optimizer.step()

    return step


def serve(row: str) -> None:
    """Run as a process of its own: one step for each line of stdin."""
    step = (plain_step if row in ("full", "truncated") else shipped_step)(row)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print(time.perf_counter() - start, flush=True)


def step_table(repeats: int) -> None:
    command = [sys.executable, __file__, "--serve"]
    servers = {
        row: subprocess.Popen(
            [*command, row], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for row in ROWS
    }
    times: dict[str, list[float]] = {row: [] for row in ROWS}
    for turn in range(repeats + 1):
        for row, server in servers.items():
            assert server.stdin and server.stdout
            server.stdin.write("\n")
            server.stdin.flush()
            seconds = float(server.stdout.readline())
            if turn:  # the first warms up
                times[row].append(seconds)
    for server in servers.values():
        assert server.stdin
        server.stdin.close()
        server.wait()
    medians = {row: statistics.median(found) for row, found in times.items()}
    print(f"{SIDE}x{SIDE} to relu5_1  {'seconds a step':>14} {'x full':>8} {'x truncated':>12}")
    for row, seconds in medians.items():
        full, truncated = (medians[r] / seconds for r in ("full", "truncated"))
        print(f"{row:19} {seconds:14.3f} {full:8.1f} {truncated:12.1f}", flush=True)


# -- to the same loss -----------------------------------------------------------------------


def plain_loop(vgg: Path, side: int, iterations: int) -> None:
    photo, painting = load(PHOTO, (side, side)), load(PAINTING, (side, side))
    loss = PlainLoss(plain_vgg(vgg, truncated=False), photo, painting, 2)
    x = photo.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([x], max_iter=1)
    start = time.perf_counter()
    for _ in range(iterations):

        def closure() -> Tensor:
            optimizer.zero_grad()
            value = loss(x)
            value.backward()
            return value

        optimizer.step(closure)
    seconds = time.perf_counter() - start
    with torch.no_grad():
        print(json.dumps({"seconds": seconds, "loss": float(loss(x))}))


def shipped_loop(vgg: Path, side: int, goal: float) -> None:
    """The same function out of the shipped terms, until the plain one says it is as small."""
    from stylepipe.device import pick
    from stylepipe.memory import tune_allocator

    tune_allocator()
    from stylepipe.nst.encoders import open_encoder
    from stylepipe.nst.objective import Objective, TiledEncoder
    from stylepipe.nst.optimize import Step, optimize
    from stylepipe.nst.recipe import LoopOptions
    from stylepipe.nst.terms.content import Content
    from stylepipe.nst.terms.style import Style

    photo, painting = load(PHOTO, (side, side)), load(PAINTING, (side, side))
    judge = PlainLoss(plain_vgg(vgg, truncated=True), photo, painting, 2)
    device = pick("cpu")
    encoder = open_encoder("vgg19", vgg, device=device.torch, dtype=device.dtype)
    first = next(m for m in encoder.modules() if isinstance(m, nn.Conv2d))
    first.padding_mode = "zeros"
    layers = LAYERS[:3]
    tiled_encoder = TiledEncoder(encoder, layers)
    content = Content(tiled_encoder.maps(photo, layers), {"relu3_1": 1.0})
    # The weights that turn the relative terms into the plain loop's sums.
    content.weight = CONTENT * float(content.sizes[0]) / judge.target.numel()
    sizes = {
        layer: float(wanted.square().mean())
        for layer, wanted in zip(layers, judge.grams, strict=True)
    }
    style = Style(sizes, STYLE * sum(sizes.values()), "gram")
    style.aim(style.statistics(tiled_encoder.measure(painting, [style])[0]))
    seen = [photo]

    class Watched(Objective):
        """Remembers the picture as it is optimized; what on_step is shown is cut to [0,1]."""

        def __call__(
            self, picture: Tensor, out: Tensor | None = None
        ) -> tuple[dict[str, Tensor], Tensor]:
            seen[0] = picture.detach()
            return super().__call__(picture, out)

    objective = Watched(encoder, [content, style])
    spent = {"judging": 0.0, "start": time.perf_counter(), "steps": 0.0}

    class Reached(Exception):
        pass

    def on_step(step: Step) -> None:
        if step.number % 10:
            return
        began = time.perf_counter()
        with torch.no_grad():
            found = float(judge(seen[0]))
        spent["judging"] += time.perf_counter() - began
        spent["steps"] = step.number
        if found <= goal:
            raise Reached

    try:
        options = LoopOptions(steps=1000, optimizer="lbfgs")
        optimize(photo, [(side, side)], lambda _: objective, options, on_step)
    except Reached:
        seconds = time.perf_counter() - spent["start"] - spent["judging"]
        print(json.dumps({"seconds": seconds, "steps": spent["steps"]}))
    else:
        raise SystemExit("the plain loop's loss was not reached in 1000 steps")


def loop_table(vgg: Path, side: int, iterations: int) -> None:
    base = [sys.executable, __file__, "--vgg", str(vgg), "--side", str(side)]

    def run(*more: str) -> dict[str, float]:
        done = subprocess.run([*base, *more], stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found

    plain = run("--plain-loop", str(iterations))
    shipped = run("--shipped-loop", repr(plain["loss"]))
    print(f"\nL-BFGS, {side}x{side}, VGG-19 to relu3_1, until a loss of {plain['loss']:.4g}")
    print(f"plain loop          {plain['seconds']:8.1f} s, {iterations} steps")
    print(f"shipped             {shipped['seconds']:8.1f} s, {shipped['steps']:.0f} steps, "
          f"{plain['seconds'] / shipped['seconds']:.1f} times sooner")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few repeats, few iterations")
    parser.add_argument("--vgg", type=Path, metavar="FILE", help="VGG-19 weights")
    parser.add_argument("--side", type=int, default=SIDE, help="of the second table's pictures")
    parser.add_argument("--no-steps", action="store_true", help="leave out the first table")
    parser.add_argument("--serve", choices=ROWS, help=argparse.SUPPRESS)
    parser.add_argument("--plain-loop", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--shipped-loop", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
    elif args.plain_loop is not None:
        plain_loop(args.vgg, args.side, args.plain_loop)
    elif args.shipped_loop is not None:
        shipped_loop(args.vgg, args.side, args.shipped_loop)
    else:
        if not args.no_steps:
            step_table(3 if args.quick else 9)
        if args.vgg is not None:
            loop_table(args.vgg, args.side, 30 if args.quick else 300)


if __name__ == "__main__":
    main()

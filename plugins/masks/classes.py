"""Things by name, found by networks of torchvision."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from stylepipe import (
    Batch,
    Context,
    Frame,
    Item,
    Options,
    SetupError,
    UsageError,
    option,
    suggest,
)
from stylepipe.weights import KNOWN, fetch

from .planes import PlaneMasker
from .refine import reduced, refined

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
"""What the networks distinguish: the classes of Pascal VOC, in their order; 0 is none of them."""
_BUILDERS = {
    "lraspp": "lraspp_mobilenet_v3_large",
    "deeplabv3-mobilenet": "deeplabv3_mobilenet_v3_large",
    "deeplabv3-resnet50": "deeplabv3_resnet50",
    "deeplabv3-resnet101": "deeplabv3_resnet101",
}
"""What torchvision calls the networks."""
_SIDE = 520
"""Shorter side of the pictures that they were trained on."""
_PIXELS = 1 << 19
"""Pixels of the reduced picture in which the mask is moved to edges: half a megapixel."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ClassesOptions(Options):
    classes: tuple[str, ...] = option(
        (), f"What to paint, joined by commas: {', '.join(NAMES)}.", metavar="NAME,..."
    )
    network: Literal["lraspp", "deeplabv3-mobilenet", "deeplabv3-resnet50",
                     "deeplabv3-resnet101"] = option(
        "deeplabv3-mobilenet", "Network that looks for it, from the quickest to the most careful.",
    )  # fmt: skip
    weights: Path | None = option(
        None,
        "File with weights of that network (.pth or .safetensors); unset: those that were fetched "
        "by stylepipe weights fetch NETWORK.",
        metavar="FILE",
    )

    def check(self) -> None:
        """Raises UsageError for a name that no network knows."""
        for name in self.chosen():
            if name not in NAMES:
                raise UsageError(
                    f"no class {name!r}{suggest(name, NAMES)}; known: {', '.join(NAMES)}"
                )

    def chosen(self) -> list[str]:
        """The names in ``classes``, which may be joined by commas."""
        return [name.strip() for text in self.classes for name in text.split(",") if name.strip()]


class ClassesMasker(PlaneMasker):
    """Things by name, such as classes:dog,cat, found by DeepLabV3 or LR-ASPP of torchvision."""

    name = "classes"
    argument: ClassVar[str] = "classes"
    Options: ClassVar[type[Options]] = ClassesOptions

    def __init__(self, options: ClassesOptions) -> None:
        super().__init__(options)
        joined = " or ".join(options.chosen())
        self.nothing = f"no {joined} was found in it"
        self._model: Any = None

    def files(self) -> Iterable[Path]:
        return [self.options.weights or KNOWN[self.options.network].path]

    def check(self) -> None:
        """Raises UsageError where no class was named, and for a file that is not there."""
        if not self.options.chosen():
            raise UsageError(
                "the mask 'classes' needs names: --mask classes --mask-classes dog,cat; known: "
                + ", ".join(NAMES)
            )
        weights = self.options.weights
        if weights is not None and not weights.is_file():
            raise UsageError(f"there is no file of weights at {weights}")

    def rehearse(self) -> None:
        """Raises SetupError where the weights were not fetched."""
        entry = KNOWN[self.options.network]
        if self.options.weights is None and not entry.path.is_file():
            raise SetupError(
                f"the weights {entry.name!r} are not on this machine yet: fetch them with "
                f"stylepipe weights fetch {entry.name} ({entry.megabytes} MB), or name a file "
                "with --mask-weights"
            )

    def open(self, context: Context) -> None:
        """Load the network. Raises SetupError, UsageError."""
        super().open(context)
        self.check()
        self.rehearse()
        self._device = context.device.torch
        path = self.options.weights or fetch(KNOWN[self.options.network])
        self._model = _load(self.options.network, path).to(self._device)

    def close(self) -> None:
        self._model = None

    def mask(self, batch: Batch, frames: Any) -> torch.Tensor:
        import torch

        with torch.no_grad():
            return super().mask(batch, frames)

    def planes(self, item: Item, frame: Frame) -> NDArray[np.float32]:
        import torch
        from torch.nn.functional import interpolate

        small = reduced(frame, _PIXELS)
        height, width = small.shape[:2]
        scale = _SIDE / min(height, width)
        # A long strip is not enlarged beyond what the network can see at once.
        scale = min(scale, 4 * _SIDE / max(height, width))
        seen = torch.from_numpy(small).to(self._device).permute(2, 0, 1)[None].float() / 255
        size = max(1, round(scale * height)), max(1, round(scale * width))
        seen = interpolate(seen, size, mode="bilinear", antialias=True)
        mean, std = (torch.tensor(v, device=self._device)[:, None, None] for v in (_MEAN, _STD))
        shares = self._model((seen - mean) / std)["out"].softmax(1)
        places = [NAMES.index(name) + 1 for name in self.options.chosen()]
        found = shares[:, places].sum(1, keepdim=True)
        found = interpolate(found, (height, width), mode="bilinear", antialias=True)
        plane = found[0, 0].clamp(0, 1).cpu().numpy()
        return refined(plane, frame)[None]


def _load(network: str, path: Path) -> torch.nn.Module:
    """The network with the weights in a file. Raises SetupError if they are for another."""
    import torch
    from torchvision.models import segmentation

    builder = getattr(segmentation, _BUILDERS[network])
    more = {} if network == "lraspp" else {"aux_loss": False}
    model: torch.nn.Module = builder(
        weights=None, weights_backbone=None, num_classes=len(NAMES) + 1, **more
    )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        # The second head is used in training only.
        tensors = {k: v for k, v in tensors.items() if not k.startswith("aux_classifier.")}
        model.load_state_dict(tensors)
    except Exception as error:  # torch and pickle raise anything for a file they did not write
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise SetupError(f"{path} holds no weights of {network}: {reason[0]}") from error
    return model.eval()

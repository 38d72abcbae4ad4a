"""The words that settings accept, as types. Imports nothing of stylepipe."""

from typing import Literal

VggName = Literal["compact", "vgg19", "vgg16"]
"""Networks with the layers of VGG."""
EncoderName = Literal["auto", VggName, "squeezenet", "resnet50", "densenet121", "vit-b-16"]
"""Networks that judge pictures; "auto": VGG-19 where it was fetched before, else the one in the
package."""
FETCHED_AS = {"squeezenet": "squeezenet1_1"}
"""Whose weights serve for a name, where they have another: SqueezeNet 1.1 is as good as 1.0 in less
than half the time."""
Pooling = Literal["max", "average", "l2"]
Start = Literal["style", "content", "noise", "gray"]
ColorMatch = Literal["no", "linear", "histogram"]
Border = Literal["feather", "inside", "simple"]
Optimizer = Literal["adam", "adamw", "lbfgs", "sgd"]
Schedule = Literal["cosine", "constant"]
StyleDistance = Literal["wasserstein", "gram", "mean-std"]
LossScale = Literal["relative", "gatys", "sum"]
"""Of all losses of an optimized picture: each over its target's size; as printed in Gatys 2016, eq.
1 and 4, and plain sums where that has none; plain sums."""
TrainingScale = Literal["relative", "johnson"]
"""Of the losses of a training: each over its target's size; as printed in Johnson 2016."""
SwapScale = Literal["relative", "sum"]
"""Of the losses of an optimization toward swapped features."""

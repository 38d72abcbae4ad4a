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
Optimizer = Literal["adam", "adamw", "lbfgs"]
Schedule = Literal["cosine", "constant"]
StyleDistance = Literal["wasserstein", "gram", "mean-std"]
GramScale = Literal["relative", "gatys", "sum"]
"""Of a Gram error: over the target's square norm; as printed in Gatys 2016, eq. 4; not at all."""

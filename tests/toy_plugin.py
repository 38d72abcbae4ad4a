"""A plugin for tests of presets and the command line: small components under the usual names."""

from fakes import ClipReader, ClipWriter, Negative, NpyReader, NpyWriter

from stylepipe import (
    Flow,
    Masker,
    Options,
    StyleInfo,
    Stylizer,
    StylizerOptions,
    Temporal,
    Training,
    UsageError,
    hookimpl,
    option,
)


class Fast(Stylizer):
    """Paints nothing, quickly."""

    name = "fast"

    class Options(StylizerOptions):
        quality: str = option("quality", "Network.", choices=("quality", "light"))
        limit: int = option(5, "Has the name of a flag of the program.", min=1)

    @classmethod
    def styles(cls):
        return [StyleInfo("starry-night", "The Starry Night", "MIT")]

    def stylize(self, batch):
        return batch.images


class FastTraining(Training):
    """Train what fast paints with."""

    name = "fast"

    class Options(Options):
        steps: int = option(10, "Steps.", min=1)
        output: str | None = option(None, "File.", short="o")

        def check(self):
            if self.output is None:
                raise UsageError("name a file with --output")

    def train(self, context):
        options = self.options
        context.log(f"{options.steps} steps on {context.device.type} to {options.output}")


class Files(Masker):
    """Masks from files."""

    name, argument, by_file = "files", "path", True

    class Options(Options):
        path: str | None = option(None, "File or folder.")

    def mask(self, batch, frames):
        return batch.images[:, :1] * 0 + 1


class Edges(Masker):
    """Masks from edges."""

    name = "edges"

    class Options(Options):
        width: int = option(3, "Pixels.")

    mask = Files.mask


class Dis(Flow):
    """Flow."""

    name = "dis"

    class Options(Options):
        quality: str = option("medium", "Care.", choices=("ultrafast", "fast", "medium"))

    def flow(self, a, b):
        import torch

        return torch.zeros(1, 2, *a.pixels.shape[:2])


class Other(Dis):
    """Another flow, with options of the same names as a method's."""

    name = "other"

    class Options(Options):
        blend: int = option(3, "Has the name of an option of the method.")
        speed: int = option(1, "Has no other's name.")


class Warp(Temporal):
    """Guides."""

    name = "warp"

    class Options(Options):
        blend: float = option(0.7, "Share.", min=0, max=1)
        max_side: int = option(640, "Pixels.", min=64)

    def motion(self, frame, previous):
        return None

    def guide(self, motion, result, device):
        return None


class Median(Temporal):
    """Uses no flow."""

    name, mode, uses_flow = "median", "filter", False

    class Options(Options):
        frames: int = option(3, "Frames.")

    def filter(self, window, at, previous):
        return window[at].pixels


class Packed(NpyWriter):
    """Writes arrays with an option of its own."""

    name, patterns = "packed", (".npz",)

    class Options(Options):
        quality: int = option(95, "Has the name of an option of the stylizer.", min=1, max=100)
        level: int = option(1, "Compression.")


class PackedClip(ClipWriter):
    """Another default for an option of the same name."""

    name, patterns = "packed-clip", (".npzc",)

    class Options(Options):
        level: int = option(4, "Compression.")


@hookimpl
def stylepipe_components():
    readers = [NpyReader, ClipReader]
    return [*readers, Fast, FastTraining, Negative, Files, Edges, Dis, Other, Warp, Median,
            NpyWriter, ClipWriter, Packed, PackedClip]  # fmt: skip

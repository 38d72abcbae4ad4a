"""A plugin for tests of presets and the command line: small components under the usual names."""

from fakes import ClipReader, ClipWriter, Negative, NpyReader, NpyWriter

from stylepipe import (
    Flow,
    FlowOptions,
    Masker,
    MaskOptions,
    Options,
    StyleInfo,
    Stylizer,
    StylizerOptions,
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

    name = "files"

    class Options(MaskOptions):
        path: str | None = option(None, "File or folder.")


class Edges(Masker):
    """Masks from edges."""

    name = "edges"

    class Options(MaskOptions):
        width: int = option(3, "Pixels.")


class Dis(Flow):
    """Flow."""

    name = "dis"

    class Options(FlowOptions):
        quality: str = option("medium", "Care.", choices=("ultrafast", "fast", "medium"))


class Other(Flow):
    """Another flow."""

    name = "other"


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
    return [*readers, Fast, FastTraining, Negative, Files, Edges, Dis, Other, NpyWriter,
            ClipWriter, Packed, PackedClip]  # fmt: skip

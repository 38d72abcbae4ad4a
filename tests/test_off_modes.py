"""Options that mean nothing beside the others, where more than a look at the options tells so."""

from dataclasses import replace

import numpy as np
import pytest
import stylepipe_plugins.fast as fast
from fakes import Negative, Plugins, array, settings
from stylepipe_plugins.style_swap import SwapOptions, SwapStylizer

from stylepipe import StyleRef, UsageError
from stylepipe.job import Job
from stylepipe.media.video import VideoWriter
from stylepipe.pipeline import run
from stylepipe.report import Report


def test_the_preset_of_another_encoder():
    with pytest.raises(UsageError, match="--preset-x264 is for libx264 and libx265"):
        VideoWriter.Options(codec="vp9", preset_x264="slow")
    assert VideoWriter.Options(codec="vp9", preset_x264="veryfast")
    assert VideoWriter.Options(codec="h264", preset_x264="slow")
    assert VideoWriter.Options(preset_x264="slow")


def test_a_choice_of_networks_for_a_file_that_has_its_own(tmp_path):
    (tmp_path / "mine.safetensors").touch()
    refs = [StyleRef(str(tmp_path / "mine.safetensors"), 1.0)]
    with pytest.raises(UsageError, match="--quality picks among the networks in the package"):
        fast.FastStylizer(fast.FastOptions(quality="light")).check(refs)
    fast.FastStylizer(fast.FastOptions()).check(refs)
    fast.FastStylizer(fast.FastOptions(quality="light")).check([StyleRef("scream", 1.0)])


def test_blending_where_each_region_has_its_own_style(tmp_path):
    (tmp_path / "map.png").touch()
    styles, regions = [StyleRef("a", 1.0), StyleRef("b", 1.0)], ("#000000", "#ffffff")
    mixing = SwapStylizer(SwapOptions(blend="mix"))
    with pytest.raises(UsageError, match="each region is painted by one style"):
        mixing.assign(styles, regions)
    mapped = SwapOptions(blend="mix", style_regions=(tmp_path / "map.png",) * 2)
    assert SwapStylizer(mapped).assign(styles, regions) == [0, 1]


def test_borders_where_there_are_no_regions():
    with pytest.raises(UsageError, match="--border is for regions, and there are none"):
        SwapStylizer(SwapOptions(border="inside")).assign([StyleRef("a", 1.0)], None)


class Choosy(Negative):
    """Refuses an item by its name."""

    def check(self, styles, items=(), masker=None):
        super().check(styles, items)
        for item in items:
            if item.source.stem == "b":
                raise UsageError(f"not {item.source.name}")


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_stylizer_sees_the_items_before_anything_is_done(tmp_path, dry_run):
    (tmp_path / "photos").mkdir()
    for name in ("a", "b"):
        np.save(tmp_path / "photos" / f"{name}.npy", array())
    given = settings()
    given = replace(given, stylizer=Choosy(given.stylizer.options))
    job = Job((tmp_path / "photos",), tmp_path / "out", given, device="cpu", dry_run=dry_run)
    with pytest.raises(UsageError, match=r"^not b\.npy$"):
        run(job, Plugins(), Report(quiet=True))
    assert not (tmp_path / "out").exists()

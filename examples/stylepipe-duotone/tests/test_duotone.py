"""What stylepipe relies on comes from the contract suite; what is special is tested below."""

import pytest
from stylepipe_duotone import Duotone

from stylepipe import UsageError, convert
from stylepipe.testing import PluginContract


class TestPlugin(PluginContract):
    plugin = "stylepipe_duotone"


def test_black_and_white_become_the_inks(make_photo, tmp_path):
    cv2 = pytest.importorskip("cv2")
    black = make_photo("black.png", fill=0)
    report = convert(
        black,
        tmp_path / "out",
        preset="duotone-sepia",
        settings={"stylizer": {"strength": 1, "contrast": 10}},
    )
    assert report.exit_code == 0
    assert cv2.imread(str(tmp_path / "out" / "black.png"))[0, 0].tolist() == [0x10, 0x1A, 0x2B]


def test_a_wrong_color_is_refused_with_a_hint():
    with pytest.raises(UsageError, match="#RRGGBB"):
        Duotone.Options(shadows="navy")

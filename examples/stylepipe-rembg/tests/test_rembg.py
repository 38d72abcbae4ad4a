"""What stylepipe relies on comes from the contract suite; rembg itself is played by a fake."""

import sys
from types import ModuleType

import pytest
from stylepipe_rembg import Rembg

from stylepipe import SetupError, convert
from stylepipe.contracts.base import context
from stylepipe.testing import MaskerContract, PluginContract

np = pytest.importorskip("numpy")


@pytest.fixture(autouse=True)
def rembg(monkeypatch):
    """Takes what is bright for the foreground; knows one network."""
    fake = ModuleType("rembg")

    def new_session(model):
        if model != "u2net":
            raise ValueError(f"No session class found for model '{model}'")
        return model

    def remove(picture, session, only_mask):
        assert session == "u2net" and only_mask and picture.dtype == np.uint8
        return picture.max(axis=2)

    fake.new_session, fake.remove = new_session, remove
    monkeypatch.setitem(sys.modules, "rembg", fake)
    return fake


class TestPlugin(PluginContract):
    plugin = "stylepipe_rembg"


class TestMasker(MaskerContract):
    component = Rembg


def test_the_foreground_is_painted(make_photo, tmp_path):
    cv2 = pytest.importorskip("cv2")
    settings = {"mask": {"use": "rembg"}, "stylizer": {"use": "fast", "style": "scream"}}
    for fill, kept in ((0, True), (255, False)):
        photo = make_photo(f"{fill}.png", fill=fill)
        report = convert(photo, tmp_path / "out", settings=settings, plugins=["stylepipe_rembg"])
        assert report.exit_code == 0
        result = cv2.imread(str(tmp_path / "out" / photo.name))
        assert (result == cv2.imread(str(photo))).all() == kept


@pytest.mark.parametrize("absent", [True, False])
def test_what_is_missing_is_said_in_one_sentence(monkeypatch, absent):
    words = "cannot load the network 'u3net': No session class"
    if absent:
        monkeypatch.setitem(sys.modules, "rembg", None)
        words = "rembg is not installed: pip install"
    masker = Rembg(Rembg.Options(model="u3net"))
    with pytest.raises(SetupError, match=words):
        masker.open(context())
    masker.close()

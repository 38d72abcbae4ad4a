"""adain, wct and style-swap on films, with what the package ships."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import tinyencoder

from stylepipe.cli import main
from stylepipe.testing import MakeFile

SIZE = (96, 80)


def frames(path: Path) -> np.ndarray:
    """Their luminance: films store colors at half the size."""
    with av.open(str(path)) as film:
        return np.stack([f.to_ndarray(format="gray") for f in film.decode(video=0)])


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b.astype(float)).mean())


@pytest.mark.parametrize("name", ["adain", "wct", "style-swap"])
def test_a_film_is_painted_frame_by_frame(name: str, make_clip: MakeFile, tmp_path: Path) -> None:
    clip = make_clip("clip.mp4", SIZE, frames=5)
    painting = tmp_path / "painting.png"
    tinyencoder.save(painting, tinyencoder.picture(*SIZE, 3) ** 2)
    common = [name, "--style", str(painting), "--device", "cpu"]

    def paint(source: Path, out: str, *more: str) -> Path:
        assert main.run([*common, str(source), "-o", str(tmp_path / out), *more]) == 0
        return tmp_path / out

    own, plain = frames(clip), frames(paint(clip, "plain.mp4", "--crf", "1"))
    assert plain.shape == own.shape
    assert apart(plain, own) > 8

    with av.open(str(clip)) as film:
        *_, last = film.decode(video=0)
    cv2.imwrite(str(tmp_path / "last.png"), last.to_ndarray(format="bgr24"))
    photo = paint(tmp_path / "last.png", "photo.png")
    still = cv2.imread(str(photo), cv2.IMREAD_GRAYSCALE)
    assert apart(plain[-1], still) < 0.7 * apart(plain[-2], still)

    guided = frames(paint(clip, "guided.mp4", "--crf", "1", "--temporal", "warp"))
    assert apart(guided[0], plain[0]) < 1
    assert apart(guided[-1], plain[-1]) > 2

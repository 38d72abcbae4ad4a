"""Fixtures for the project's own tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stylepipe.memory import tune_threads

# As every program of ours does, before torch comes in: beside other work a network takes 3 to 60
# times as long while threads spin, and tests would fail that only wait for one another.
tune_threads()

import cv2  # noqa: E402
import numpy as np  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLEPIPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of development media and weights (env STYLEPIPE_DATA); tests skip without it."""
    folder = Path(os.environ.get("STYLEPIPE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs development data in {folder} (set STYLEPIPE_DATA)")
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Five soft pictures of 128x96 pixels, to train on."""
    rng = np.random.default_rng(0)
    paths = []
    for index in range(5):
        picture = cv2.resize(rng.uniform(0, 255, (9, 12, 3)), (128, 96)).astype(np.uint8)
        paths.append(tmp_path / f"{index}.png")
        cv2.imwrite(str(paths[-1]), picture)
    return paths

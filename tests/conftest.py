"""Fixtures for the project's own tests."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of development media and weights (env STYLEPIPE_DATA); tests skip without it."""
    folder = Path(os.environ.get("STYLEPIPE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs development data in {folder} (set STYLEPIPE_DATA)")
    return folder

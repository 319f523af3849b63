"""Real photographs and captions, in memory."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture(scope="session")
def flickr(data_dir: Path) -> list[Image.Image]:
    """200 photographs of Flickr8k."""
    with zipfile.ZipFile(data_dir / "flickr8k_1k" / "images.zip") as archive:
        names = sorted(archive.namelist())[:200]
        return [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in names]


@pytest.fixture(scope="session")
def captions(data_dir: Path) -> list[str]:
    """The distinct captions of Flickr8k, sorted."""
    lines = (data_dir / "flickr8k_1k" / "captions.tsv").read_text().splitlines()
    return sorted({line.split("\t")[1] for line in lines})

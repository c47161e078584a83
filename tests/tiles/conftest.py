"""Atlases that tiles are drawn from, and pictures to compare with (UPDATE_GOLDEN=1 rewrites)."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import random_array

import backend.store.pyramid
from backend.core.data import Label, SectionData, TaskResult
from backend.core.layers import Category, LayerKey
from backend.store.atlas import Atlas
from backend.store.write import write_atlas, write_result
from backend.tiles.render import TileRenderer
from tests.tiny import tiny_atlas

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "tiles"
MANY = tuple(Category(f"t{i:03}", f"#{i % 256:02x}{i // 2:02x}40") for i in range(300))
DENSE_CELLS = 40_000


def pixels(png: bytes) -> NDArray[np.uint8]:
    """Return the decoded picture, (h, w, 4) uint8."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def dense_section(name: str, seed: int, with_genes: bool) -> SectionData:
    rng = np.random.default_rng(seed)
    n = DENSE_CELLS
    xy = rng.uniform(0, 1000, (n, 2)).astype(np.float32)
    types = rng.integers(-1, len(MANY), n).astype(np.int16)
    genes = ("A", "B") if with_genes else ()
    counts = random_array((n, len(genes)), density=0.3, rng=rng, format="csr")
    counts.data = np.ceil(counts.data * 9).astype(np.float32)
    weight = np.full(n, 0.5, np.float32)
    return SectionData(
        id=name,
        title=name,
        xy=xy,
        counts=counts.astype(np.float32),
        genes=genes,
        names=np.arange(n).astype(str).astype(object),
        labels={"type": Label(types, MANY)},
        numbers={
            LayerKey("confidence", "type"): rng.uniform(0, 1, n).astype(np.float32),
            LayerKey("weight", "even"): weight,
        }
        if with_genes
        else {},
    )


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TileRenderer:
    path = tiny_atlas(tmp_path_factory.mktemp("tiles") / "tiny.zarr")
    return TileRenderer(Atlas.open(path))


@pytest.fixture(scope="session")
def dense_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sections of 40,000 cells with a pyramid, as if that were many."""
    path = tmp_path_factory.mktemp("tiles") / "dense.zarr"
    sections = [dense_section("full", 1, True), dense_section("bare", 2, False)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend.store.pyramid, "DENSE_TILE", 5_000)
        write_atlas(path, "dense", sections)
        cells = np.random.default_rng(3).integers(-99, 99, (2 * DENSE_CELLS, 8)).astype(np.int8)
        genes = np.random.default_rng(4).normal(0, 1, (2, 8)).astype(np.float32)
        genes[1] = 0
        write_result(
            path,
            TaskResult(),
            embeddings={"cell": (cells, np.full(8, 0.01, np.float32))},
            genes=(genes, np.array([0.2, 0.2], np.float32), np.full((2, 3), np.nan, np.float32)),
            checkpoint="hand-made",
            embedded=["full"],
        )
    return path


@pytest.fixture(scope="session")
def dense(dense_path: Path) -> TileRenderer:
    return TileRenderer(Atlas.open(dense_path))


@pytest.fixture
def golden() -> Callable[[str, bytes], None]:
    """Compare a picture with the one on file, pixel by pixel."""

    def check(name: str, png: bytes) -> None:
        file = GOLDEN / f"{name}.png"
        if os.environ.get("UPDATE_GOLDEN") == "1":
            GOLDEN.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png)
        np.testing.assert_array_equal(pixels(png), pixels(file.read_bytes()))

    return check

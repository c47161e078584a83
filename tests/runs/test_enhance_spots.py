"""Cells within spots, modalities in one file, and an image for each of several sections."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.sparse import csr_matrix

from backend.core.errors import BadRequest
from backend.core.job import RunContext
from backend.models.soscope.tasks import EnhanceParams
from backend.runs.enhance import enhance_file
from backend.runs.enhance_spots import images_by_section, read_spots
from tests.models.soscope.planted import grid


def write(path: Path, xy: np.ndarray, genes: int = 10, types: list[str] | None = None) -> Path:
    rng = np.random.default_rng(0)
    level = 5 + 3 * np.sin(xy[:, :1] / 200) + rng.uniform(0, 5, genes)
    data = anndata.AnnData(csr_matrix(rng.poisson(level), dtype=np.float32))
    data.obs_names = [f"{path.stem}{i}" for i in range(len(xy))]
    data.var_names = [f"Gene{i}" for i in range(genes)]
    if types:
        data.var["feature_type"] = pd.Categorical(types)
    data.obsm["spatial"] = xy
    data.write_h5ad(path)
    return path


def test_cells_in_spots_are_the_subspots(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    spots = write(tmp_path / "spot.h5ad", grid(9))
    cells = write(tmp_path / "cell.h5ad", rng.uniform(-50, 850, (1500, 2)))
    sections, result = enhance_file(spots, EnhanceParams(), RunContext(), cells=cells)
    made = result.sections[0]
    parent = next(m.values for m in result.matrices if m.name == "parent")[:, 0].astype(int)
    apart = np.hypot(*(made.xy - sections[0].xy[parent]).T)
    assert apart.max() <= 0.55 * 100 / 2 + 1e-3
    assert made.n_cells == pytest.approx(1500 * np.pi * 27.5**2 / 100**2, rel=0.15)
    assert all(name.startswith("cell") for name in made.names)
    sums = np.zeros(sections[0].counts.shape)
    split = next(m for m in result.matrices if m.name == "split")
    np.add.at(sums, parent, split.values)
    order = [sections[0].genes.index(g) for g in split.columns]
    np.testing.assert_allclose(sums, sections[0].counts.toarray()[:, order], rtol=1e-5)


def test_cells_of_another_frame_are_refused(tmp_path: Path) -> None:
    spots = write(tmp_path / "spot.h5ad", grid(9))
    cells = write(tmp_path / "cell.h5ad", grid(9) + 5000)
    with pytest.raises(BadRequest, match="No cell lies in a spot"):
        enhance_file(spots, EnhanceParams(), RunContext(), cells=cells)


def test_a_file_that_tells_modalities_apart_is_read_with_all_of_them(tmp_path: Path) -> None:
    types = ["Gene Expression"] * 6 + ["Antibody Capture"] * 4
    both = read_spots(write(tmp_path / "both.h5ad", grid(9), types=types), None)
    assert [len(m.features) for m in both[0].modalities] == [6, 4]
    one = read_spots(write(tmp_path / "one.h5ad", grid(9), types=["Gene Expression"] * 10), None)
    assert one[0].modalities == ()


def test_sections_with_an_image_each_are_enhanced_together(tmp_path: Path) -> None:
    path = write(tmp_path / "spots.h5ad", np.concatenate([grid(9)] * 3))
    data = anndata.read_h5ad(path)
    data.obs["section"] = np.repeat(["a", "b", "c"], 81)
    data.obsm["pixel"] = data.obsm["spatial"] / 5 + 10
    data.write_h5ad(path)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (190, 190, 3), np.uint8)).save(
        tmp_path / "slide.png"
    )
    images = {"a": tmp_path / "slide.png", "c": tmp_path / "slide.png"}
    sections, result = enhance_file(path, EnhanceParams(), RunContext(), images=images)
    assert [s.id for s in sections] == ["a", "c"]
    assert result.figures["gate"]["image"] < 0.85  # noise
    with pytest.raises(BadRequest, match="no section 'd'"):
        enhance_file(path, EnhanceParams(), RunContext(), images={"d": images["a"]})


def test_each_image_says_which_section_it_shows() -> None:
    assert images_by_section(["a=1.jpg", "b=2.jpg"]) == {"a": Path("1.jpg"), "b": Path("2.jpg")}
    assert images_by_section(["1.jpg"]) == {"": Path("1.jpg")}
    for texts in (["1.jpg", "b=2.jpg"], ["a=1.jpg", "a=2.jpg"]):
        with pytest.raises(BadRequest, match="does not say which section"):
            images_by_section(texts)

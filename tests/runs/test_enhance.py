"""Files in, files out: an image that fits, one that does not, and what is written."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import save_file
from scipy.sparse import csr_matrix

from backend.core.data import SectionData, TaskResult
from backend.core.errors import AtlasError, BadFile, BadRequest
from backend.core.job import RunContext
from backend.models.soscope.tasks import EnhanceParams
from backend.runs.enhance import ImageChoice, enhance_file
from backend.runs.enhance_atlas import write_enhanced_atlas
from backend.store.atlas import Atlas
from tests.models.soscope.planted import grid, random_weights


@pytest.fixture(scope="module")
def spots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 10 x 10 spots with an image in which the left half is dark, and so are the counts."""
    folder = tmp_path_factory.mktemp("spots")
    rng = np.random.default_rng(0)
    xy = grid(10)
    level = np.where(xy[:, 0] < 450, 5, 30)[:, None] * rng.uniform(0.5, 2, 30)
    obs = pd.DataFrame(index=[f"spot{i}" for i in range(100)])
    data = anndata.AnnData(
        csr_matrix(rng.poisson(level), dtype=np.float32), obs=obs,
        var=pd.DataFrame(index=[f"Gene{i}" for i in range(30)]),
    )  # fmt: skip
    data.obsm["spatial"] = xy
    data.obsm["pixel"] = xy / 5 + 10
    data.write_h5ad(folder / "spots.h5ad")
    rgb = rng.integers(190, 210, (200, 200, 3)).astype(np.uint8)
    rgb[:, :100] -= 80
    Image.fromarray(rgb).save(folder / "slide.png")
    return folder / "spots.h5ad"


def run(
    path: Path, image: ImageChoice | None = None, out_h5ad: Path | None = None
) -> tuple[list[SectionData], TaskResult]:
    return enhance_file(path, EnhanceParams(), RunContext(), image=image, out_h5ad=out_h5ad)


def test_subspots_are_written_with_layers_parents_and_gains(spots: Path, tmp_path: Path) -> None:
    slide = ImageChoice(spots.with_name("slide.png"))
    sections, result = enhance_file(
        spots, EnhanceParams(), RunContext(), image=slide, out_h5ad=tmp_path / "fine.h5ad",
        out_csv=tmp_path / "gain.csv",
    )  # fmt: skip
    fine, coarse = anndata.read_h5ad(tmp_path / "fine.h5ad"), anndata.read_h5ad(spots)
    assert fine.shape == (400, 30)
    assert set(fine.layers) == {"rate", "split", "sd"}
    sums = pd.DataFrame(fine.layers["split"].toarray()).groupby(fine.obs["parent"].to_numpy()).sum()
    np.testing.assert_allclose(sums.loc[coarse.obs_names], coarse.X.toarray(), rtol=1e-6)
    assert len((tmp_path / "gain.csv").read_text().splitlines()) == 31
    figures = json.loads(fine.uns["soscope"])["figures"]
    assert figures["gate"]["image"] > figures["gate"]["shuffled"]
    assert figures["image"]["source"] == "slide.png"

    places = write_enhanced_atlas(tmp_path / "atlas.zarr", sections, result)
    atlas = Atlas.open(tmp_path / "atlas.zarr")
    infos = atlas.sections()
    own = places[sections[0].id]
    assert [infos[own[name]].n_cells for name in ("rate", "spots", "split")] == [400, 100, 400]
    assert infos[own["rate"]].parent == sections[0].id
    assert infos[own["rate"]].unit == "expected counts per spot area"
    assert all(info.n_genes == 30 for info in infos)


def test_spots_outside_the_image_are_refused_with_an_overlay(spots: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.png"
    wrong = ImageChoice(spots.with_name("slide.png"), scale=2.0, overlay=overlay)
    with pytest.raises(BadRequest, match=r"75% of the spots \(75 of 100\) lie outside") as raised:
        run(spots, wrong)
    assert str(overlay) in str(raised.value)
    with Image.open(overlay) as picture:
        assert max(picture.size) > 400


def test_a_network_describes_the_image_where_weights_are_given(spots: Path, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    save_file(random_weights(), weights)
    slide = ImageChoice(spots.with_name("slide.png"), weights=weights)
    about = run(spots, slide)[1].figures["image"]
    assert about["features"] == "cnn"
    assert about["weights"]["name"] == "w.safetensors"
    with pytest.raises(BadFile, match="no such file"):
        run(spots, ImageChoice(spots.with_name("slide.png"), weights=tmp_path / "none"))


def test_an_image_without_pixel_coordinates_is_refused(spots: Path, tmp_path: Path) -> None:
    data = anndata.read_h5ad(spots)
    del data.obsm["pixel"]
    data.write_h5ad(tmp_path / "bare.h5ad")
    slide = spots.with_name("slide.png")
    with pytest.raises(BadFile, match="no pixel coordinates; obsm has obsm/spatial"):
        run(tmp_path / "bare.h5ad", ImageChoice(slide))
    run(tmp_path / "bare.h5ad", ImageChoice(slide, pixels="stretch"))


def test_an_image_inside_the_file_needs_its_scale_factor(spots: Path, tmp_path: Path) -> None:
    data = anndata.read_h5ad(spots)
    with Image.open(spots.with_name("slide.png")) as picture:
        rgb = np.asarray(picture)
    inside = {"images": {"hires": rgb}, "scalefactors": {"tissue_hires_scalef": 0.5}}
    data.uns["spatial"] = {"lib": inside}
    data.obsm["pixel"] = data.obsm["pixel"] * 2
    data.write_h5ad(tmp_path / "visium.h5ad")
    _, result = run(tmp_path / "visium.h5ad")
    assert result.figures["image"]["width"] == 200
    data.uns["spatial"]["lib"]["scalefactors"] = {"spot_diameter_fullres": 9.0}
    data.write_h5ad(tmp_path / "unscaled.h5ad")
    with pytest.raises(BadFile, match="has no scale factor"):
        run(tmp_path / "unscaled.h5ad")


def test_subspots_smaller_than_a_pixel_are_refused(spots: Path) -> None:
    tiny = ImageChoice(spots.with_name("slide.png"), scale=0.05)
    with pytest.raises(BadRequest, match="smaller than a pixel"):
        run(spots, tiny)


def test_values_that_are_no_counts_and_empty_spots_are_refused(spots: Path, tmp_path: Path) -> None:
    data = anndata.read_h5ad(spots)
    data.X = csr_matrix(np.log1p(data.X.toarray()))
    data.write_h5ad(tmp_path / "log.h5ad")
    with pytest.raises(AtlasError, match="not counts"):
        run(tmp_path / "log.h5ad")
    data.X = csr_matrix(data.shape, dtype=np.float32)
    data.write_h5ad(tmp_path / "empty.h5ad")
    with pytest.raises(AtlasError, match="all spots are empty"):
        run(tmp_path / "empty.h5ad")


def test_the_input_is_never_overwritten(spots: Path) -> None:
    with pytest.raises(BadRequest, match="overwrite"):
        run(spots, out_h5ad=spots)

"""The bench command on a small atlas: the report is whole and sound; no figure is judged."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.cli import bench_tiles
from backend.cli.main import main
from backend.core.layers import LayerKey
from backend.store.atlas import Atlas
from backend.tiles.render import TileRenderer
from backend.tiles.values import Values
from tests.tiny import tiny_atlas


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_atlas(tmp_path_factory.mktemp("bench") / "tiny.zarr")


def test_the_report_has_every_figure_with_its_floor(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--repeats", "6", "--seconds", "0.1", "--workers", "0", "--json"]
    assert not main(["bench", str(tiny), *arguments])
    report = json.loads(capsys.readouterr().out)
    assert (report["n_cells"], report["n_sections"], report["n_genes"]) == (440, 3, 12)
    rows = {row["name"]: row for row in report["figures"]}
    assert len(rows) == len(report["figures"])
    for plane in ("montage", "section"):
        for layer in ("label of 4 categories", "measured gene", "imputed gene", "density:cells"):
            tile = rows[f"{plane}, {layer}: sparse deep"]
            assert tile["ratio"] == pytest.approx(tile["p50_ms"] / tile["floor_p50_ms"])
            assert tile["p95_ms"] >= tile["p50_ms"] > 0
    for clients in (1, 8):
        assert rows[f"HTTP, {clients} clients, constant reply of 20 kB"]["per_second"] > 0
        assert rows[f"HTTP, {clients} clients, imputed gene"]["ratio_p95"] > 0
    assert rows["switch to another imputed gene, viewport of montage, HTTP"]["n"] == 12
    assert {"pick a cell", "PNG of a tile, by PIL RGBA level 1"} <= set(rows)


def test_the_brute_force_is_the_product_of_all_cells_and_the_gene(tiny: Path) -> None:
    atlas = Atlas.open(tiny)
    gene = int(bench_tiles.imputable(atlas)[1])
    embedding, table = atlas.embedding("cell"), atlas.genes.embedding
    assert embedding is not None
    assert table is not None
    expected = (np.asarray(embedding.values[:]) * embedding.scale) @ table[gene]
    product = np.asarray(bench_tiles.brute_force(atlas, gene)())
    assert np.allclose(product, expected, atol=1e-4)


def test_the_floor_of_a_label_reads_the_codes_and_labels_of_its_cells(tiny: Path) -> None:
    atlas = Atlas.open(tiny)
    renderer = TileRenderer(atlas)
    places = bench_tiles.planes(atlas, renderer, np.random.default_rng(0), 8)["section"]
    read = bench_tiles.reader(Values(atlas), renderer, LayerKey("label", "type"), places[0])
    codes, label = read()
    rows = max(atlas.sections(), key=lambda s: s.n_cells).rows
    assert np.array_equal(codes, atlas.morton[rows])
    assert np.array_equal(label, atlas.label("type").codes[rows])


def test_both_encoders_write_the_picture(tiny: Path) -> None:
    atlas = Atlas.open(tiny)
    renderer = TileRenderer(atlas)
    place = bench_tiles.planes(atlas, renderer, np.random.default_rng(0), 1)["montage"][0]
    png = bench_tiles.draw(renderer, LayerKey("label", "type"), place)
    own, slow = bench_tiles.encoders(png)
    pictures = [Image.open(io.BytesIO(act())).convert("RGBA") for act in (own, slow)]
    assert np.array_equal(*(np.asarray(picture) for picture in pictures))

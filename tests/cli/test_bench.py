"""The bench command on a small atlas: the report is whole and sound; no figure is judged."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.cli import bench_http, bench_pictures, bench_rows, bench_targets, bench_tiles
from backend.cli.bench_rows import row
from backend.cli.bench_targets import MANY, verdicts
from backend.cli.main import main
from backend.core.geometry import TileAddress
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
    assert not main(["bench", str(tiny), "--beside", str(tiny), *arguments])
    report = json.loads(capsys.readouterr().out)
    assert (report["n_cells"], report["n_sections"], report["n_genes"]) == (440, 3, 12)
    rows = {row["name"]: row for row in report["figures"]}
    assert len(rows) == len(report["figures"])
    for plane in ("montage", "section"):
        for layer in ("label of 4 categories", "measured gene", "imputed gene", "density:cells"):
            tile = rows[f"{plane}, {layer}: sparse deep"]
            assert tile["strict_ratio"] > tile["ratio"] > 0
            assert tile["p95_ms"] >= tile["p50_ms"] > 0
    for clients in (1, 8):
        assert rows[f"HTTP, {clients} clients, constant reply of 20 kB"]["per_second"] > 0
        assert rows[f"HTTP, {clients} clients, imputed gene"]["ratio_p95"] > 0
    assert rows["switch to another imputed gene, viewport of montage, HTTP"]["n"] == 12
    screens = [name for name in rows if name.startswith("same screen")]
    assert len(screens) == 4
    judged = {line["figure"]: line["verdict"] for line in report["targets"]}
    assert judged["same screen, this atlas / the small one"] != "not measured"
    assert judged["repeat view"] == "reached"
    assert judged["imputed overview tile / brute force"] == "not measured"
    for figure in (
        "montage: uncached label tile, p95",
        "HTTP, 1 clients, imputed: p50 / constant reply",
        "HTTP, 8 clients, label: tiles per second",
        "tile p95 while a network trains / without",
        "private memory per worker",
        "Morton sort and gather / torch.sort",
        "PNG / PIL RGBA level 1",
    ):
        assert judged[figure] in ("reached", "missed")


def test_targets_are_judged_by_the_figures_of_the_run() -> None:
    deep = {"plane": "montage", "kind": "label", "part": "dense deep", "strict_ratio": 60.0}
    rows = [
        row("deep", [0.4] * 20, [0.02], **deep) | {"ratio": 20.0},
        row("brute", [1.0], [90.0], what="brute"),
        row("screen", [2.0], [1.0], what="screen"),
        {"name": "memory", "value": 149.0, "unit": "MB", "what": "memory"},
        row("png", [1.0], [50.0], what="png"),
    ]
    found = {v.figure: (v.word, v.measured) for v in verdicts(rows, MANY)}
    assert found["montage: uncached label tile, p95"] == ("reached", "0.4 ms (dense deep)")
    name = "montage: dense deep label tile / reading its codes and labels"
    assert found[name][0] == "missed"
    assert found["imputed overview tile / brute force"] == ("reached", "1/90 (1.00 / 90.0 ms)")
    assert found["same screen, this atlas / the small one"] == ("missed", "2.00")
    assert found["private memory per worker"] == ("reached", "149 MB")
    assert found["PNG / PIL RGBA level 1"] == ("reached", "1/50")
    assert found["UMAP plane"][0] == found["Morton sort and gather / torch.sort"][0]
    small = {v.figure: v.word for v in verdicts(rows, 100)}
    assert small["imputed overview tile / brute force"] == "not measured"
    lines = [*bench_targets.table(verdicts(rows, MANY)), *bench_rows.table(rows)]
    assert any("reached" in line and "149 MB" in line for line in lines)
    assert any(line.startswith("memory") and line.endswith("149.00 MB") for line in lines)
    assert "| PNG / PIL RGBA level 1 | <= 1/20 | 1/50 | reached |" in bench_targets.markdown(
        verdicts(rows, MANY)
    )
    table = bench_rows.markdown(rows)
    assert "| brute | 1 | 1 | 90 | 0.0111 |  |  |" in table
    assert "| memory | 149 MB | | | | | |" in table


def test_the_brute_force_is_the_product_of_all_cells_and_the_gene(tiny: Path) -> None:
    atlas = Atlas.open(tiny)
    gene = int(bench_tiles.imputable(atlas)[1])
    embedding, table = atlas.embedding("cell"), atlas.genes.embedding
    assert embedding is not None
    assert table is not None
    expected = (np.asarray(embedding.values[:]) * embedding.scale) @ table[gene]
    product = np.asarray(bench_tiles.brute_force(atlas, gene)())
    assert np.allclose(product, expected, atol=1e-4)


def test_the_floors_of_a_label_read_the_codes_and_labels_of_its_cells(tiny: Path) -> None:
    atlas = Atlas.open(tiny)
    renderer = TileRenderer(atlas)
    place = bench_tiles.planes(atlas, renderer, np.random.default_rng(0), 8)["section"][0]
    floors = bench_tiles.floors(Values(atlas), renderer, LayerKey("label", "type"), place)
    codes, label = floors.strict()
    info = max(atlas.sections(), key=lambda s: s.n_cells)
    assert np.array_equal(codes, atlas.morton[info.rows])
    assert np.array_equal(label, atlas.label("type").codes[info.rows])
    # All cells are in the tile: the searches find both ends of the section.
    assert floors.floor() == [0, len(codes), codes.sum(), label.sum()]


def test_the_floor_of_an_imputed_gene_reads_its_embeddings(tiny: Path) -> None:
    atlas = Atlas.open(tiny)
    renderer = TileRenderer(atlas)
    place = bench_tiles.Place("alpha", TileAddress(0, 0, 0))
    key = next(key for key in bench_tiles.layers(atlas) if key.kind == "imputed")
    codes, cells = bench_tiles.floors(Values(atlas), renderer, key, place).strict()
    embedding = atlas.embedding("cell")
    assert embedding is not None
    assert np.array_equal(cells, embedding.values[atlas.section("alpha").rows])
    assert len(codes) == len(cells)


def test_a_screen_is_as_many_whole_sections_of_either_atlas(tiny: Path) -> None:
    atlas = Atlas.open(tiny)
    rows = list(bench_pictures.same_screen(atlas, TileRenderer(atlas), tiny))
    assert [row["what"] for row in rows] == ["screen"] * 4
    assert "3 whole sections, one tile each" in rows[0]["name"]


def test_refusals_are_counted_and_other_errors_stop_the_bench(tmp_path: Path, tiny: Path) -> None:
    with bench_http.served(tiny, 0, str(tmp_path)) as (port, _):
        asked = bench_http.ask(port, 2, [bench_http.PING] * 5)
        assert (len(asked.times), asked.refused) == (5, 0)
        with pytest.raises(RuntimeError, match="answered 404"):
            bench_http.ask(port, 1, ["/tiles/nope/label:type/0/0/0.png"])


def test_both_encoders_write_the_picture(tiny: Path) -> None:
    atlas = Atlas.open(tiny)
    renderer = TileRenderer(atlas)
    place = bench_tiles.planes(atlas, renderer, np.random.default_rng(0), 1)["montage"][0]
    png = bench_tiles.draw(renderer, LayerKey("label", "type"), place)
    own, slow = bench_tiles.encoders(png)
    pictures = [Image.open(io.BytesIO(act())).convert("RGBA") for act in (own, slow)]
    assert np.array_equal(*(np.asarray(picture) for picture in pictures))

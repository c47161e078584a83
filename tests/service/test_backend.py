from __future__ import annotations

import csv
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from backend.core.data import SectionInfo
from backend.core.errors import (
    BadRequest,
    TooFewCells,
    UnknownCell,
    UnknownGene,
    UnknownLayer,
    UnknownSection,
)
from backend.core.geometry import Bounds
from backend.core.layers import LayerKey
from backend.core.settings import Settings
from backend.service import Backend
from backend.service.tables import safe_text
from tests.tiny import SIZES, tiny_atlas

REGION, TYPE = LayerKey("label", "region"), LayerKey("label", "type")


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Backend:
    folder = tmp_path_factory.mktemp("service")
    return Backend(Settings(data=folder / "data"), tiny_atlas(folder / "tiny.zarr"))


def _box(info: SectionInfo) -> list[list[float]]:
    left, top, right, bottom = info.extent
    return [[left, top], [right, top], [right, bottom + 1], [left, bottom + 1]]


def _code(backend: Backend, key: LayerKey, name: str) -> int:
    return [c.name for c in backend.layer("alpha", key).categories].index(name)


def test_the_atlas_says_what_it_holds(backend: Backend) -> None:
    info = backend.atlas_info()
    assert info["simulated"] is True
    assert info["n_cells"] == sum(SIZES.values())
    assert info["n_sections"] == 3
    assert info["has_imputation"] is True
    assert info["can_annotate"] is False


def test_sections_lie_on_the_plane_without_overlap(backend: Backend) -> None:
    boxes = [Bounds(*s["bounds"]) for s in backend.sections()]
    world = backend.atlas_info()["world_um"]
    for i, a in enumerate(boxes):
        assert a.left >= 0
        assert a.bottom <= world
        for b in boxes[:i]:
            apart = a.right <= b.left or b.right <= a.left
            assert apart or a.bottom <= b.top or b.bottom <= a.top


def test_counts_of_a_whole_view_equal_those_of_the_section(backend: Backend) -> None:
    whole = backend.counts("alpha", REGION)
    box = next(Bounds(*s["bounds"]) for s in backend.sections() if s["id"] == "alpha")
    assert backend.counts("atlas", REGION, box) == whole
    assert sum(whole.values()) == SIZES["alpha"]
    half = Bounds(box.left, box.top, box.right, box.top + box.height / 2)
    part = backend.counts("alpha", REGION, half)
    assert 0 < sum(part.values()) < SIZES["alpha"]
    assert part[_code(backend, REGION, "CA1")] == 0  # the lowest band lies in the other half


def test_composition_inside_a_region_adds_up(backend: Backend) -> None:
    inside = backend.composition("alpha", TYPE, (REGION, 0))
    atlas = backend.planes.main.atlas
    rows = atlas.section("alpha").rows
    types, regions = (np.asarray(atlas.label(n).codes[rows]) for n in ("type", "region"))
    assert sum(c["count"] for c in inside) == int(((types >= 0) & (regions == 0)).sum()) > 0
    assert [c["count"] for c in inside] == sorted((c["count"] for c in inside), reverse=True)


def test_a_region_is_named_where_it_lies(backend: Backend) -> None:
    box = next(Bounds(*s["bounds"]) for s in backend.sections() if s["id"] == "alpha")
    anchors = backend.anchors("alpha", REGION)
    assert {name for name, *_ in anchors} == {"L2/3", "L5", "CA1"}
    heights = {name: (y - box.top) / box.height for name, _, y, _ in anchors}
    assert heights["L2/3"] < 0.4
    assert heights["CA1"] > 0.6


def test_every_cell_is_found_at_its_own_place(backend: Backend) -> None:
    for name in SIZES:
        info = backend.section(name)
        xy = np.asarray(backend.planes.main.atlas.xy[info.rows])
        for row in range(0, info.n_cells, 7):
            assert backend.pick(name, float(xy[row, 0]), float(xy[row, 1])) == (name, row)


def test_far_from_any_cell_nothing_is_picked(backend: Backend) -> None:
    assert backend.pick("alpha", -500.0, -500.0) is None


def test_the_montage_picks_through_sections(backend: Backend) -> None:
    entry = next(s for s in backend.sections() if s["id"] == "gamma")
    info = backend.section("gamma")
    x, y = np.asarray(backend.planes.main.atlas.xy[info.rows])[3]
    left = entry["bounds"][0] + float(x) - info.extent.left
    top = entry["bounds"][1] + float(y) - info.extent.top
    assert backend.pick("atlas", left, top, 1.0) == ("gamma", 3)


def test_a_card_tells_labels_counts_and_imputed_genes(backend: Backend) -> None:
    card = backend.cell("alpha", 5, LayerKey("imputed", "Gad1"))
    atlas = backend.planes.main.atlas
    counts = atlas.load("alpha").counts[5].toarray().ravel()
    assert card["measured"][0][1] == counts.max()
    assert len(card["imputed"]) > 0
    assert card["value"] >= 0
    assert 0 <= card["labels"]["type"]["confidence"] <= 1


def test_a_section_with_labels_only_has_no_genes_on_its_card(backend: Backend) -> None:
    card = backend.cell("gamma", 0)
    assert card["measured"] == []
    assert card["imputed"] == []


def test_search_finds_regions_types_and_genes_and_else_the_nearest(backend: Backend) -> None:
    found = backend.search("ca", "alpha")
    assert [r["name"] for r in found["regions"]] == ["CA1"]
    genes = backend.search("gad", "beta")["genes"]
    assert {(g["symbol"], g["measured"], g["imputed"]) for g in genes} == {
        ("Gad1", False, True),
        ("Gad2", False, True),
    }
    assert backend.search("ensmusg00000070880", "alpha")["genes"][0]["symbol"] == "Gad1"
    nothing = backend.search("Slc17a9", "alpha")
    assert "Slc17a7" in nothing["nearest"]


def test_a_gene_that_was_not_measured_says_what_to_show_instead(backend: Backend) -> None:
    with pytest.raises(UnknownLayer, match="Show imputed:Gad1 instead"):
        backend.layer("beta", LayerKey("measured", "gad1"))
    info = backend.layer("beta", LayerKey("imputed", "gad1"))
    assert info.title == "Gad1"
    assert info.trust is not None
    assert info.trust.figure == pytest.approx(0.6)
    assert info.provenance == "fusemap 0, 1 section, seed 7"
    assert backend.layer("beta", REGION).provenance == "simulated labels"


def test_a_section_without_embedding_cannot_be_imputed(backend: Backend) -> None:
    with pytest.raises(UnknownLayer, match="no expression"):
        backend.layer("gamma", LayerKey("imputed", "Gad1"))


def test_means_per_type_equal_brute_force(backend: Backend) -> None:
    atlas = backend.planes.main.atlas
    data = atlas.load("alpha")
    logged = np.log1p(data.counts[:, list(data.genes).index("Sst")].toarray().ravel())
    codes = data.labels["type"].codes
    for row in backend.means("alpha", LayerKey("measured", "Sst"), TYPE):
        assert row["mean"] == pytest.approx(logged[codes == row["code"]].mean(), rel=1e-3)
        assert row["n"] == int((codes == row["code"]).sum())


def test_a_polygon_counts_the_cells_inside_it(backend: Backend) -> None:
    info = backend.section("alpha")
    everything = backend.select("alpha", _box(info))
    assert everything["n_cells"] >= SIZES["alpha"] - 1  # the rightmost cell lies on the edge
    assert sum(c["count"] for c in everything["labels"]["region"]) == everything["n_cells"]


def test_the_marker_of_a_type_leads_its_comparison(backend: Backend) -> None:
    def cells_of(name: str) -> dict[str, object]:
        return {"section": "alpha", "layer": "label:type", "code": _code(backend, TYPE, name)}

    table = backend.compare(cells_of("Excitatory"), cells_of("Inhibitory"), limit=12)
    by_gene = {row["gene"]: row for row in table["genes"]}
    assert by_gene["Slc17a7"]["effect"] > 1
    assert by_gene["Gad1"]["effect"] < -1
    with pytest.raises(TooFewCells):
        backend.compare({**cells_of("Astrocyte"), "code": 77}, cells_of("Inhibitory"))


def test_a_table_has_one_line_per_cell_and_says_simulated(backend: Backend) -> None:
    lines = "".join(backend.table("alpha", TYPE)).splitlines()
    assert lines[1] == "# simulated data"
    rows = list(csv.reader(lines[2:]))
    assert rows[0] == ["cell_id", "x_um", "y_um", "label_type"]
    assert len(rows) == 1 + SIZES["alpha"]
    assert {r[3] for r in rows[1:]} == {"", "Excitatory", "Inhibitory", "Astrocyte",
                                        "Oligodendrocyte"}  # fmt: skip


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x"])
def test_a_cell_that_looks_like_a_formula_is_quoted(text: str) -> None:
    assert safe_text(text) == f"'{text}"


def test_unknown_things_are_refused_with_the_nearest_name(backend: Backend) -> None:
    with pytest.raises(UnknownSection, match="alpha"):
        backend.section("alfa")
    with pytest.raises(UnknownSection, match="annotate the file again"):
        backend.section("query-../../etc")
    with pytest.raises(UnknownGene, match="Slc17a7"):
        backend.layer("alpha", LayerKey("imputed", "Slc17a8"))
    with pytest.raises(UnknownLayer, match="label:region"):
        backend.counts("alpha", LayerKey("label", "regoin"))
    with pytest.raises(UnknownCell, match="0 to 239"):
        backend.cell("alpha", 240)


@pytest.mark.parametrize(
    "points", [[], [[0, 0], [1, 1]], "abc", [[0, 0, 0]] * 3, [[0, float("nan")]] * 3]
)
def test_a_polygon_that_cannot_be_read_is_refused(backend: Backend, points: object) -> None:
    with pytest.raises(BadRequest, match="polygon"):
        backend.select("alpha", cast("list[list[float]]", points))


def test_a_new_version_on_disk_is_picked_up(tmp_path: Path) -> None:
    path = tiny_atlas(tmp_path / "tiny.zarr", with_embedding=False)
    backend = Backend(Settings(data=tmp_path / "data"), path)
    assert backend.atlas_info()["has_imputation"] is False
    from tests.tiny import _embed

    _embed(path)
    backend.planes._checked -= 60
    assert backend.atlas_info()["has_imputation"] is True


def test_the_classes_that_touch_most_are_found_whatever_their_order(backend: Backend) -> None:
    found = backend.most_touching("alpha", TYPE, 30.0)
    plane, inner = backend.planes.of("alpha")
    info = plane.atlas.section(inner)
    xy = np.asarray(plane.atlas.xy[info.rows], dtype=np.float64)
    codes = np.asarray(plane.atlas.label("type").codes[info.rows])
    near = np.linalg.norm(xy[:, None] - xy[None], axis=-1) <= 30
    times = {
        (a, b): int(near[np.ix_(codes == a, codes == b)].sum())
        for a in set(codes.tolist()) for b in set(codes.tolist()) if 0 <= a < b
    }  # fmt: skip
    most = max(times.values())
    assert times[min(found), max(found)] == most > 0
    assert backend.most_touching("alpha", TYPE, 1e-6) == ()

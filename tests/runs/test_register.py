"""Sections of an atlas get common coordinates, or a reason why not."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.analysis.registration import place
from backend.analysis.registration.corrections import Correction
from backend.analysis.registration.reference import LABELS, TREE
from backend.cli.main import main
from backend.core.data import Label, SectionData
from backend.core.errors import BadRequest, Cancelled, UnknownSection
from backend.core.job import RunContext
from backend.core.layers import Category
from backend.runs.register import register_atlas
from backend.runs.register_query import register_missing, register_query
from backend.store.atlas import Atlas
from backend.store.space import read_space
from backend.store.write import plan_of, write_atlas
from tests.analysis.registration.planted import NAMES, brain, cells_at, turned

AT = {"front": 2400.0, "middle": 3000.0, "back": 3400.0}
SAID = {name: Correction(position_um=at, flip=False) for name, at in AT.items()}


def _section(name: str, xy: Any, codes: Any, names: tuple[str, ...] = NAMES) -> SectionData:
    label = Label(codes.astype(np.int16), tuple(Category(n, "#888888") for n in names))
    n = len(xy)
    return SectionData(
        name, name, xy.astype(np.float32), csr_matrix((n, 0), dtype=np.float32), (),
        np.array([f"{name}-{i}" for i in range(n)]), {"region": label},
        unit="none", technology="MERFISH", dataset="planted",
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """An atlas of three planted sections and a strange one, the reference, and true places."""
    folder = tmp_path_factory.mktemp("register")
    sections, truth = [], {}
    for name, at in AT.items():
        uv, codes = cells_at(at, n=900)
        truth[name] = np.column_stack([np.full(len(uv), at), uv[:, 1], uv[:, 0]])
        sections.append(_section(name, turned(uv, 10.0), codes))
    uv, codes = cells_at(3000.0, n=200)
    sections.append(_section("strange", uv, codes, tuple("uvwxyz")))
    plan = [plan_of(s, axis="anteroposterior", position=AT.get(s.id, 0) / 1000) for s in sections]
    atlas = write_atlas(folder / "atlas.zarr", "Planted", sections, plan=plan)
    return atlas, _reference(folder / "reference"), truth


def _reference(folder: Path) -> Path:
    folder.mkdir()
    volume = brain().labels[::-1, ::-1].transpose(1, 0, 2)
    ends = {
        "zspace": 5.3 - 0.2 * (volume.shape[0] - 1),
        "yspace": 5.3 - 0.2 * (volume.shape[1] - 1),
    }
    axes = {axis: {"start": start, "step": 0.2} for axis, start in ends.items()}
    axes["xspace"] = {"start": -5.7, "step": 0.2}
    text = np.array(["zspace,yspace,xspace", json.dumps(axes)])
    np.savez(folder / LABELS, DSURQE_CCFv3_labels_200um=volume,
             DSURQE_CCFv3_labels_200um_axes=text)  # fmt: skip
    nodes = {a: {"acronym": a, "name": n, "label": list(v), "children": {}}
             for a, n, p, v in brain().tree if p}  # fmt: skip
    root = {"acronym": "root", "name": "root", "label": [1, 2, 3, 4, 5, 6], "children": nodes}
    with gzip.open(folder / TREE, "wt") as file:
        json.dump({"msg": [root]}, file)
    return folder


@pytest.fixture
def path(made: tuple[Path, Path, Any], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "atlas.zarr"))


def _matched(atlas: Atlas, section: str, truth: Any) -> tuple[Any, Any]:
    """Return found and true places of a section's cells, in storage order."""
    info = atlas.section(section)
    space = read_space(atlas)
    assert space is not None
    order = [int(name.rsplit("-", 1)[1]) for name in atlas.names(info.rows)]
    return np.asarray(space.xyz[info.rows]), truth[section][order]


def test_places_reasons_and_provenance_are_written(
    made: tuple[Path, Path, dict[str, Any]], path: Path
) -> None:
    report = register_atlas(path, made[1], corrections=SAID, seed=3)
    atlas = Atlas.open(path)
    assert report["version"] == atlas.version == 2
    for name in AT:
        found, true = _matched(atlas, name, made[2])
        assert np.median(np.linalg.norm(found - true, axis=1)) < 80.0
    space = read_space(atlas)
    assert space is not None
    assert space.records["strange"]["status"] == "refused"
    assert "no region labels in common" in space.records["strange"]["reason"]
    assert np.isnan(space.xyz[atlas.section("strange").rows]).all()
    assert space.records["middle"]["grade"] == "good"
    assert space.about["axes"][0] == "anteroposterior"
    assert 0 < len(space.outline) <= 4000
    assert not path.with_name("atlas.zarr.register").exists()
    assert sorted(report["order"][0]["sections"]) == ["back", "front", "middle", "strange"]


def _places(atlas: Atlas) -> np.ndarray:
    """Return the coordinates of all cells (N, 3) in the common brain."""
    space = read_space(atlas)
    assert space is not None
    return np.asarray(space.xyz[:])


def test_one_section_anew_keeps_the_others_and_needs_no_folder(
    made: tuple[Path, Path, dict[str, Any]], path: Path
) -> None:
    register_atlas(path, made[1], sections=["front", "middle"], corrections=SAID)
    before = _places(Atlas.open(path))
    nudge = Correction(position_um=3000.0, flip=False, shift_down_um=250.0)
    register_atlas(path, sections=["middle"], corrections={"middle": nudge})
    atlas = Atlas.open(path)
    after = _places(atlas)
    front, middle = atlas.section("front").rows, atlas.section("middle").rows
    np.testing.assert_array_equal(before[front], after[front])
    np.testing.assert_allclose((after - before)[middle, 1], 250.0, atol=1.0)


def test_an_interrupted_run_goes_on_where_it_stopped(
    made: tuple[Path, Path, dict[str, Any]], path: Path
) -> None:
    first, second = (info.id for info in Atlas.open(path).sections()[:2])
    seen: list[str] = []

    def stop() -> bool:
        return any(second in message for message in seen)

    ctx = RunContext(report=lambda _, message: seen.append(message), cancelled=stop)
    with pytest.raises(Cancelled):
        register_atlas(path, made[1], ctx, corrections=SAID)
    assert Atlas.open(path).version == 1
    kept = path.with_name("atlas.zarr.register")
    assert {p.stem for p in kept.glob("*.json")} == {first}
    noted = json.loads((kept / f"{first}.json").read_text())
    noted["record"]["title"] = "kept"
    (kept / f"{first}.json").write_text(json.dumps(noted))
    report = register_atlas(path, made[1], corrections=SAID)
    assert report["sections"][first]["title"] == "kept"
    assert sum(r["status"] == "registered" for r in report["sections"].values()) == 3


def test_without_a_reference_sections_are_laid_over_one_another(path: Path) -> None:
    report = register_atlas(path)
    atlas = Atlas.open(path)
    space = read_space(atlas)
    assert space is not None
    assert report["space"] == "Sections of Planted"
    assert report["sections"]["strange"]["status"] == "refused"
    places = {name: np.asarray(space.xyz[atlas.section(name).rows]) for name in AT}
    for name, at in AT.items():
        assert places[name][0, 0] == pytest.approx(at)
    spread = np.ptp([p[:, 1:].mean(axis=0) for p in places.values()], axis=0)
    assert (spread < 300.0).all()


def test_an_upload_is_placed_by_the_reference_and_plane_of_the_atlas(
    made: tuple[Path, Path, dict[str, Any]], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "STRIDE_UM", 1000.0)
    register_atlas(path, made[1], sections=["middle"], corrections=SAID)
    uv, codes = cells_at(3000.0, n=900, seed=5)
    section = _section("query", turned(uv, 25.0), codes)
    plan = [plan_of(section, parent="middle")]
    query = write_atlas(path.with_name("query.zarr"), "Query", [section], plan=plan)
    record = register_query(path, query)["sections"]["query"]
    assert record["from"] == "its nearest section middle"
    assert abs(record["position_um"] - 3000.0) <= 200.0
    assert read_space(Atlas.open(query)) is not None
    assert Atlas.open(path).version == 2


def test_sections_with_a_place_keep_it(made: tuple[Path, Path, dict[str, Any]], path: Path) -> None:
    with pytest.raises(BadRequest, match="keeps no reference brain"):
        register_query(path, path)
    register_atlas(path, made[1], sections=["front", "middle", "back"], corrections=SAID)
    assert list(register_missing(path, [])["sections"]) == ["strange"]
    with pytest.raises(BadRequest, match="have a place"):
        register_missing(path, ["front"])


def _as_types(section: SectionData) -> SectionData:
    return replace(section, labels={"type": section.labels["region"]})


@pytest.mark.parametrize(
    ("change", "axis", "reason"),
    [
        (_as_types, "coronal", "no region labels in common"),
        (lambda s: replace(s, species="human"), "coronal", "of human, the reference of the mouse"),
        (lambda s: replace(s, xy_unit="px"), "coronal", "in px, not in micrometres"),
        (lambda s: s, "", "in which plane the section was cut"),
    ],
    ids=["labels of types", "another species", "pixels", "no plane"],
)
def test_what_cannot_be_placed_is_refused_with_the_reason(
    made: tuple[Path, Path, Any], tmp_path: Path, change: Any, axis: str, reason: str
) -> None:
    section = change(_section("one", *cells_at(3000.0, n=300)))
    atlas = write_atlas(tmp_path / "one.zarr", "One", [section], plan=[plan_of(section, axis=axis)])
    record = register_atlas(atlas, made[1])["sections"]["one"]
    assert record["status"] == "refused"
    assert reason in record["reason"]


def test_corrections_of_unknown_sections_are_refused(path: Path) -> None:
    with pytest.raises(UnknownSection, match="'nowhere'"):
        register_atlas(path, corrections={"nowhere": Correction(skip=True)})


def test_the_command_writes_a_report(
    made: tuple[Path, Path, Any], path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = path.with_name("said.json")
    said.write_text('{"sections": {"middle": {"position_um": 3000, "flip": false}}}')
    out = path.with_name("report.json")
    arguments = ["register", str(path), "--reference", str(made[1]), "--sections",
                 "middle,strange", "--corrections", str(said), "-o", str(out)]  # fmt: skip
    assert main(arguments) == 0
    assert "1 of 2 sections placed" in capsys.readouterr().out
    assert json.loads(out.read_text())["sections"]["middle"]["corrected"] is True
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err

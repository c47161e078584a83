"""An atlas behind a URL is served, asked and opened as the same atlas in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from flask.testing import FlaskClient

import app
from backend.cli.main import main
from backend.core.data import TaskResult
from backend.core.settings import Settings
from backend.http import create_server, serving
from backend.service import Backend
from backend.store import pyramid
from backend.store.atlas import Atlas
from backend.store.place import place_of
from backend.store.write import write_result
from backend.tiles import layouts
from backend.tiles.overviews import write_overview
from backend.worker import process
from tests.tiny import SIZES, tiny_atlas

URL = "memory://store/tiny.zarr"
SECTIONS = ("atlas", "alpha", "beta", "layout:umap", "layout:umap@beta")
LAYERS = ("label:type", "confidence:type", "measured:Gad1", "imputed:Gad1", "density:cells")
QUESTIONS = (
    "sections", "genes?q=ga", "search?q=gad", "layers?section=alpha", "cell/alpha/7",
    "pick?section=beta&x=300&y=400", "pick?section=layout:umap&x=0.5&y=0.5",
    "legend?section=alpha&layer=label:type", "composition?section=alpha&layer=label:region",
    "histogram?section=beta&layer=imputed:Gad1", "anchors?section=alpha&layer=label:region",
    "means?section=alpha&layer=imputed:Gad1&label=label:type", "compositions?layer=label:type",
    "gene_means?gene=Gad1&by=label:type", "top_genes?layer=label:type&code=1",
    "gene_means?gene=Gad1&format=csv", "top_genes?layer=label:type&code=1&format=csv",
    "compositions?layer=label:type&format=csv", "download?section=alpha&layer=measured:Gad1",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An atlas with overviews of both planes, and its copy in an object store."""
    path = tmp_path_factory.mktemp("remote") / "tiny.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyramid, "DENSE_TILE", 100)
        patch.setattr(layouts, "DENSE_PLACES", 100)
        tiny_atlas(path)
        places = np.random.default_rng(1).uniform(0, 1, (sum(SIZES.values()), 2))
        written = write_result(path, TaskResult(), layouts={"umap": places.astype(np.float32)})
        write_overview(written, "umap", lambda _: None)
    files = fsspec.filesystem("memory")
    files.put(str(path), URL, recursive=True)
    yield path
    files.rm("/store", recursive=True)


@pytest.fixture(scope="module")
def clients(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[FlaskClient]:
    """Clients of the folder and of its copy behind the URL."""
    found = []
    for place in (folder, place_of(URL)):
        settings = Settings(data=tmp_path_factory.mktemp("data"))
        found.append(create_server(Backend(settings, place), settings).test_client())
    return found


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("section", SECTIONS)
def test_every_tile_is_the_same(clients: list[FlaskClient], section: str, layer: str) -> None:
    for z, x, y in ((0, 0, 0), (2, 1, 1), (5, 9, 17)):
        here, there = (c.get(f"/tiles/{section}/{layer}/{z}/{x}/{y}.png") for c in clients)
        assert here.status_code == there.status_code == 200
        assert here.data == there.data


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_is_answered_alike(clients: list[FlaskClient], question: str) -> None:
    here, there = (client.get(f"/api/{question}") for client in clients)
    assert here.status_code == there.status_code == 200, here.data
    assert here.data == there.data


@pytest.mark.parametrize(
    "command", [("info", URL, "--json"), ("ask", URL, "gene", "Gad1", "--json")], ids=lambda c: c[0]
)
def test_commands_take_the_url(
    folder: Path, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for place in (URL, str(folder)):
        assert main([place if word == URL else word for word in command]) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]


def test_a_tile_is_drawn_from_the_url(folder: Path, tmp_path: Path) -> None:
    for name, place in (("a", URL), ("b", str(folder))):
        out = str(tmp_path / f"{name}.png")
        assert main(["tile", place, "atlas", "label:type", "0", "0", "0", "-o", out]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_program_serves_the_url_and_hands_it_to_the_worker(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers, started = [], []

    class Process:
        def __init__(self, command: list[str], **_: object) -> None:
            started.append(command)

        def terminate(self) -> None:
            """Nothing runs."""

        def wait(self, timeout: float) -> None:
            """Nothing runs."""

    monkeypatch.setattr(process.subprocess, "Popen", Process)
    monkeypatch.setattr(
        serving, "serve_alone", lambda a, *_: answers.append(a.test_client().get("/api/atlas"))
    )
    assert app.main(["--atlas", URL, "--data", str(tmp_path), "--port", "8139"]) == 0
    assert answers[0].get_json()["n_cells"] == sum(SIZES.values())
    assert URL in started[0]
    assert "440 cells" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["memory://none/a.zarr", "nowhere/a.zarr"])
def test_the_program_says_that_there_is_no_atlas(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    assert app.main(["--atlas", place, "--data", str(data), "--port", "8138"]) == 2
    assert f"There is no atlas at {place}" in capsys.readouterr().err
    assert not data.exists()


def test_a_url_that_was_a_path_is_one_again(folder: Path) -> None:
    assert Atlas.open(Path(URL)).n_cells == Atlas.open(folder).n_cells

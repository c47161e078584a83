"""The whole way of a multi-omics section with nothing faked: upload, card, job, layers, files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from backend.core.errors import BadRequest
from backend.core.settings import Settings
from backend.http import create_server
from backend.jobs.queue import JobQueue
from backend.service.backend import Backend
from backend.worker.verbs import VERBS
from backend.worker.weigh import WeighParams, checked
from backend.worker.work import make_runner
from tests.tiny import tiny_atlas


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    settings = Settings(data=tmp_path / "data")
    atlas = tiny_atlas(tmp_path / "tiny.zarr")
    jobs = JobQueue(settings, immediate=True, runner=make_runner(settings, atlas, None, VERBS))
    yield create_server(Backend(settings, atlas, None, None, jobs), settings).test_client()
    jobs.close()


def test_a_section_is_weighed_and_becomes_layers_and_files(client: FlaskClient) -> None:
    upload = client.post("/api/uploads/demo?kind=modalities").get_json()["upload"]
    card = client.post("/api/modalities", json={"uploads": [upload["id"]]}).get_json()["card"]
    assert card["ok"], card
    params = {"seeds": 1, "clusters": 5, "truth": "region", "align": card["align"]}
    asked = {
        "model": "spatialglue", "verb": "integrate_modalities", "params": params,
        "inputs": {"uploads": [upload["id"]]},
    }  # fmt: skip
    job = client.post("/api/jobs", json=asked).get_json()["job"]
    assert job["state"] == "done", job["error"]
    assert sorted(job["downloads"]) == ["csv", "h5ad", "json"]
    assert "figures" not in job["result"]

    found = client.get(f"/api/results/{job['id']}").get_json()["result"]["figures"]
    assert found["model"]["ari"] > 0.95
    assert set(found["baselines"]) >= {"rna alone", "protein alone"}
    # Protein alone sees the second shape; RNA alone all others.
    shares = [d["weight"]["protein"] for d in found["domains"]]
    assert max(shares) > 0.6
    assert min(shares) < 0.3

    section = job["result"]["section"]
    entry = client.get(f"/api/sections/{section}").get_json()
    assert (entry["kind"], entry["parent"], entry["n_cells"]) == ("query", "", 1296)
    layers = {
        layer["key"]: layer
        for layer in client.get(f"/api/layers?section={section}").get_json()["layers"]
    }
    assert {"label:domain", "weight:rna", "score:rna.spread", "label:region"} <= set(layers)
    assert layers["label:domain"]["provenance"].startswith("spatialglue")
    tile = client.get(f"/tiles/{section}/weight:rna/0/0/0.png?palette=div-light&lo=0&hi=1")
    assert tile.status_code == 200


def test_the_same_files_and_choices_are_the_same_job(client: FlaskClient) -> None:
    upload = client.post("/api/uploads/demo?kind=modalities").get_json()["upload"]
    again = client.post("/api/uploads/demo?kind=modalities").get_json()["upload"]
    assert again["id"] == upload["id"]


@pytest.mark.parametrize("named", [[], ["0" * 32], "no list"])
def test_uploads_that_are_not_there_are_refused(client: FlaskClient, named: object) -> None:
    reply = client.post("/api/modalities", json={"uploads": named})
    assert reply.status_code in (400, 404)
    assert reply.get_json()["message"]


def test_everything_out_of_bounds_is_named_at_once() -> None:
    with pytest.raises(BadRequest) as raised:
        checked(WeighParams(clusters=1, seeds=99, align="somehow"))
    assert len(raised.value.hints) == 3

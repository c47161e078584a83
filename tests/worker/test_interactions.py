"""Partners and gene pairs as jobs: run, read, downloaded, refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from backend.core.settings import Settings
from backend.http import create_server
from backend.jobs.queue import JobQueue
from backend.service.backend import Backend
from backend.store.write import write_atlas
from backend.worker.verbs import VERBS
from backend.worker.work import make_runner
from tests.models.spatialformer.planted import contacts


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    section, label = contacts(1, 4.0)
    atlas = tmp_path / "a.zarr"
    write_atlas(atlas, "a", [replace(section, labels={"type": label})])
    settings = Settings(data=tmp_path / "data")
    jobs = JobQueue(settings, immediate=True, runner=make_runner(settings, atlas, None, VERBS))
    yield create_server(Backend(settings, atlas, jobs=jobs), settings).test_client()
    jobs.close()


def _run(client: FlaskClient, verb: str, params: dict[str, object]) -> dict[str, object]:
    asked = {"model": "spatialformer", "verb": verb, "params": params,
             "inputs": {"section": "planted"}}  # fmt: skip
    job: dict[str, object] = client.post("/api/jobs", json=asked).get_json()["job"]
    return job


def test_partners_of_a_place_are_a_plane_and_a_table(client: FlaskClient) -> None:
    job = _run(client, "colocalise", {"cell": "[350.0, 350.0]"})
    assert job["state"] == "done", job["error"]
    found = client.get(f"/api/results/{job['id']}").get_json()
    assert len(found["types"]) == 2
    assert found["partners"]
    assert "Pair model" in found["auc"]
    polygon = _run(client, "colocalise", {"polygon": "[[0, 0], [1, 0]]"})
    assert polygon["state"] == "failed"


def test_gene_pairs_of_two_types_are_tested(client: FlaskClient) -> None:
    job = _run(client, "perturb", {"a": "A", "b": "B"})
    assert job["state"] == "done", job["error"]
    found = client.get(f"/api/results/{job['id']}").get_json()
    assert (found["rows"][0]["gene_a"], found["rows"][0]["gene_b"]) == ("g3", "g7")
    small = _run(
        client, "perturb", {"a": "A", "b": "B", "polygon": "[[0,0],[60,0],[60,60],[0,60]]"}
    )
    assert small["state"] == "failed"
    assert "100 contacts" in str(small["error"])

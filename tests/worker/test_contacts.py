"""Contacts and panels as jobs: asked over HTTP, run, read, downloaded, refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from backend.analysis.contacts import ContactParams
from backend.core.errors import BadRequest
from backend.core.settings import Settings
from backend.http import create_server
from backend.jobs.queue import JobQueue
from backend.service.backend import Backend
from backend.worker.asked import params_of, text_of
from backend.worker.verbs import VERBS
from backend.worker.work import make_runner
from tests.tiny import tiny_atlas


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    atlas = tiny_atlas(tmp_path / "tiny.zarr")
    settings = Settings(data=tmp_path / "data")
    jobs = JobQueue(settings, immediate=True, runner=make_runner(settings, atlas, None, VERBS))
    yield create_server(Backend(settings, atlas, jobs=jobs), settings).test_client()
    jobs.close()


def test_contacts_of_a_section_are_counted_by_a_job(client: FlaskClient) -> None:
    params = {"n_shifts": 50, "radius_um": 100, "least_cells": 5, "region": "label:region"}
    asked = {
        "model": "fusemap",
        "verb": "contacts",
        "params": params,
        "inputs": {"section": "alpha"},
    }
    job = client.post("/api/jobs", json=asked).get_json()["job"]
    assert job["state"] == "done", job["error"]
    found = client.get(f"/api/results/{job['id']}").get_json()
    assert job["result"]["n_pairs"] == len(found["pairs"])
    assert found["params"]["n_shifts"] == 50
    with client.get(job["downloads"]["csv"]) as table:
        assert "type_a,type_b" in table.text
    wrong = {**asked, "params": {"n_shifts": "many"}}
    failed = client.post("/api/jobs", json=wrong).get_json()["job"]
    assert failed["state"] == "failed"
    assert "n_shifts is 'many'" in failed["error"]["message"]


def test_a_panel_is_chosen_by_a_job(client: FlaskClient) -> None:
    params = {"genes": 4, "draws": 2, "include": ["Vip"]}
    inputs = {"sections": ["alpha"]}
    asked = {"model": "fusemap", "verb": "panel", "params": params, "inputs": inputs}
    job = client.post("/api/jobs", json=asked).get_json()["job"]
    assert job["state"] == "done", job["error"]
    found = client.get(f"/api/results/{job['id']}").get_json()
    assert [row["gene"] for row in found["genes"]][0] == "Vip"
    assert job["result"]["verdict"] == found["verdicts"][0]["text"]
    assert set(job["downloads"]) == {"csv", "json"}


def test_ligands_are_tested_by_a_job_with_a_table_of_the_server(
    client: FlaskClient, tmp_path: Path
) -> None:
    params = {"a": "Excitatory", "b": "Inhibitory", "radius_um": 60, "least_cells": 5}
    inputs = {"sections": ["alpha"]}
    asked = {"model": "fusemap", "verb": "ligands", "params": params, "inputs": inputs}
    failed = client.post("/api/jobs", json=asked).get_json()["job"]
    assert "no table of ligand-receptor pairs" in failed["error"]["message"]
    pairs = tmp_path / "data" / "pairs"
    pairs.mkdir(parents=True)
    (pairs / "own.csv").write_text("ligand,receptor\nSst,Vip\n")
    job = client.post("/api/jobs", json=asked).get_json()["job"]
    assert job["state"] == "done", job["error"]
    assert job["result"]["n_tested"] == 1
    assert client.get(f"/api/results/{job['id']}").get_json()["table"] == "own.csv"


def test_parameters_are_typed_and_all_faults_are_named() -> None:
    found = params_of(ContactParams, {"radius_um": 20, "seed": 4, "label": "label:type"})
    assert (found.radius_um, found.seed, found.n_shifts) == (20, 4, 1000)
    with pytest.raises(BadRequest, match="seed is True.*|n_shifts is 1.5"):
        params_of(ContactParams, {"seed": True, "n_shifts": 1.5})
    with pytest.raises(BadRequest, match="not a text"):
        text_of({"label": 3}, "label")

"""Partners and gene pairs as jobs: run, read, downloaded, refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
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


def _sent(client: FlaskClient, tmp_path: Path) -> str:
    """Upload 120 cells without places; return the id of the upload."""
    section, _ = contacts(7, n=1600)
    path = tmp_path / "loose.h5ad"
    anndata.AnnData(
        section.counts[:120],
        obs=pd.DataFrame(index=[f"c{i}" for i in range(120)]),
        var=pd.DataFrame(index=list(section.genes)),
    ).write_h5ad(path)
    body = path.read_bytes()
    made = client.post("/api/uploads", json={"name": "loose.h5ad", "size": len(body)}).get_json()
    upload = str(made["id"])
    client.put(f"/api/uploads/{upload}?offset=0", data=body)
    assert client.post(f"/api/uploads/{upload}/finish").status_code == 200
    return upload


def test_dissociated_cells_of_an_upload_find_their_partners(
    client: FlaskClient, tmp_path: Path
) -> None:
    upload = _sent(client, tmp_path)
    asked = {"model": "spatialformer", "verb": "colocalise", "inputs": {"upload": upload}}
    job = client.post("/api/jobs", json={**asked, "params": {"section": "planted"}}).get_json()
    assert job["job"]["state"] == "done", job["job"]["error"]
    found = client.get(f"/api/results/{job['job']['id']}").get_json()
    assert found["query"]["n_cells"] == 120
    assert "without places" in found["query"]["said"]
    lost = client.post("/api/jobs", json={**asked, "params": {}}).get_json()
    assert "Name it in section" in str(lost["job"]["error"])


def test_types_of_an_upload_are_named_by_the_probe(client: FlaskClient, tmp_path: Path) -> None:
    upload = _sent(client, tmp_path)
    asked = {"model": "spatialformer", "verb": "annotate", "inputs": {"upload": upload}}
    params = {"sections": ["planted"]}
    job = client.post("/api/jobs", json={**asked, "params": params}).get_json()["job"]
    assert job["state"] == "done", job["error"]
    assert sum(job["result"]["counts"].values()) == 120
    with client.get(f"/api/results/{job['id']}/download?format=csv") as answer:
        table = answer.get_data(as_text=True)
    assert np.isin(["A", "B"], [line.split(",")[1] for line in table.splitlines()]).any()
    lost = client.post("/api/jobs", json={**asked, "params": {}}).get_json()["job"]
    assert "Name them in sections" in str(lost["error"])

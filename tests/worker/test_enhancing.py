"""The whole way of spots to subspots with nothing faked: upload, job, sections, files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anndata
import numpy as np
import pytest
from flask.testing import FlaskClient
from scipy.sparse import csr_matrix

from backend.core.errors import BadRequest
from backend.core.settings import Settings
from backend.http import create_server
from backend.jobs.queue import JobQueue
from backend.service.backend import Backend
from backend.worker.enhance import EnhanceAsked, checked
from backend.worker.verbs import VERBS
from backend.worker.work import make_runner
from tests.models.soscope.planted import grid
from tests.tiny import tiny_atlas


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    settings = Settings(data=tmp_path / "data")
    atlas = tiny_atlas(tmp_path / "tiny.zarr")
    jobs = JobQueue(settings, immediate=True, runner=make_runner(settings, atlas, None, VERBS))
    yield create_server(Backend(settings, atlas, None, None, jobs), settings).test_client()
    jobs.close()


def spots(path: Path) -> bytes:
    rng = np.random.default_rng(0)
    xy = grid(10)
    level = 3 + 2 * np.sin(xy[:, :1] / 150) + rng.uniform(0, 4, 12)
    data = anndata.AnnData(csr_matrix(rng.poisson(level), dtype=np.float32))
    data.var_names = [f"Gene{i}" for i in range(12)]
    data.obsm["spatial"] = xy
    data.write_h5ad(path)
    return path.read_bytes()


def send(client: FlaskClient, content: bytes) -> str:
    asked = {"name": "spots.h5ad", "size": len(content)}
    upload = client.post("/api/uploads", json=asked).get_json()["id"]
    client.put(f"/api/uploads/{upload}?offset=0", data=content)
    client.post(f"/api/uploads/{upload}/finish?card=none")
    return str(upload)


def test_an_upload_becomes_sections_of_subspots_beside_its_spots(
    client: FlaskClient, tmp_path: Path
) -> None:
    upload = send(client, spots(tmp_path / "spots.h5ad"))
    asked = {
        "model": "soscope", "verb": "enhance", "params": {"factor": 2},
        "inputs": {"uploads": [upload]},
    }  # fmt: skip
    reply = client.post("/api/jobs", json=asked).get_json()
    assert "job" in reply, reply
    job = reply["job"]
    assert job["state"] == "done", job["error"]
    assert {"csv", "h5ad"} <= set(job["downloads"])
    assert (job["result"]["n_spots"], job["result"]["n_subspots"]) == (100, 400)
    record = client.get(f"/api/results/{job['id']}/record").get_json()
    assert record["result"]["figures"]["method"] in ("model", "bilinear", "copy")
    counts = {}
    for group in job["result"]["sections"].values():
        for name, section in group.items():
            counts[name] = client.get(f"/api/sections/{section}").get_json()["n_cells"]
    assert counts == {"rate": 400, "spots": 100, "split": 400}


def test_a_network_is_used_only_where_the_operator_put_its_weights(
    client: FlaskClient, tmp_path: Path
) -> None:
    upload = send(client, spots(tmp_path / "spots.h5ad"))
    asked = {
        "model": "soscope", "verb": "enhance", "params": {"features": "cnn"},
        "inputs": {"spots": upload},
    }  # fmt: skip
    assert not client.get(f"/api/uploads/{upload}/spots").get_json()["card"]["network"]
    job = client.post("/api/jobs", json=asked).get_json()["job"]
    assert job["state"] == "failed"
    assert "no weights of an image network" in job["error"]["message"]
    (tmp_path / "data" / "image_weights.safetensors").write_bytes(b"no weights")
    assert client.get(f"/api/uploads/{upload}/spots").get_json()["card"]["network"]
    again = {**asked, "params": {"features": "cnn", "seed": 1}}
    job = client.post("/api/jobs", json=again).get_json()["job"]
    assert "cannot be read" in str(job["error"])


def test_everything_out_of_bounds_is_named_at_once() -> None:
    wrong = EnhanceAsked(
        1, "round", -1, 1, scale=-1.0, mode="magic", law="gauss", seeds=0, features="x"
    )
    with pytest.raises(BadRequest) as raised:
        checked(wrong)
    named = (
        "factor 1",
        "round",
        "-1 genes",
        "1 domains",
        "-1.0",
        "magic",
        "gauss",
        "0 seeds",
        "features",
    )
    assert all(word in str(raised.value) for word in named)

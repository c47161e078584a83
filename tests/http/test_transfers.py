"""From upload to download over HTTP, with a stub for the model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.core.job import JobState
from backend.core.settings import Settings
from backend.jobs.queue import JobQueue
from tests.http.fakes import FakeBackend, served
from tests.intake.test_check import section


@pytest.fixture
def query(tmp_path: Path) -> bytes:
    path = tmp_path / "query.h5ad"
    section().write_h5ad(path)
    return path.read_bytes()


def send(client: FlaskClient, data: bytes, name: str = "query.h5ad") -> str:
    made = client.post("/api/uploads", json={"name": name, "size": len(data)})
    assert made.status_code == 201
    upload: dict[str, Any] = made.get_json()
    step = upload["chunk_bytes"]
    for start in range(0, len(data), step):
        url = f"/api/uploads/{upload['id']}?offset={start}"
        sent = client.put(url, data=data[start : start + step])
        assert sent.status_code == 200
    return str(upload["id"])


def submit(client: FlaskClient, upload: str, **more: Any) -> Any:
    asked = {"model": "stub", "verb": "annotate", "inputs": {"upload": upload}, **more}
    return client.post("/api/jobs", json=asked)


def test_upload_preflight_job_result_download(client: FlaskClient, query: bytes) -> None:
    upload = send(client, query)
    card = client.post(f"/api/uploads/{upload}/finish").get_json()
    assert card["upload"]["complete"]
    assert card["preflight"]["ok"]
    assert card["preflight"]["n_matched"] == 60
    answer = submit(client, upload)
    assert answer.status_code == 202
    job = client.get(f"/api/jobs/{answer.get_json()['job']['id']}").get_json()["job"]
    assert (job["state"], job["fraction"], job["error"]) == ("done", 1.0, None)
    assert job["result"]["section"] == f"query-{job['id']}"
    assert set(job["downloads"]) == {"h5ad", "csv"}
    with client.get(job["downloads"]["csv"]) as table:
        assert table.data == b"cell_id,type\ncell0,Glia\n"
        assert "attachment" in table.headers["Content-Disposition"]
    with client.get(job["downloads"]["h5ad"]) as written:
        assert written.data == b"\x89HDF"
    assert client.get(job["downloads"]["csv"][:-3] + "xls").status_code == 400


def test_the_same_file_sent_twice_is_the_same_job(client: FlaskClient, query: bytes) -> None:
    jobs = set()
    for _ in range(2):
        upload = send(client, query)
        client.post(f"/api/uploads/{upload}/finish")
        jobs.add(submit(client, upload).get_json()["job"]["id"])
    assert len(jobs) == 1
    assert len(client.get("/api/jobs").get_json()["jobs"]) == 1


def test_an_upload_resumes_where_it_broke_off(client: FlaskClient, query: bytes) -> None:
    size = len(query)
    upload = client.post("/api/uploads", json={"name": "q", "size": size}).get_json()["id"]
    client.put(f"/api/uploads/{upload}?offset=0", data=query[:1000])
    status = client.get(f"/api/uploads/{upload}").get_json()
    assert status["received"] == 1000
    wrong = client.put(f"/api/uploads/{upload}?offset=0", data=query[:1000])
    assert (wrong.status_code, wrong.get_json()["error"]) == (409, "WrongOffset")
    unfinished = client.post(f"/api/uploads/{upload}/finish")
    assert (unfinished.status_code, unfinished.get_json()["error"]) == (409, "Incomplete")
    assert submit(client, upload).status_code == 409


def test_a_chunk_above_the_limit_is_refused(client: FlaskClient) -> None:
    upload = client.post("/api/uploads", json={"name": "q", "size": 10**6}).get_json()["id"]
    answer = client.put(f"/api/uploads/{upload}?offset=0", data=b"x" * 50_001)
    assert (answer.status_code, answer.get_json()["error"]) == (413, "TooLarge")
    assert client.get(f"/api/uploads/{upload}").get_json()["received"] == 0


def test_the_card_is_made_once_per_version(
    client: FlaskClient, backend: FakeBackend, query: bytes
) -> None:
    upload = send(client, query)
    client.post(f"/api/uploads/{upload}/finish")
    client.get(f"/api/uploads/{upload}/preflight")
    submit(client, upload)
    assert backend.looked == 1
    backend.version = 4
    client.get(f"/api/uploads/{upload}/preflight")
    assert backend.looked == 2


def test_a_blocked_file_has_a_card_but_no_job(client: FlaskClient) -> None:
    upload = send(client, b"not an h5ad file")
    card = client.post(f"/api/uploads/{upload}/finish")
    assert card.status_code == 200
    assert not card.get_json()["preflight"]["ok"]
    answer = submit(client, upload)
    found = answer.get_json()
    assert (answer.status_code, found["error"]) == (422, "BadFile")
    assert set(found["faults"][0]) == {"what", "where", "expected", "remedy"}


def test_a_client_file_name_is_text_and_never_a_path(
    client: FlaskClient, settings: Settings, query: bytes
) -> None:
    upload = send(client, query, "../../../evil\x00\n<b>.h5ad")
    card = client.post(f"/api/uploads/{upload}/finish").get_json()
    assert card["upload"]["name"] == "../../../evil<b>.h5ad"
    names = {p.name for p in settings.uploads.rglob("*") if p.is_file()}
    assert names == {"data.h5ad", "record.json", "preflight.json"}
    assert not list(settings.data.parent.glob("evil*"))


def test_a_preview_shows_positions(client: FlaskClient, query: bytes) -> None:
    upload = send(client, query)
    client.post(f"/api/uploads/{upload}/finish")
    found = client.get(f"/api/uploads/{upload}/preview").get_json()
    assert len(found["xy"]) == 240


def test_the_example_is_offered_as_an_upload(
    client: FlaskClient, backend: FakeBackend, tmp_path: Path, query: bytes
) -> None:
    backend.demo_query = tmp_path / "query.h5ad"
    found = client.post("/api/uploads/demo")
    assert found.status_code == 201
    assert found.get_json()["preflight"]["ok"]
    again = client.post("/api/uploads/demo").get_json()
    assert again["upload"]["id"] == found.get_json()["upload"]["id"]
    assert submit(client, again["upload"]["id"]).status_code == 202


def test_strangers_see_neither_uploads_nor_the_list_of_jobs(
    client: FlaskClient, query: bytes
) -> None:
    upload = send(client, query)
    client.post(f"/api/uploads/{upload}/finish")
    job = submit(client, upload).get_json()["job"]["id"]
    stranger = client.application.test_client()
    assert stranger.get(f"/api/uploads/{upload}").status_code == 404
    assert stranger.put(f"/api/uploads/{upload}?offset=0", data=b"x").status_code == 404
    assert stranger.delete(f"/api/uploads/{upload}").status_code == 404
    assert submit(stranger, upload).status_code == 404
    assert stranger.get("/api/jobs").get_json() == {"jobs": []}
    assert stranger.delete(f"/api/jobs/{job}").status_code == 404
    # A link to a job may be shared: whoever knows its id may read it.
    assert stranger.get(f"/api/jobs/{job}").status_code == 200


def test_unknown_verbs_and_parameters_are_refused(client: FlaskClient, query: bytes) -> None:
    upload = send(client, query)
    client.post(f"/api/uploads/{upload}/finish")
    assert submit(client, upload, verb="delete").status_code == 400
    assert submit(client, upload, params={"path": "/etc"}).status_code == 400
    answer = client.post(
        "/api/jobs", json={"model": "stub", "verb": "annotate", "inputs": {"path": "/etc"}}
    )
    assert answer.status_code == 400


def ask(client: FlaskClient, inputs: dict[str, Any]) -> Any:
    return client.post("/api/jobs", json={"model": "stub", "verb": "annotate", "inputs": inputs})


def test_a_job_on_sections_names_them_once_and_is_called_after_them(client: FlaskClient) -> None:
    one = ask(client, {"section": "s1"}).get_json()["job"]
    assert one["inputs"] == {"sections": ["s1"], "name": "s1", "atlas_version": 3}
    assert ask(client, {"sections": ["s1", "s1"]}).get_json()["job"]["id"] == one["id"]
    every = ask(client, {"sections": []}).get_json()["job"]["inputs"]
    assert (every["sections"], every["name"]) == ([], "all sections")


def test_a_job_on_sections_that_are_not_there_is_refused(client: FlaskClient) -> None:
    assert ask(client, {"sections": ["s9"]}).status_code == 404
    assert ask(client, {"sections": [3]}).status_code == 400


def test_what_a_job_wrote_for_programs_can_be_read(client: FlaskClient) -> None:
    job = ask(client, {"section": "s1"}).get_json()["job"]
    found = client.get(f"/api/results/{job['id']}")
    assert (found.status_code, found.get_json()) == (200, {"pairs": []})


def test_deleting_an_upload_forgets_it(client: FlaskClient, query: bytes) -> None:
    upload = send(client, query)
    assert client.delete(f"/api/uploads/{upload}").get_json() == {"deleted": True}
    assert client.get(f"/api/uploads/{upload}").status_code == 404


def test_a_queued_job_is_cancelled_and_quotas_hold(
    settings: Settings, backend: FakeBackend, query: bytes
) -> None:
    backend.jobs = JobQueue(settings, offers={("stub", "annotate"): ("seed",)})
    client = served(backend).test_client()
    upload = send(client, query)
    client.post(f"/api/uploads/{upload}/finish")
    first = submit(client, upload, params={"seed": 1}).get_json()["job"]
    second = submit(client, upload, params={"seed": 2}).get_json()["job"]
    assert (first["state"], first["position"], second["position"]) == ("queued", 0, 1)
    third = submit(client, upload, params={"seed": 3})
    assert (third.status_code, third.headers["Retry-After"]) == (429, "30")
    stopped = client.delete(f"/api/jobs/{first['id']}").get_json()["job"]
    assert stopped["state"] == JobState.CANCELLED
    early = client.get(f"/api/results/{second['id']}/download?format=csv")
    assert (early.status_code, early.get_json()["error"]) == (409, "NotFinished")
    assert submit(client, upload, params={"seed": 3}).status_code == 202
    backend.jobs.close()


def test_results_are_deleted_after_their_time(
    client: FlaskClient, jobs: JobQueue, settings: Settings, query: bytes
) -> None:
    upload = send(client, query)
    client.post(f"/api/uploads/{upload}/finish")
    job = submit(client, upload).get_json()["job"]
    assert jobs.sweep(job["deleted_after"] - 1) == ()
    assert jobs.sweep(job["deleted_after"] + 1) == (job["id"],)
    assert client.get(f"/api/jobs/{job['id']}").status_code == 404
    assert not (settings.results / job["id"]).exists()


def test_limits_reach_the_routes(settings: Settings, backend: FakeBackend) -> None:
    small = dataclasses.replace(settings.limits, upload_bytes=10)
    backend.uploads = type(backend.uploads)(dataclasses.replace(settings, limits=small))
    client = served(backend).test_client()
    assert client.post("/api/uploads", json={"name": "q", "size": 11}).status_code == 413

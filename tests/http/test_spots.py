from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from backend.core.settings import Settings
from backend.intake.attached import attach_image
from backend.jobs.queue import JobQueue
from backend.service.spots import refuse_spots, spots_card, spots_overlay
from tests.http.fakes import FakeBackend, served
from tests.http.test_transfers import send
from tests.intake.test_spots import write_image, write_spots


class SpotsBackend(FakeBackend):
    """The service's answers on spots, over the fake atlas."""

    def attach_image(self, upload: str, image: str, owner: str) -> dict[str, object]:
        return attach_image(self.uploads, upload, image, owner)

    def spots(self, upload: str, owner: str) -> dict[str, object]:
        return spots_card(self.uploads, upload, owner, self.settings.limits)

    def spots_usable(self, upload: str, owner: str) -> None:
        refuse_spots(self.uploads.get(upload, owner).name, self.spots(upload, owner))

    def spots_overlay(self, upload: str, section: str, owner: str) -> Path:
        return spots_overlay(self.uploads, upload, section, owner)


@pytest.fixture
def client(settings: Settings, jobs: JobQueue) -> FlaskClient:
    backend = SpotsBackend(settings, jobs)
    return served(backend).test_client()


def test_spots_and_their_image_become_the_inputs_of_a_job(
    client: FlaskClient, tmp_path: Path
) -> None:
    spots = send(client, write_spots(tmp_path / "a.h5ad").read_bytes(), "a.h5ad")
    image = send(client, write_image(tmp_path / "a.png").read_bytes(), "a.png")
    for upload in (spots, image):
        assert client.post(f"/api/uploads/{upload}/finish?card=none").status_code == 200
    about = client.post(f"/api/uploads/{spots}/image", json={"image": image}).get_json()["image"]
    assert about["width"] == 120
    card = client.get(f"/api/uploads/{spots}/spots").get_json()["card"]
    assert [s["name"] for s in card["sections"]] == ["one", "two"]
    with client.get(f"/api/uploads/{spots}/overlay.jpg?section=one") as overlay:
        assert overlay.mimetype == "image/jpeg"
    asked = {"model": "stub", "verb": "annotate", "params": {}, "inputs": {"spots": spots}}
    inputs = client.post("/api/jobs", json=asked).get_json()["job"]["inputs"]
    assert inputs["image_sha256"] == about["sha256"]
    assert inputs["upload"] == spots


def test_a_file_that_cannot_be_enhanced_is_refused(client: FlaskClient) -> None:
    upload = send(client, b"no such file", "x.h5ad")
    client.post(f"/api/uploads/{upload}/finish?card=none")
    asked = {"model": "stub", "verb": "annotate", "params": {}, "inputs": {"spots": upload}}
    answer = client.post("/api/jobs", json=asked)
    assert answer.status_code == 422
    assert answer.get_json()["faults"]

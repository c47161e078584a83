"""Uploads in chunks: resumed, bounded, private, expiring; client names never touch the disk."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import pytest

from backend.core.errors import BadRequest, QuotaExceeded, TooLarge, UnknownUpload
from backend.core.settings import Limits, Settings
from backend.intake.uploads import PER_OWNER, Incomplete, Uploads, WrongOffset, shown_name

DATA = bytes(range(100))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def uploads(tmp_path: Path, clock: Clock) -> Uploads:
    limits = Limits(upload_bytes=1000, chunk_bytes=40, keep_hours=1)
    return Uploads(Settings(data=tmp_path, limits=limits), clock)


def sent(uploads: Uploads, data: bytes = DATA, owner: str = "me") -> str:
    upload = uploads.create("q.h5ad", len(data), owner).id
    for start in range(0, len(data), 40):
        uploads.append(upload, start, data[start : start + 40], owner)
    return upload


def test_chunks_add_up_to_the_file(uploads: Uploads) -> None:
    upload = sent(uploads)
    found = uploads.finish(upload, "me")
    assert found.sha256 == hashlib.sha256(DATA).hexdigest()
    assert found.complete
    assert uploads.path(upload, "me").read_bytes() == DATA
    assert uploads.finish(upload, "me") == found


def test_a_chunk_is_streamed_from_a_file(uploads: Uploads) -> None:
    upload = uploads.create("q", 40, "me").id
    assert uploads.append(upload, 0, io.BytesIO(DATA[:40]), "me").received == 40


def test_an_upload_is_resumed_by_another_process(uploads: Uploads, tmp_path: Path) -> None:
    upload = uploads.create("q", 50, "me").id
    uploads.append(upload, 0, DATA[:30], "me")
    other = Uploads(Settings(data=tmp_path, limits=Limits(chunk_bytes=40)), lambda: 1001.0)
    assert other.get(upload, "me").received == 30
    assert other.append(upload, 30, DATA[30:50], "me").received == 50


@pytest.mark.parametrize("offset", [0, 29, 31, 1000])
def test_a_chunk_must_begin_where_the_upload_ends(uploads: Uploads, offset: int) -> None:
    upload = uploads.create("q", 1000, "me").id
    uploads.append(upload, 0, DATA[:30], "me")
    with pytest.raises(WrongOffset, match="ends at 30"):
        uploads.append(upload, offset, b"x", "me")
    assert uploads.get(upload, "me").received == 30


@pytest.mark.parametrize(
    ("size", "chunk"), [(100, b"x" * 41), (10, b"x" * 11)], ids=["chunk limit", "announced size"]
)
def test_too_many_bytes_leave_nothing_behind(uploads: Uploads, size: int, chunk: bytes) -> None:
    upload = uploads.create("q", size, "me").id
    for body in (chunk, io.BytesIO(chunk)):
        with pytest.raises(TooLarge):
            uploads.append(upload, 0, body, "me")
        assert uploads.get(upload, "me").received == 0


def test_a_connection_that_breaks_leaves_whole_chunks_only(uploads: Uploads) -> None:
    class Breaking:
        reads = 0

        def read(self, size: int, /) -> bytes:
            self.reads += 1
            if self.reads > 1:
                raise ConnectionError
            return b"x" * 5

    upload = uploads.create("q", 40, "me").id
    with pytest.raises(ConnectionError):
        uploads.append(upload, 0, Breaking(), "me")
    assert uploads.get(upload, "me").received == 0


def test_an_unfinished_upload_has_no_path(uploads: Uploads) -> None:
    upload = uploads.create("q", 10, "me").id
    with pytest.raises(Incomplete):
        uploads.path(upload, "me")
    with pytest.raises(Incomplete, match="0 of 10 bytes"):
        uploads.finish(upload, "me")


def test_a_finished_upload_takes_no_more(uploads: Uploads) -> None:
    upload = sent(uploads)
    uploads.finish(upload, "me")
    with pytest.raises(WrongOffset, match="finished"):
        uploads.append(upload, 100, b"x", "me")


@pytest.mark.parametrize(("size", "error"), [(0, BadRequest), (-5, BadRequest), (1001, TooLarge)])
def test_sizes_are_checked_before_anything_is_sent(
    uploads: Uploads, size: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        uploads.create("q", size, "me")


def test_files_and_bytes_of_one_owner_are_limited(uploads: Uploads) -> None:
    uploads.create("a", 1000, "me")
    uploads.create("b", 999, "me")
    with pytest.raises(QuotaExceeded, match="2 uploads of 1,999 bytes"):
        uploads.create("c", 2, "me")
    for _ in range(PER_OWNER):
        uploads.create("d", 1, "you")
    with pytest.raises(QuotaExceeded, match=f"{PER_OWNER} uploads"):
        uploads.create("d", 1, "you")


def test_an_upload_belongs_to_its_owner(uploads: Uploads) -> None:
    upload = sent(uploads)
    for act in (uploads.get, uploads.finish, uploads.path, uploads.delete, uploads.touch):
        with pytest.raises(UnknownUpload):
            act(upload, "you")
    assert uploads.list("you") == ()
    assert [u.id for u in uploads.list("me")] == [upload]


@pytest.mark.parametrize("upload", ["", "..", "../jobs.sqlite", "0" * 32, "/etc", "A" * 32])
def test_an_id_that_was_never_given_out_is_no_path(uploads: Uploads, upload: str) -> None:
    with pytest.raises(UnknownUpload):
        uploads.get(upload, "me")
    assert uploads.recall(upload, "preflight") is None


def test_the_clients_name_is_kept_as_text_only(uploads: Uploads, tmp_path: Path) -> None:
    upload = uploads.create("../../evil\x00\r\n\x1b[31m\u202e.h5ad", 5, "me")
    assert upload.name == "../../evil[31m.h5ad"
    assert {p.name for p in tmp_path.rglob("*")} == {
        "uploads",
        upload.id,
        "data.h5ad",
        "record.json",
    }


@pytest.mark.parametrize(
    ("name", "shown"), [("x" * 500, "x" * 200), ("\n\t ", "unnamed"), ("<b>é.h5ad", "<b>é.h5ad")]
)
def test_names_are_short_and_printable(name: str, shown: str) -> None:
    assert shown_name(name, 200) == shown


def test_uploads_expire_by_their_last_use(uploads: Uploads, clock: Clock) -> None:
    old, kept = sent(uploads), sent(uploads)
    clock.now += 3000
    uploads.touch(kept, "me")
    clock.now += 1000
    with pytest.raises(UnknownUpload, match="1 hours"):
        uploads.get(old, "me")
    assert uploads.sweep(clock.now) == (old,)
    assert [u.id for u in uploads.list("me")] == [kept]


def test_notes_are_kept_beside_the_file(uploads: Uploads) -> None:
    upload = sent(uploads)
    assert uploads.recall(upload, "preflight") is None
    uploads.keep(upload, "preflight", {"ok": True})
    assert uploads.recall(upload, "preflight") == {"ok": True}
    for name in ("../x", "record", ""):
        with pytest.raises(BadRequest):
            uploads.keep(upload, name, {})


def test_a_file_of_ours_is_adopted_once(uploads: Uploads, tmp_path: Path) -> None:
    path = tmp_path / "demo.h5ad"
    path.write_bytes(DATA)
    first = uploads.adopt(path, "me")
    assert first.complete
    assert uploads.adopt(path, "me").id == first.id
    assert uploads.adopt(path, "you").id != first.id


def test_a_full_disk_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    huge = replace(Limits(), upload_bytes=1 << 60)
    full = Uploads(Settings(data=tmp_path, limits=huge))
    with pytest.raises(QuotaExceeded, match="no room"):
        full.create("q", 1 << 59, "me")

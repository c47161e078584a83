"""Uploads: files of strangers, in chunks that can be resumed, under ids we choose.

A client's file name never touches the file system: it is kept as text, to be shown again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, Protocol

from backend.core.errors import BadRequest, QuotaExceeded, TooLarge, UnknownUpload
from backend.core.settings import Settings

#: Files of one owner kept at once.
PER_OWNER = 10
#: Files that can be one section: one per modality.
TOGETHER = 6
#: Bytes that an upload must leave free on the disk.
RESERVE = 500_000_000
_BLOCK = 1 << 20
_ID = re.compile(r"[0-9a-f]{32}")
_NOTE = re.compile(r"[a-z]{1,20}")
_DATA, _RECORD = "data.h5ad", "record.json"


class WrongOffset(BadRequest):
    """A chunk that does not begin where the upload ends."""


class Incomplete(BadRequest):
    """An upload used before all of it arrived."""


class Readable(Protocol):
    """What a chunk may be read from."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload as its owner sees it.

    Parameters
    ----------
    name : str
        The client's file name, as text only.
    size, received : int
        Bytes announced and arrived.
    sha256 : str or None
        Of the whole file, once finished.
    expires : float
        Epoch second after which the file is deleted.
    """

    id: str
    name: str
    size: int
    received: int
    sha256: str | None
    chunk_bytes: int
    expires: float

    @property
    def complete(self) -> bool:
        """Whether all bytes arrived and were summed."""
        return self.sha256 is not None

    def as_json(self) -> dict[str, Any]:
        """Return what the owner may know."""
        return {**asdict(self), "complete": self.complete}


@dataclass(frozen=True, slots=True)
class _Record:
    """What is kept on disk of an upload."""

    owner: str
    name: str
    size: int
    touched: float
    sha256: str | None = None


class Uploads:
    """The uploads of one installation, one folder each under ``settings.uploads``.

    Parameters
    ----------
    settings : Settings
    clock : callable () -> float
        Epoch seconds.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._folder = settings.uploads
        self._limits = settings.limits
        self._clock = clock

    def create(self, name: str, size: int, owner: str) -> Upload:
        """Announce an upload of ``size`` bytes.

        Raises
        ------
        BadRequest
            If there is nothing to upload.
        TooLarge
            If the file is above the limit.
        QuotaExceeded
            If the owner has too many files, or the disk too little room.
        """
        if size <= 0:
            raise BadRequest("The file is empty.", "Choose a file with cells in it.")
        if size > self._limits.upload_bytes:
            raise TooLarge(
                f"The file has {size:,} bytes; {self._limits.upload_bytes:,} are allowed.",
                "Keep only the section, its counts and coordinates; or use the command line.",
            )
        self.sweep(self._clock())
        self._check_quota(size, owner)
        upload_id = secrets.token_hex(16)
        folder = self._folder / upload_id
        folder.mkdir(parents=True, mode=0o700)
        (folder / _DATA).touch(mode=0o600)
        shown = shown_name(name, self._limits.text_length)
        self._write(upload_id, _Record(owner, shown, size, self._clock()))
        return self.get(upload_id, owner)

    def _check_quota(self, size: int, owner: str) -> None:
        mine = [record for _, record in self._all() if record.owner == owner]
        held = sum(record.size for record in mine)
        if len(mine) >= PER_OWNER or held + size > 2 * self._limits.upload_bytes:
            raise QuotaExceeded(
                f"This session keeps {len(mine)} uploads of {held:,} bytes; no more are allowed.",
                f"Delete one, or wait: they are deleted after {self._limits.keep_hours} hours.",
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self._folder).free < size + RESERVE:
            raise QuotaExceeded("The server has no room for this file now.", "Try again later.")

    def get(self, upload_id: str, owner: str) -> Upload:
        """Return an upload of this owner.

        Raises
        ------
        UnknownUpload
            If there is none of this id, it is somebody else's, or it has expired.
        """
        record = self._record(upload_id, owner)
        return Upload(
            id=upload_id,
            name=record.name,
            size=record.size,
            received=(self._folder / upload_id / _DATA).stat().st_size,
            sha256=record.sha256,
            chunk_bytes=self._limits.chunk_bytes,
            expires=record.touched + 3600 * self._limits.keep_hours,
        )

    def list(self, owner: str) -> tuple[Upload, ...]:
        """Return the owner's uploads, newest first."""
        mine = [(r.touched, i) for i, r in self._all() if r.owner == owner]
        return tuple(self.get(upload_id, owner) for _, upload_id in sorted(mine, reverse=True))

    def append(self, upload_id: str, offset: int, chunk: bytes | Readable, owner: str) -> Upload:
        """Add the bytes that follow the first ``offset``; all of the chunk or none of it.

        Raises
        ------
        WrongOffset
            If the upload has another number of bytes; ask for its status and resume there.
        TooLarge
            If the chunk is above the limit for chunks, or exceeds the announced size.
        """
        record = self._record(upload_id, owner)
        if record.sha256 is not None:
            raise WrongOffset("This upload is finished.", "Start a new one.")
        most = min(self._limits.chunk_bytes, record.size - offset)
        with self._locked(upload_id) as file:
            received = file.seek(0, 2)
            if offset != received:
                raise WrongOffset(
                    f"The chunk begins at byte {offset:,}, the upload ends at {received:,}.",
                    f"Send the bytes from {received:,} on.",
                )
            try:
                for block in _blocks(chunk, most):
                    file.write(block)
            except BaseException:
                file.truncate(offset)
                raise
        self._write(upload_id, replace(record, touched=self._clock()))
        return self.get(upload_id, owner)

    def finish(self, upload_id: str, owner: str) -> Upload:
        """Sum up a complete upload; the same answer when asked twice.

        Raises
        ------
        Incomplete
            If bytes are missing.
        """
        record = self._record(upload_id, owner)
        upload = self.get(upload_id, owner)
        if upload.complete:
            return upload
        if upload.received != upload.size:
            raise Incomplete(
                f"{upload.received:,} of {upload.size:,} bytes arrived.",
                f"Send the bytes from {upload.received:,} on.",
            )
        with (self._folder / upload_id / _DATA).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._write(upload_id, replace(record, sha256=digest, touched=self._clock()))
        return self.get(upload_id, owner)

    def path(self, upload_id: str, owner: str) -> Path:
        """Return the file of a finished upload.

        Raises
        ------
        Incomplete
            If it is not finished.
        """
        if self._record(upload_id, owner).sha256 is None:
            raise Incomplete("The upload is not finished.", "Send the rest, then finish it.")
        return self._folder / upload_id / _DATA

    def named(self, upload_ids: Sequence[str], owner: str) -> Sequence[tuple[str, Path]]:
        """Return (the client's name, the file) of finished uploads.

        Raises
        ------
        BadRequest
            If none or too many are named.
        Incomplete, UnknownUpload
        """
        if not 1 <= len(upload_ids) <= TOGETHER:
            raise BadRequest(
                f"{len(upload_ids)} uploads are named.", f"Name 1 to {TOGETHER}: one per modality."
            )
        return [(self._record(i, owner).name, self.path(i, owner)) for i in upload_ids]

    def touch(self, upload_id: str, owner: str) -> Upload:
        """Keep an upload for the full time from now on, since something was begun with it."""
        record = self._record(upload_id, owner)
        self._write(upload_id, replace(record, touched=self._clock()))
        return self.get(upload_id, owner)

    def adopt(self, path: Path, owner: str) -> Upload:
        """Copy a file of our own, such as the example, as a finished upload of this owner."""
        mine = [u for u in self.list(owner) if u.name == path.name and u.complete]
        if mine:
            return self.touch(mine[0].id, owner)
        upload = self.create(path.name, path.stat().st_size, owner)
        shutil.copyfile(path, self._folder / upload.id / _DATA)
        return self.finish(upload.id, owner)

    def delete(self, upload_id: str, owner: str) -> None:
        """Delete an upload of this owner."""
        self._record(upload_id, owner)
        shutil.rmtree(self._folder / upload_id, ignore_errors=True)

    def keep(self, upload_id: str, note: str, value: Mapping[str, Any]) -> None:
        """Keep a JSON note, such as the preflight, beside an upload."""
        _replace_text(self._folder / upload_id / f"{_checked(note)}.json", json.dumps(value))

    def recall(self, upload_id: str, note: str) -> dict[str, Any] | None:
        """Return a note kept beside an upload, or None."""
        path = self._folder / upload_id / f"{_checked(note)}.json"
        if not (_ID.fullmatch(upload_id) and path.is_file()):
            return None
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def sweep(self, now: float) -> tuple[str, ...]:
        """Delete uploads untouched for ``limits.keep_hours`` before ``now``; return their ids."""
        oldest = now - 3600 * self._limits.keep_hours
        gone = tuple(i for i, record in self._all() if record.touched < oldest)
        for upload_id in gone:
            shutil.rmtree(self._folder / upload_id, ignore_errors=True)
        return gone

    def _all(self) -> Iterator[tuple[str, _Record]]:
        for path in self._folder.glob(f"*/{_RECORD}"):
            try:
                yield path.parent.name, _Record(**json.loads(path.read_text()))
            except FileNotFoundError:
                continue  # deleted by somebody else between listing and reading

    def _record(self, upload_id: str, owner: str) -> _Record:
        path = self._folder / upload_id / _RECORD
        if _ID.fullmatch(upload_id) and path.is_file():
            record = _Record(**json.loads(path.read_text()))
            alive = record.touched + 3600 * self._limits.keep_hours > self._clock()
            if alive and record.owner == owner:
                return record
        raise UnknownUpload(
            "There is no such upload in this session.",
            f"Uploads are deleted after {self._limits.keep_hours} hours; send the file again.",
        )

    def _write(self, upload_id: str, record: _Record) -> None:
        _replace_text(self._folder / upload_id / _RECORD, json.dumps(asdict(record)))

    @contextmanager
    def _locked(self, upload_id: str) -> Iterator[IO[bytes]]:
        """Open the data for appending, one writer at a time."""
        with (self._folder / upload_id / _DATA).open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WrongOffset(
                    "Another chunk of this upload is being written.", "Send one at a time."
                ) from None
            yield file


def shown_name(name: str, most: int) -> str:
    """Return a client's file name as harmless text: one line, no control characters, not long."""
    text = "".join(c for c in name if c.isprintable()).strip()
    return text[:most] or "unnamed"


def _checked(note: str) -> str:
    if not _NOTE.fullmatch(note) or note == "record":
        raise BadRequest(f"'{note[:20]}' is no name of a note.")
    return note


def _blocks(chunk: bytes | Readable, most: int) -> Iterator[bytes]:
    """Yield a chunk in blocks; raise TooLarge as soon as it has more than ``most`` bytes."""
    if isinstance(chunk, bytes | bytearray | memoryview):
        blocks: Iterator[bytes] = iter([bytes(chunk)])
    else:
        blocks = iter(lambda: chunk.read(_BLOCK), b"")
    total = 0
    for block in blocks:
        total += len(block)
        if total > most:
            raise TooLarge(
                f"The chunk has more than the {most:,} bytes that may follow.",
                "Send smaller chunks, and no more than was announced.",
            )
        yield block


def _replace_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    beside.write_text(text)
    beside.replace(path)

"""Where a store lies: a folder of this machine, or a folder behind a URL that fsspec can read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

from backend.core.errors import BadRequest, BadStore

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)", re.DOTALL)
#: pathlib makes one slash of the two of a URL.
_FOLDED = re.compile(r"([a-z][a-z0-9+.-]+):/(?!/)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RemotePath:
    """A folder or file behind a URL, with the few methods of ``Path`` that reading needs.

    Parameters
    ----------
    url : str
        Such as ``s3://bucket/brain.zarr``, without a slash at its end.
    files : fsspec file system
    """

    url: str
    files: Any = field(compare=False, repr=False)

    def __truediv__(self, part: str) -> RemotePath:
        """Return the place ``part`` in this folder."""
        return RemotePath(f"{self.url}/{part}", self.files)

    def __str__(self) -> str:
        """Return the URL."""
        return self.url

    @property
    def name(self) -> str:
        """Last part of the URL."""
        return self.url.rsplit("/", 1)[-1]

    def exists(self) -> bool:
        """Whether there is a file or folder; asks the other side."""
        self.files.invalidate_cache()
        return bool(self.files.exists(self.url))

    def is_dir(self) -> bool:
        """Whether there is a folder; asks the other side."""
        self.files.invalidate_cache()
        return bool(self.files.isdir(self.url))

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the text of a file.

        Raises
        ------
        OSError
            If it cannot be read.
        """
        return bytes(self.files.cat_file(self.url)).decode(encoding)

    def n_bytes(self) -> int:
        """Return the bytes of all files in this folder."""
        return int(self.files.du(self.url))


Place: TypeAlias = Path | RemotePath


def place_of(path: Place | str) -> Place:
    """Return where a path or URL leads.

    ``file://`` and paths become a ``Path``. A URL that went through ``Path`` and lost a slash is
    understood.

    Raises
    ------
    BadStore
        If the kind of URL is not known, or needs a package that is not installed.
    """
    if isinstance(path, RemotePath):
        return path
    found = _URL.fullmatch(str(path)) or _folded(str(path))
    if found is None:
        return Path(path)
    protocol, rest = found.groups()
    if protocol in ("file", "local"):
        return Path(rest)
    url = f"{protocol}://{rest}".rstrip("/")
    return RemotePath(url, _files(protocol, url))


def _folded(text: str) -> re.Match[str] | None:
    found = _FOLDED.fullmatch(text)
    return found if found and found.group(1) in _protocols() else None


def _protocols() -> dict[str, Any]:
    """Return the kinds of URL that are known; fsspec is untyped, and only needed for URLs."""
    known: dict[str, Any] = import_module("fsspec.registry").known_implementations
    return known


def _files(protocol: str, url: str) -> Any:
    """Return the file system of a URL."""
    known = _protocols()
    if protocol not in known:
        raise BadStore(
            f"Atlases cannot be opened from {protocol}:// addresses.",
            "Use a folder, or an address such as s3://bucket/brain.zarr.",
        )
    try:
        return import_module("fsspec.core").url_to_fs(url)[0]
    except ImportError as error:
        package = str(known[protocol]["class"]).split(".")[0]
        if package == "fsspec":  # the file system is there, but not what it stands on
            package = "aiohttp" if protocol.startswith("http") else f"fsspec[{protocol}]"
        raise BadStore(
            f"Opening an atlas from {protocol}:// needs the package {package}.",
            f"Install it: pip install {package}.",
        ) from error


def local(path: Place | str, act: str) -> Path:
    """Return the folder of a store that is to be written.

    Raises
    ------
    BadRequest
        If it is behind a URL.
    """
    place = place_of(path)
    if isinstance(place, RemotePath):
        raise BadRequest(
            f"{act} at {place} is not possible: atlases behind a URL can only be read.",
            "Write to a folder of this machine, then copy the folder there.",
        )
    return place

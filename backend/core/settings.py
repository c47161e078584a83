"""Settings of one installation: folders, limits, addresses. Read once, passed on as values."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds on what strangers may send; stated in the README."""

    upload_bytes: int = 2_000_000_000
    chunk_bytes: int = 16_000_000
    cells: int = 2_000_000
    genes: int = 60_000
    nonzeros: int = 600_000_000
    categories: int = 10_000
    text_length: int = 200
    jobs_per_session: int = 3
    keep_hours: int = 24


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are and how much is allowed.

    Environment: ``ATLAS_DATA`` (folder of atlases, uploads and the job table), ``ATLAS_CACHE``
    (folder, or ``redis://`` URL), ``ATLAS_QUEUE`` (``redis://`` URL; SQLite in the data folder
    where unset).
    """

    data: Path = field(default_factory=lambda: Path("data"))
    cache: str = ""
    queue: str = ""
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def from_environment(cls) -> Settings:
        """Return the settings that the environment spells."""
        return cls(
            data=Path(os.environ.get("ATLAS_DATA", "data")),
            cache=os.environ.get("ATLAS_CACHE", ""),
            queue=os.environ.get("ATLAS_QUEUE", ""),
        )

    @property
    def atlases(self) -> Path:
        """Folder of atlas stores."""
        return self.data / "atlases"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.data / "checkpoints"

    @property
    def transformer(self) -> Path:
        """Checkpoint of the transformer of genes in cells."""
        return self.checkpoints / "spatialformer_small"

    @property
    def uploads(self) -> Path:
        """Folder of uploads, one folder each."""
        return self.data / "uploads"

    @property
    def results(self) -> Path:
        """Folder of results, one folder per job."""
        return self.data / "results"

    @property
    def pairs(self) -> Path:
        """Folder of tables of ligands and receptors."""
        return self.data / "pairs"

    @property
    def image_weights(self) -> Path:
        """Weights of the image network of subspots, where the operator put some."""
        return self.data / "image_weights.safetensors"

    @property
    def jobs(self) -> Path:
        """The SQLite file of the job table and queue."""
        return self.data / "jobs.sqlite"

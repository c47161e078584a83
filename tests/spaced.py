"""The small atlas with common coordinates: alpha placed, beta refused, gamma not spoken of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from backend.core.data import Provenance, TaskResult
from backend.store.result import write_result
from backend.store.space import SpaceResult
from tests.tiny import SIZES, tiny_atlas

RECORD: dict[str, Any] = {
    "status": "registered",
    "title": "Alpha",
    "plane": "coronal",
    "position_um": 600.0,
    "position_range_um": [500.0, 700.0],
    "part": "window",
    "grade": "good",
    "dice": 0.95,
    "agreement": {"start": 0.3, "affine": 0.6, "smooth": 0.8},
    "off_um": {"start": 90.0, "affine": 20.0, "smooth": 10.0},
    "landmark_um": 42.0,
    "consistency_um": None,
    "jacobian": [0.8, 1.2],
    "label": "region",
    "n_labelled": 240,
    "n_regions": 3,
    "corrected": False,
    "held_out": None,
}
REFUSED = {"status": "refused", "title": "Beta", "reason": "No plane is known."}
ABOUT = {"name": "A test brain", "unit": "um", "axes": ["a", "d", "m"], "licence": "none",
         "size_um": [1000.0, 800.0, 600.0]}  # fmt: skip


def places() -> np.ndarray:
    """Return places of alpha's 240 cells in a slice at 600 um."""
    xyz = np.random.default_rng(0).uniform(100, 500, (SIZES["alpha"], 3)).astype(np.float32)
    xyz[:, 0] = 600.0
    return xyz


def spaced_atlas(path: Path) -> Path:
    """Write the small atlas with common coordinates to ``path`` and return it."""
    tiny_atlas(path)
    volume = np.zeros((5, 4, 3), np.int16)
    volume[3, 1:3, 1] = 7
    about = {"name": "A test brain", "licence": "none", "start_um": [0.0, 0.0, 0.0],
             "step_um": 200.0, "tree": [["root", "root", "", [7]]]}  # fmt: skip
    outline = np.array([[0, 0, 0], [1000, 800, 600]], np.float32)
    write_result(
        path,
        TaskResult(provenance=Provenance("registration", "1", {}, 0, ("alpha",))),
        space=SpaceResult(
            {"alpha": places()}, {"alpha": RECORD, "beta": REFUSED}, ABOUT, outline, volume, about
        ),
    )
    return path

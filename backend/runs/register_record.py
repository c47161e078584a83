"""What an atlas records of a registration: of each section, of the reference, of its surface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from backend.analysis.registration.corrections import Correction
from backend.analysis.registration.corrections import said as what_was_said
from backend.analysis.registration.reference import Reference
from backend.analysis.registration.section import Registered
from backend.core.data import SectionInfo
from backend.runs.register_labels import Prepared

#: Points of the surface that are kept.
OUTLINE_POINTS = 4000


def record_of(
    info: SectionInfo, ready: Prepared, found: Registered, said: Correction | None
) -> dict[str, Any]:
    """Return what is recorded of a section, JSON."""
    placed, scores = found.placement, found.scores
    scale = np.linalg.svd(placed.affine.matrix, compute_uv=False)
    low, high = placed.position_range
    return {
        "status": "registered",
        "title": info.title,
        "plane": ready.plane.name,
        "position_um": round(placed.position_um, 1),
        "position_range_um": [round(low, 1), round(high, 1)],
        "position_known": ready.known.position_um,
        "part": placed.part,
        "mirrored": placed.affine.is_mirrored,
        "rotation_deg": round(placed.affine.rotation_deg, 2),
        "scales": [round(float(s), 4) for s in scale],
        "matrix": placed.affine.matrix.round(6).tolist(),
        "shift_um": placed.affine.shift.round(2).tolist(),
        "warp_um": round(float(np.hypot(*placed.warp.field).max()), 1),
        "label": ready.label,
        "from": ready.origin,
        "corrected": said is not None,
        "correction": what_was_said(said),
        "grade": grade_of(ready, found),
        "dice": round(scores.dice, 4),
        "agreement": _rounded(scores.agreement),
        "balanced": _rounded(scores.balanced),
        "off_um": _rounded(scores.off_um, 1),
        "landmark_um": None if scores.landmark_um is None else round(scores.landmark_um, 1),
        "jacobian": [round(j, 3) for j in scores.jacobian],
        "consistency_um": None if found.consistency_um is None else round(found.consistency_um, 1),
        "n_labelled": scores.n_cells,
        "n_regions": scores.n_regions,
    }


def grade_of(ready: Prepared, found: Registered) -> str:
    """Return the grade of a placement; a window of unknown position is at most fair.

    Its layers and areas look alike in many slices: its scores say little of where it was cut.
    """
    grade = found.scores.grade
    is_loose = found.placement.part == "window" and ready.known.position_um is None
    return "fair" if is_loose and grade == "good" else grade


def _rounded(figures: Mapping[str, float] | None, digits: int = 4) -> dict[str, float] | None:
    return None if figures is None else {k: round(v, digits) for k, v in figures.items()}


def outline_of(reference: Reference, seed: int) -> NDArray[np.float32]:
    """Return points on the surface of the reference, (m, 3), micrometres."""
    tissue = np.pad(reference.labels > 0, 1)
    shell = (tissue & ~binary_erosion(tissue))[1:-1, 1:-1, 1:-1]
    points = np.argwhere(shell) * reference.step_um + np.array(reference.start_um)
    rng = np.random.default_rng(seed)
    kept = rng.permutation(len(points))[:OUTLINE_POINTS]
    return points[np.sort(kept)].astype(np.float32)


def volume_about(reference: Reference) -> dict[str, Any]:
    """Return what else than the labels makes a reference, JSON."""
    return {
        "name": reference.name,
        "licence": reference.licence,
        "start_um": list(reference.start_um),
        "step_um": reference.step_um,
        "tree": [[a, n, p, list(labels)] for a, n, p, labels in reference.tree],
    }


def reference_of(labels: NDArray[np.int16], about: Mapping[str, Any]) -> Reference:
    """Return the reference that an atlas keeps; undoes ``volume_about``."""
    start = tuple(float(s) for s in about["start_um"])
    return Reference(
        labels,
        tuple((a, n, p, tuple(values)) for a, n, p, values in about["tree"]),
        (start[0], start[1], start[2]),
        float(about["step_um"]),
        about["licence"],
        about["name"],
    )

"""Errors of registration on planted sections: python -m tests.benchmarks.bench_registration.

Sections are cut out of a made-up brain of six regions, turned, some mirrored, shrunk by 7 % and
bent by a smooth displacement of about 170 um; the error is the distance of a cell from where it
was cut. Position and face are known, turn and place are not.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np

from backend.analysis.registration.place import Known
from backend.analysis.registration.section import held_out, register_section
from tests.analysis.registration.planted import bent, cells_at, coronal, turned

POSITIONS = (2200.0, 3000.0, 3900.0)
TURNS = ((0.0, False), (-65.0, True), (140.0, False), (200.0, True))


def whole(position: float, degrees: float, mirrored: bool, seed: int) -> dict[str, Any]:
    """Return median errors of a whole section after each stage, micrometres."""
    uv, codes = cells_at(position, seed=seed)
    xy = turned(bent(uv), degrees, mirrored, scale=0.93)
    known = Known(position, fixed=True, mirrored=mirrored)
    found = register_section(xy, codes, coronal(), known, seed=seed)
    hidden = held_out(xy, codes, coronal(), known, seed=seed)
    assert hidden is not None
    places = {"start": found.placement.start(xy), "affine": found.placement.affine(xy)}
    errors = {name: _median(at - uv) for name, at in {**places, "smooth": found.uv}.items()}
    return {
        "error_um": errors,
        "agreement": found.scores.agreement,
        "hidden": hidden["agreement"],
        "back_um": found.consistency_um,
        "jacobian": found.scores.jacobian[0],
    }


def window(position: float, degrees: float, mirrored: bool, seed: int) -> dict[str, Any]:
    """Return the median error of a window of 1.4 mm, micrometres."""
    uv, codes = cells_at(position, n=20_000, seed=seed)
    inside = (np.abs(uv - np.array([5000.0, 2200.0])) < 700).all(axis=1)
    uv, codes = uv[inside], codes[inside]
    known = Known(position, part="window", fixed=True, mirrored=mirrored)
    made = register_section(
        turned(uv, degrees, mirrored), codes, coronal(), known, seed=seed, check_back=False
    )
    return {"error_um": {"smooth": _median(made.uv - uv)}}


def _median(off: Any) -> float:
    return float(np.median(np.hypot(*off.T)))


def main() -> None:
    """Print medians over positions and turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    cases = [(p, d, m) for p in POSITIONS for d, m in TURNS]
    wholes = [whole(*case, args.seed) for case in cases]
    windows = [window(*case, args.seed) for case in cases]
    stages = ("start", "affine", "smooth")
    report = {
        "cases": len(cases),
        "error_um": {s: float(np.median([w["error_um"][s] for w in wholes])) for s in stages},
        "worst_um": max(w["error_um"]["smooth"] for w in wholes),
        "agreement": {s: float(np.median([w["agreement"][s] for w in wholes])) for s in stages},
        "hidden": {s: float(np.median([w["hidden"][s] for w in wholes])) for s in stages},
        "back_um": float(np.median([w["back_um"] for w in wholes])),
        "least_jacobian": min(w["jacobian"] for w in wholes),
        "window_um": float(np.median([w["error_um"]["smooth"] for w in windows])),
        "window_worst_um": max(w["error_um"]["smooth"] for w in windows),
    }
    text = json.dumps(report, indent=2) if args.json else "\n".join(map(str, report.items()))
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()

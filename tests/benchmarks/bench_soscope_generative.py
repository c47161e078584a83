"""The generative mode beside the default one on merged and recovered real sections.

``python -m tests.benchmarks.bench_soscope_generative DATASETS [SET ...] [--seeds 3] [--law nb]``:
sets of ``soscope_sets``, four tilings each; medians over the 60 most spatial genes, means over
tilings. Both modes share the counts of the spots out by their expectations; the default's is also
blended with bilinear shares, as it is offered.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from backend.core.job import RunContext
from backend.models.soscope.compare import method_table, spatial_genes, summarised
from backend.models.soscope.enhance import enhance_layout
from backend.models.soscope.generate import generate_layout
from backend.models.soscope.interpolate import copied, interpolated, rescaled
from tests.benchmarks.soscope_sets import SETS, Merged, blinded, merge

#: Sets asked for where none is named: with an image, blinded, and proteins without one.
CHOSEN = (
    "her2st C2 H&E",
    "bulb MOB1 H&E",
    "her2st C2 H&E blinded",
    "bulb MOB1 H&E blinded",
    "skin proteins",
)
#: Ending of a set whose image is left out.
BLIND = " blinded"


def run(block: Merged, law: Any, seeds: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the recovered tables of one tiling, and what the runs say of themselves."""
    ctx = RunContext()
    default = enhance_layout(block.layout, block.totals, ctx, features=block.features, check=False)
    begin = time.perf_counter()
    kind = np.zeros(block.totals.shape[1], np.int64)
    fine, made = generate_layout(
        block.layout, block.totals, default, ctx, features=block.features, modality=kind, law=law,
        seeds=seeds,
    )  # fmt: skip
    said = {
        "seconds": time.perf_counter() - begin,
        "divergence": float(np.mean(made.divergence)),
        "image": bool(default.gate.is_open),
    }
    linear = rescaled(block.layout, interpolated(block.layout, block.totals), block.totals)
    tables = {
        "bilinear, rescaled": linear,
        "copy": copied(block.layout, block.totals),
        "default": default.split.astype(np.float64),
        "generative": fine.split.astype(np.float64),
    }
    return tables, said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("sets", nargs="*", default=list(CHOSEN))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--law", default="nb", choices=("nb", "poisson"))
    parser.add_argument("--origins", type=int, default=4)
    args = parser.parse_args()
    for name in args.sets:
        make, factor = SETS[name.removesuffix(BLIND)]
        sections, tables, runs = make(args.root), [], []
        sections = blinded(sections) if name.endswith(BLIND) else sections
        for origin in range(args.origins):
            block = merge(sections, origin, factor)
            truth = np.asarray(csr_matrix(block.truth).todense(), np.float64)
            made, said = run(block, args.law, args.seeds)
            tables.append(
                method_table(block.layout, truth, made, spatial_genes(block.layout, truth))
            )
            runs.append(said)
        rows = {row["name"]: row for row in summarised(tables)}
        parts = [
            f"{n} dr {rows[n]['gain_r']:+.4f} (min {rows[n]['worst_gain_r']:+.4f}) "
            f"w {rows[n]['within']:.3f} win {rows[n]['wins']:.2f} dev {rows[n]['deviance']:+.3f}"
            for n in ("default", "generative", "copy")
        ]
        nats = np.mean([r["divergence"] for r in runs])
        line = (
            f"{name}: bilinear, rescaled r {rows['bilinear, rescaled']['r']:.3f} "
            f"w {rows['bilinear, rescaled']['within']:.3f} | {' | '.join(parts)} | KL {nats:.1f} "
            f"nats | image {[r['image'] for r in runs]} | {runs[0]['seconds']:.0f} s"
        )
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

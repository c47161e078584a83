"""The transformer on unseen tissue: co-localisation beside plain methods, speed, perturbation.

    python -m tests.benchmarks.bench_former DATASETS CHECKPOINT [--sets mpfc,mop] [--only auc]

AUC of near pairs (10, 30 and 60 um) against hard (80-150 um) and easy negatives (> 150 um) on the
sections that the shipped checkpoint never saw, seeds 11-13, on the very pairs on which the pair
model and the plain methods are judged; those learn from the sections that the checkpoint saw.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionData
from backend.intake.mapping import ReadMapping
from backend.intake.read import read_h5ad
from backend.models.spatialformer.held_out import (
    COSINE,
    FREQUENCY,
    LOGISTIC,
    MODEL,
    TRANSFORMER,
    WITH_TRANSFORMER,
    compare,
    rows_of,
)
from backend.models.spatialformer.learnt import Learnt
from backend.models.spatialformer.partners import fit_pairs, make_training
from backend.models.spatialformer.transformer.keep import Pretrained, load_pretrained
from backend.models.spatialformer.transformer.perturb import remove_pairs, shortened
from backend.models.spatialformer.transformer.score import (
    embed_cells,
    pair_scores,
    read_cells,
)
from backend.runs.former_corpus import half_rows, source_of
from backend.runs.sections import use_one_thread

#: Name, file, sections that were seen, the unseen one, scale; halves where there is one section.
UNSEEN = (
    ("mpfc", "starmap_mpfc/starmap_mpfc.h5ad", ("20180417_BZ5_control",), "20180419_BZ9_control",
     0.1),
    ("mop", "merfish_mop/merfish_mop.h5ad", ("slice1", "slice10"), "slice200", 1.0),
    ("hypo", "merfish_hypothalamus/merfish_hypothalamus.h5ad", (), "", 1.0),
    ("osm", "osmfish_sscortex/osmfish_sscortex.h5ad", (), "", 1.0),
    ("xen", "xenium_breast/xenium_breast_rois.h5ad", ("roi_charmander",), "roi_pikachu", 1.0),
)  # fmt: skip
META = {
    "mpfc": {"tissue": "brain", "condition": "healthy", "assay": "STARmap"},
    "mop": {"tissue": "brain", "condition": "healthy", "assay": "MERFISH"},
    "hypo": {"tissue": "brain", "condition": "healthy", "assay": "MERFISH"},
    "osm": {"tissue": "brain", "condition": "healthy", "assay": "osmFISH"},
    "xen": {"tissue": "breast", "condition": "disease", "assay": "Xenium", "species": "human"},
}
RADII, SEEDS = (10.0, 30.0, 60.0), (11, 12, 13)
METHODS = (TRANSFORMER, MODEL, WITH_TRANSFORMER, LOGISTIC, COSINE, FREQUENCY)
Figures = dict[str, dict[str, dict[str, float]]]


def sides_of(
    folder: Path, file: str, seen: tuple[str, ...], unseen: str, scale: float
) -> tuple[list[SectionData], SectionData]:
    """Return the sections that the checkpoint learnt from, and the one that it never saw."""
    if not unseen:
        section = read_h5ad(folder / file, ReadMapping(scale=scale))[0]
        low, high = (rows_of(section, half_rows(section.xy, h)) for h in ("low", "high"))
        return [low], high
    found = [
        read_h5ad(folder / file, ReadMapping(only=frozenset([name]), scale=scale))[0]
        for name in (*seen, unseen)
    ]
    return found[:-1], found[-1]


def states_of(kept: Pretrained, section: SectionData, name: str) -> NDArray[np.float32]:
    """Return what the transformer makes of every cell."""
    about = dict(source_of(section, META[name]).meta)
    return embed_cells(kept, read_cells(kept, section.counts, section.genes, about))


def colocalisation(kept: Pretrained, folder: Path, sets: list[str]) -> dict[str, Any]:
    """Print AUC on unseen sections beside the pair model learnt from the seen ones; return it."""
    _say("| set | method | 10 um | 30 um | 60 um | within, 30 um |")
    _say("| --- | --- | --- | --- | --- | --- |")
    out = {}
    for name, file, seen, unseen, scale in UNSEEN:
        if name not in sets:
            continue
        train, test = sides_of(folder, file, seen, unseen, scale)
        extra = [states_of(kept, s, name) for s in train]
        learnt = Learnt(states_of(kept, test, name), kept, "", ())
        runs = [_compared(train, test, extra, learnt, seed) for seed in SEEDS]
        for method in METHODS:
            _say(f"| {name} | {method} | {_cells(runs, method)} |")
        out[name] = {f"{r:g}": _finite(runs, r) for r in RADII}
    return out


def _compared(
    train: list[SectionData],
    test: SectionData,
    extra: list[NDArray[np.float32]],
    learnt: Learnt,
    seed: int,
) -> Figures:
    training = make_training(train, seed)
    also = {TRANSFORMER: learnt.scores}
    found = compare(training, fit_pairs(training), test, RADII, seed, also=also)
    with_it = make_training(train, seed, extra=extra)
    more = compare(with_it, fit_pairs(with_it), test, RADII, seed, learnt.states, more=False)
    for radius, figures in more.items():
        found[radius][WITH_TRANSFORMER] = figures[MODEL]
    return found


def _finite(runs: list[Figures], radius: float) -> dict[str, float]:
    """Return the figures of the transformer that some pair of clusters has pairs enough for."""
    own = {k: _mean(runs, radius, TRANSFORMER, k) for k in ("hard", "easy", "within")}
    return {k: v for k, v in own.items() if np.isfinite(v)}


def _mean(runs: list[Figures], radius: float, method: str, key: str) -> float:
    values = np.array([run[f"{radius:g}"][method][key] for run in runs])
    kept = values[np.isfinite(values)]
    return round(float(kept.mean()), 4) if len(kept) else float("nan")


def _cells(runs: list[Figures], method: str) -> str:
    shown = [
        f"{_mean(runs, r, method, 'hard'):.3f} / {_mean(runs, r, method, 'easy'):.3f}"
        for r in RADII
    ]
    return " | ".join([*shown, f"{_mean(runs, 30.0, method, 'within'):.3f}"])


def speeds(kept: Pretrained, folder: Path) -> None:
    """Print cells embedded per second, and how much faster removed pairs are at once."""
    section = read_h5ad(folder / UNSEEN[1][1], ReadMapping(only=frozenset(["slice200"])))[0]
    read = read_cells(kept, section.counts, section.genes, META["mop"])
    for _ in range(3):
        began, used = time.perf_counter(), time.process_time()
        embed_cells(kept, read)
        took, spent = time.perf_counter() - began, time.process_time() - used
        n = section.n_cells
        _say(f"embedding: {n / took:,.0f} cells per second, {n / spent:,.0f} of processor time")
    for a, b in ((0, 1), (10, 500), (700, 1200)):
        x, y = read.cells.of(a)[:48], read.cells.of(b)[:48]
        began = time.perf_counter()
        fast = remove_pairs(kept, x, y, read.meta)
        quick = time.perf_counter() - began
        rows, columns = shortened(x)[:6], shortened(y)[:6]
        began = time.perf_counter()
        slow = [[pair_scores(kept.model, [p], [q], read.meta)[0][0] for q in columns] for p in rows]
        each = (time.perf_counter() - began) / 36
        whole = each * fast.without.size
        off = np.abs(np.array(slow) - fast.without[:6, :6]).max()
        _say(
            f"{len(x)} x {len(y)} genes: {quick:.2f} s at once, {whole:.0f} s one by one (from 36 "
            f"forwards), {whole / quick:.0f} times, largest difference {off:.1e}"
        )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--sets", default=",".join(entry[0] for entry in UNSEEN))
    parser.add_argument("--only", choices=("auc", "speed"))
    parser.add_argument("--json", type=Path, help="the AUC of the transformer, for its card")
    args = parser.parse_args()
    use_one_thread()
    kept = load_pretrained(args.checkpoint)
    if args.only != "auc":
        speeds(kept, args.folder)
    if args.only != "speed":
        found = colocalisation(kept, args.folder, args.sets.split(","))
        if args.json is not None:
            args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

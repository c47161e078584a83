"""The transformer on unseen tissue: co-localisation beside a plain method, speed, perturbation.

    python -m tests.benchmarks.bench_former DATASETS CHECKPOINT [--anchors 1500]

AUC of near pairs (10, 30 and 60 um) against hard (80-150 um) and easy negatives (> 150 um) on the
sections that the shipped checkpoint never saw, one pair of each kind per anchor, seeds 0-2; beside
it the cosine of 30 principal components, which needs no training.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree
from sklearn.decomposition import TruncatedSVD
from sklearn.metrics import roc_auc_score

from backend.core.data import SectionData
from backend.intake.mapping import ReadMapping
from backend.intake.read import read_h5ad
from backend.models.common.prep import normalised
from backend.models.spatialformer.transformer.crossing import cross
from backend.models.spatialformer.transformer.keep import Pretrained, load_pretrained
from backend.models.spatialformer.transformer.perturb import (
    remove_pairs,
    shortened,
)
from backend.models.spatialformer.transformer.score import (
    Read,
    embed_cells,
    encode,
    pair_scores,
    read_cells,
)
from backend.runs.former_corpus import half_rows, source_of
from backend.runs.sections import use_one_thread

#: Unseen sections: name, file, section, scale, half.
UNSEEN = (
    ("mpfc", "starmap_mpfc/starmap_mpfc.h5ad", "20180419_BZ9_control", 0.1, ""),
    ("mop", "merfish_mop/merfish_mop.h5ad", "slice200", 1.0, ""),
    ("hypo", "merfish_hypothalamus/merfish_hypothalamus.h5ad", "", 1.0, "high"),
    ("osm", "osmfish_sscortex/osmfish_sscortex.h5ad", "", 1.0, "high"),
    ("xen", "xenium_breast/xenium_breast_rois.h5ad", "roi_pikachu", 1.0, ""),
)
META = {
    "mpfc": {"tissue": "brain", "condition": "healthy", "assay": "STARmap"},
    "mop": {"tissue": "brain", "condition": "healthy", "assay": "MERFISH"},
    "hypo": {"tissue": "brain", "condition": "healthy", "assay": "MERFISH"},
    "osm": {"tissue": "brain", "condition": "healthy", "assay": "osmFISH"},
    "xen": {"tissue": "breast", "condition": "disease", "assay": "Xenium", "species": "human"},
}
RADII, SEEDS = (10.0, 30.0, 60.0), (0, 1, 2)
Pairs = NDArray[np.int64]


def pairs_of(xy: NDArray[np.float32], radius: float, anchors: int, seed: int) -> tuple[Pairs, ...]:
    """Return near, hard and easy pairs (m, 2) of the same anchors."""
    random, tree = np.random.default_rng(seed), cKDTree(xy)
    out: list[list[tuple[int, int]]] = [[], [], []]
    for a in random.permutation(len(xy))[: 4 * anchors]:
        near = [j for j in tree.query_ball_point(xy[a], radius) if j != a]
        away = np.linalg.norm(xy - xy[a], axis=1)
        hard, easy = np.flatnonzero((away >= 80) & (away <= 150)), np.flatnonzero(away > 150)
        if near and len(hard) and len(easy):
            for kept, choices in zip(out, (near, hard, easy), strict=True):
                kept.append((int(a), int(random.choice(choices))))
        if len(out[0]) == anchors:
            break
    return tuple(np.array(kept, np.int64).reshape(-1, 2) for kept in out)


def cosine_of(section: SectionData, counts: csr_matrix) -> NDArray[np.float64]:
    """Return unit vectors of 30 principal components of log-normalised expression."""
    x = normalised(counts, section.is_counts)
    z = TruncatedSVD(min(30, x.shape[1] - 1), random_state=0).fit_transform(x)
    z = (z - z.mean(0)) / z.std(0)
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def transformer_scores(kept: Pretrained, read: Read, pairs: Pairs) -> NDArray[np.float64]:
    """Return the symmetric score of each pair; cells are encoded a block of pairs at a time."""
    out = np.zeros(len(pairs))
    for start in range(0, len(pairs), 32):
        part = pairs[start : start + 32]
        sides = [encode(kept, [read.cells.of(i) for i in part[:, k]], read.meta) for k in (0, 1)]
        for (first, _), (_, second) in ((sides[0], sides[1]), (sides[1], sides[0])):
            logits = cross(kept.model, first, second).detach().numpy()
            own = np.arange(len(part))
            out[start : start + 32] += (logits[own, own, 1] - logits[own, own, 0]) / 2
    return out


def auc(near: NDArray[np.float64], far: NDArray[np.float64]) -> float:
    """Return the chance that a near pair scores higher than a far one."""
    truth = np.r_[np.ones(len(near)), np.zeros(len(far))]
    return float(roc_auc_score(truth, np.r_[near, far]))


def colocalisation(kept: Pretrained, folder: Path, anchors: int) -> None:
    """Print AUC, hard / easy, of the transformer and of the cosine, per unseen section."""
    for name, file, only, scale, half in UNSEEN:
        mapping = ReadMapping(only=frozenset([only] if only else []), scale=scale)
        section = read_h5ad(folder / file, mapping)[0]
        source = source_of(section, META[name])
        rows = half_rows(source.xy, half) if half else np.arange(section.n_cells)
        counts, xy = source.counts[rows], source.xy[rows]
        read = read_cells(kept, counts, source.genes, dict(source.meta))
        unit = cosine_of(section, counts)
        for radius in RADII:
            lines = []
            for seed in SEEDS:
                sets = pairs_of(xy, radius, anchors, seed)
                if len(sets[0]) < 100:
                    break
                own = [transformer_scores(kept, read, p) for p in sets]
                plain = [(unit[p[:, 0]] * unit[p[:, 1]]).sum(1) for p in sets]
                lines.append([auc(own[0], own[1]), auc(own[0], own[2]),
                              auc(plain[0], plain[1]), auc(plain[0], plain[2])])  # fmt: skip
            shown = np.mean(lines, axis=0) if lines else None
            said = "too few pairs" if shown is None else (
                f"transformer {shown[0]:.3f} / {shown[1]:.3f}   "
                f"PC cosine {shown[2]:.3f} / {shown[3]:.3f}")  # fmt: skip
            _say(f"{name:5s} {radius:3.0f} um  {said}")


def speeds(kept: Pretrained, folder: Path) -> None:
    """Print cells embedded per second, and how much faster removed pairs are at once."""
    section = read_h5ad(folder / UNSEEN[1][1], ReadMapping(only=frozenset(["slice200"])))[0]
    read = read_cells(kept, section.counts, section.genes, META["mop"])
    began = time.perf_counter()
    embed_cells(kept, read)
    _say(f"embedding: {section.n_cells / (time.perf_counter() - began):,.0f} cells per second")
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
    parser.add_argument("--anchors", type=int, default=1500)
    args = parser.parse_args()
    use_one_thread()
    kept = load_pretrained(args.checkpoint)
    speeds(kept, args.folder)
    colocalisation(kept, args.folder, args.anchors)


if __name__ == "__main__":
    main()

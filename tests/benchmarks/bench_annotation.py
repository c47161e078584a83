"""Figures of annotation on real data: a table on stderr, JSON on stdout.

python -m tests.benchmarks.bench_annotation ATLAS.zarr [--parts sections,technologies,unseen]
    [--datasets FOLDER] [--cells 10000] [--seed 0] [--epochs 15] [--pairs a+b,c+d]

sections      one section of a data set of two held out of training, both ways, and both as one
halves        left and right half of every labelled section, one trained on alone, both ways
technologies  every labelled data set held out whole; labels from all others, and from each
unseen        a class left out of training: how well novelty tells its cells (AUROC)
published     the published procedure on pairs of data sets, or on the sections of one
foreign       files of other tissues under FOLDER, which should be refused
time          a query of ``--cells`` cells, reading to annotated, with the peak of memory

The models are trained here, so nothing held out is seen. Baselines label by the same reference
with the best of 5, 15 and 30 neighbours, which favours them. Scores are over cells whose class the
reference has. Layers of different vocabularies are compared by ``LAYERS``.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from sklearn.metrics import f1_score, roc_auc_score

from backend.core.data import Label, SectionData, TaskResult
from backend.core.errors import AtlasError
from backend.core.job import RunContext
from backend.intake.mapping import ReadMapping
from backend.intake.read import read_h5ad
from backend.models.common.baselines import harmony_space, knn_labels, shared_columns
from backend.models.common.calibration import (
    beyond_chance,
    calibration_error,
    error_by_chance,
    reliability,
)
from backend.models.common.prep import normalised
from backend.models.fusemap.model import Model, from_checkpoint
from backend.models.fusemap.parity.settings import Settings
from backend.models.fusemap.tasks import AnnotateParams, annotate
from backend.models.fusemap.train import TrainParams, train
from backend.runs.sections import load_measured
from backend.store.atlas import Atlas
from tests.benchmarks.published import Published, train_published

NEIGHBOURS = (5, 15, 30)
#: Cells of a reference, and of a query of a baseline, at most.
REFERENCE_CELLS, QUERY_CELLS = 6_000, 6_000
LEAST_GENES = 8
#: Cells of a half of a section, at most.
HALF_CELLS = 6_000
#: One fit of the common space, and labelled cells per classifier: a tenth of the time of a full
#: training, which averages fits and takes twice the cells.
FACTORS, LABEL_CELLS = 10, 2_900
#: Sections of wider panels than this have no labels here and are left out.
WIDEST = 5_000
LAYERS = {
    "Corpus callosum": "WM",
    "White matter": "WM",
    "Pia Layer 1": "L1",
    "Layer 2-3 lateral": "L2/3",
    "Layer 2-3 medial": "L2/3",
    "Layer 4": "L4",
    "Layer 5": "L5",
    "Layer 6": "L6",
    "VISp I": "L1",
    "VISp II/III": "L2/3",
    "VISp IV": "L4",
    "VISp V": "L5",
    "VISp VI": "L6",
}
LABELS = ("class", "type", "region")
#: Data sets that the published procedure is trained on together; labels go both ways.
PUBLISHED_PAIRS = (
    "starmap_mpfc",
    "starmap_v1+starmap_mpfc",
    "osmfish_sscortex+starmap_v1",
    "osmfish_sscortex+starmap_mpfc",
)
Names = NDArray[Any]


def main() -> None:
    """Write the figures that were asked for."""
    args = _arguments()
    torch.set_num_threads(1)
    atlas = Atlas.open(args.atlas)
    sections = [
        replace(s, labels={n: x for n, x in s.labels.items() if n in LABELS})
        for s in load_measured(atlas, RunContext())
        if len(s.genes) <= WIDEST
    ]
    parts = args.parts.split(",")
    out: dict[str, Any] = {"seed": args.seed}
    if "sections" in parts:
        out["sections"] = list(_sections(sections, args.seed))
    if "halves" in parts:
        out["halves"] = list(_half_sections(sections, args.seed))
    if "technologies" in parts:
        out["technologies"] = list(_technologies(sections, args.seed))
    if "unseen" in parts:
        out["unseen"] = list(_unseen(sections, args.seed))
    if "published" in parts:
        out["published"] = list(_published(sections, args))
    if "foreign" in parts or "time" in parts:
        model = _trained(sections, args.seed)
        if "foreign" in parts:
            out["foreign"] = list(_foreign(args.datasets, model))
        if "time" in parts:
            out["time"] = _timed(sections, model, args.cells)
    sys.stdout.write(json.dumps(out, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("atlas", type=Path)
    parser.add_argument("--parts", default="sections,technologies,unseen")
    parser.add_argument("--datasets", type=Path, default=Path("datasets"))
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=Settings().epochs, help="of each phase")
    parser.add_argument("--pairs", type=lambda t: t.split(","), default=list(PUBLISHED_PAIRS))
    return parser.parse_args()


def _trained(sections: Sequence[SectionData], seed: int, parts: bool = True) -> Model:
    params = TrainParams(
        k=FACTORS, scale="log1p", refine=False, trust=False, parts=parts, label_cells=LABEL_CELLS
    )
    return from_checkpoint(train(sections, params, RunContext(seed=seed)))


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _names(section: SectionData, label: str) -> Names:
    """Names of the classes of the cells, empty where there is none."""
    own = section.labels.get(label)
    if own is None:
        return np.full(section.n_cells, "", dtype=object)
    names = [LAYERS.get(c.name, c.name) if label == "region" else c.name for c in own.categories]
    return np.array([*names, ""], dtype=object)[own.codes]


def _guess(result: TaskResult, label: str) -> tuple[Names, NDArray[np.float64], Names] | None:
    """Names of the likeliest classes, their confidence, and names where they were kept."""
    columns = {str(c.layer): c for c in result.columns}
    table = next((m for m in result.matrices if m.name == f"probability:{label}"), None)
    if table is None:
        return None
    names = np.array([LAYERS.get(n, n) if label == "region" else n for n in table.columns], object)
    column = columns[f"label:{label}"]
    all_names = [LAYERS.get(c.name, c.name) if label == "region" else c.name
                 for c in column.categories]  # fmt: skip
    kept = np.array([*all_names, ""], dtype=object)[column.values]
    confidence = columns[f"confidence:{label}"].values.astype(np.float64)
    return names[table.values.argmax(axis=1)], confidence, kept


def _scores(truth: Names, guess: Names) -> list[float]:
    """Accuracy and macro-F1 over the classes of the truth."""
    classes = sorted(set(truth))
    f1 = f1_score(truth, guess, average="macro", labels=classes, zero_division=0)
    return [round(float((truth == guess).mean()), 3), round(float(f1), 3)]


def _compare(
    query: Sequence[SectionData],
    reference: Sequence[SectionData],
    results: Sequence[TaskResult],
    label: str,
    *,
    plain: bool = True,
) -> dict[str, Any] | None:
    """Scores of the annotation of all query sections, beside both baselines where ``plain``."""
    truth = np.concatenate([_names(s, label) for s in query])
    known = set(np.concatenate([_names(s, label) for s in reference])) - {""}
    said = [_guess(r, label) for r in results]
    if any(s is None for s in said) or not known:
        return None
    guess, confidence, kept = (np.concatenate(x) for x in zip(*filter(None, said), strict=True))
    fair = np.isin(truth, list(known))
    if fair.sum() < 30:
        return None
    right = (guess == truth)[fair]
    given = fair & (kept != "")
    out: dict[str, Any] = {
        "cells": int(fair.sum()),
        "classes": len(known),
        "fusemap": _scores(truth[fair], guess[fair]),
        **_calibrated(confidence[fair], right),
        "assigned": round(float(given.sum() / fair.sum()), 3),
        "accuracy_of_assigned": round(float((kept == truth)[given].mean()), 3)
        if given.any()
        else None,
        "methods": sorted({r.figures[s.id]["labels"][label]["method"]
                           for s, r in zip(query, results, strict=True)}),
    }  # fmt: skip
    return out | (_plain(query, reference, label) if plain else {})


def _calibrated(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> dict[str, Any]:
    """Expected calibration error, what chance alone gives, and what is beyond it."""
    curve = reliability(confidence, right)
    error, chance = calibration_error(curve), error_by_chance(confidence)
    return {
        "ece": round(error, 3),
        "ece_by_chance": round(chance, 3),
        "ece_beyond_chance": round(beyond_chance(error, chance), 3),
        "curve": [[round(b.confidence, 3), round(b.accuracy, 3), b.n] for b in curve],
    }


def _plain(
    query: Sequence[SectionData], reference: Sequence[SectionData], label: str
) -> dict[str, Any]:
    """The best of three k, of kNN on shared genes and after Harmony; one reference data set."""
    genes = set.intersection(*({g.upper() for g in s.genes} for s in (*query, *reference)))
    if len(genes) < LEAST_GENES:
        return {"shared_genes": len(genes)}
    x, names = _stack(reference, label, genes, REFERENCE_CELLS)
    y, truth = _stack(query, label, genes, QUERY_CELLS)
    order = sorted(set(names))
    codes = np.array([order.index(n) for n in names], dtype=np.int64)
    fair = np.isin(truth, order)
    found: dict[str, Any] = {"shared_genes": len(genes)}
    for name, (a, b) in {"knn": (x, y), "harmony": harmony_space(x, y)}.items():
        guesses = [np.array(order, dtype=object)[knn_labels(a, codes, b, k)] for k in NEIGHBOURS]
        found[name] = max(_scores(truth[fair], g[fair]) for g in guesses)
    return found


def _stack(
    sections: Sequence[SectionData], label: str, genes: set[str], most: int
) -> tuple[csr_matrix, Names]:
    """Log-normalised shared genes and names of some labelled cells."""
    parts, names = [], []
    order = sorted(genes)
    rng = np.random.default_rng(0)
    for s in sections:
        own = _names(s, label)
        rows = np.flatnonzero(own != "")
        rows = np.sort(rng.permutation(rows)[: most // len(sections)])
        columns = shared_columns(tuple(g.upper() for g in s.genes), tuple(order))[0]
        parts.append(normalised(s.counts, s.is_counts)[rows][:, columns])
        names.append(own[rows])
    return csr_matrix(vstack(parts)), np.concatenate(names)


def _annotated(
    query: Sequence[SectionData],
    model: Model,
    labels: Sequence[str],
    taxonomy: Mapping[str, str],
    reference: Sequence[SectionData] = (),
) -> list[TaskResult]:
    """Annotate each section; neighbours of ``reference`` may label where they were better."""
    known, places = {h.label for h in model.heads}, {s.id: s for s in reference}
    params = AnnotateParams(tuple(x for x in labels if x in known), taxonomy or None)

    def load(ids: Sequence[str]) -> list[SectionData]:
        return [places[i] for i in ids if i in places]

    given = load if reference else None
    return [annotate([s], params, model, RunContext(), given) for s in query]


def _row(how: str, query: str, reference: str, label: str, found: Mapping[str, Any]) -> str:
    cells = [how, query[:24], reference[:24], label, str(found["cells"]), str(found["fusemap"])]
    cells += [str(found.get("knn", "-")), str(found.get("harmony", "-"))]
    cells += [f"ECE {found['ece']} ({found['ece_by_chance']} by chance)", *found["methods"]]
    cells += [f"assigned {found['assigned']}", f"right {found['accuracy_of_assigned']}"]
    return " | ".join(cells)


def _sections(sections: Sequence[SectionData], seed: int) -> Iterator[dict[str, Any]]:
    """Hold out each section of the labelled data sets that have several."""
    labelled = [s for s in sections if set(s.labels) & set(LABELS)]
    done: dict[str, list[tuple[SectionData, TaskResult]]] = {}
    for query in labelled:
        mates = [s for s in labelled if s.dataset == query.dataset and s.id != query.id]
        if not mates:
            continue
        model = _trained([s for s in sections if s.id != query.id], seed)
        results = _annotated([query], model, LABELS, {}, mates)
        done.setdefault(query.dataset, []).append((query, results[0]))
        yield from _labels("section", [query], mates, results, query.id)
    for dataset, pairs in done.items():
        queries, said = [s for s, _ in pairs], [r for _, r in pairs]
        yield from _labels("sections", queries, queries, said, dataset, plain=False)


def _labels(
    how: str,
    query: Sequence[SectionData],
    mates: Sequence[SectionData],
    results: Sequence[TaskResult],
    name: str,
    *,
    plain: bool = True,
) -> Iterator[dict[str, Any]]:
    """Compare every label of some held-out sections, with baselines where ``plain``."""
    for label in LABELS:
        found = _compare(query, mates, results, label, plain=plain)
        if found:
            _say(_row(how, name, query[0].dataset, label, found))
            yield {"query": name, "label": label, **found}


def _half_sections(sections: Sequence[SectionData], seed: int) -> Iterator[dict[str, Any]]:
    """Hold out the left and the right half of each labelled section; train on the other alone."""
    for whole in (s for s in sections if set(s.labels) & set(LABELS)):
        right = whole.xy[:, 0] >= np.median(whole.xy[:, 0])
        pair = [_part(whole, np.flatnonzero(right == side), f"{side}") for side in (False, True)]
        for query, known in (pair, pair[::-1]):
            results = _annotated([query], _trained([known], seed), LABELS, {}, [known])
            yield from _labels("half", [query], [known], results, query.id)


def _technologies(sections: Sequence[SectionData], seed: int) -> Iterator[dict[str, Any]]:
    """Hold out each labelled data set; labels from all others together, and from each."""
    labelled = [s for s in sections if set(s.labels) & set(LABELS)]
    names = list(dict.fromkeys(s.dataset for s in labelled))
    for name in names:
        query = [s for s in labelled if s.dataset == name]
        model = _trained([s for s in sections if s.dataset != name], seed)
        for label in LABELS:
            if not any(label in s.labels for s in query):
                continue
            for other in [x for x in names if x != name]:
                reference = [s for s in labelled if s.dataset == other and label in s.labels]
                if not reference or all((_names(s, label) == "").all() for s in reference):
                    continue
                yield from _technology(query, reference, model, label, other)
            yield from _technology(query, _others(labelled, name, label), model, label, "")


def _others(labelled: Sequence[SectionData], name: str, label: str) -> list[SectionData]:
    return [s for s in labelled if s.dataset != name and label in s.labels]


def _technology(
    query: Sequence[SectionData],
    reference: Sequence[SectionData],
    model: Model,
    label: str,
    other: str,
) -> Iterator[dict[str, Any]]:
    """Compare one label of a held-out data set with one reference, or with what is chosen."""
    taxonomy = {label: other} if other else {}
    results = _annotated(query, model, [label], taxonomy, reference)
    found = _compare(query, reference, results, label)
    if found:
        name = query[0].dataset
        used = results[0].figures[query[0].id]["labels"][label]["taxonomy"]
        _say(_row("technology", name, other or f"chosen: {used}", label, found))
        yield {"query": name, "reference": other or "chosen", "used": used, "label": label, **found}


def _published(
    sections: Sequence[SectionData], args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Train as published on a data set or two, and transfer their labels both ways."""
    for pair in args.pairs:
        names = pair.split("+")
        own = [s for s in sections if s.dataset in names and set(s.labels) & set(LABELS)]
        started = time.perf_counter()
        made = train_published(own, args.seed, Settings(epochs=args.epochs))
        _say(f"{pair}: {time.perf_counter() - started:.0f} s, {len(made.fitted.history)} epochs")
        side = [s.id for s in own] if len(names) == 1 else [s.dataset for s in own]
        for query, label in product(sorted(set(side)), LABELS):
            asked = [i for i, name in enumerate(side) if name == query]
            known = [i for i, name in enumerate(side) if name != query]
            if known and all(label in own[i].labels for i in (*asked, *known)):
                yield _transferred(made, known, asked, label, args.seed)


def _transferred(
    made: Published, known: Sequence[int], asked: Sequence[int], label: str, seed: int
) -> dict[str, Any]:
    """Score the published classifier on one label of the query."""
    names, truth = (
        np.concatenate([_names(made.sections[i], label) for i in side]) for side in (known, asked)
    )
    guess = made.labels(known, names, asked, of_places=label == "region", seed=seed)
    fair = np.isin(truth, list(set(names) - {""}))
    found = {
        "query": made.sections[asked[0]].id,
        "reference": made.sections[known[0]].id,
        "label": label,
        "cells": int(fair.sum()),
        "published": _scores(truth[fair], guess[fair]) if fair.any() else None,
    }
    _say(" | ".join(str(v) for v in found.values()))
    return found


def _without(section: SectionData, label: str, name: str) -> SectionData:
    """Return the section without the cells of one class."""
    return _part(section, np.flatnonzero(_names(section, label) != name), "")


def _part(section: SectionData, rows: NDArray[np.int64], name: str) -> SectionData:
    """Return some cells of a section, ``HALF_CELLS`` at most where they get a name of their own."""
    if name and len(rows) > HALF_CELLS:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:HALF_CELLS])
    return replace(
        section,
        id=f"{section.id}-{name}" if name else section.id,
        xy=section.xy[rows],
        counts=csr_matrix(section.counts[rows]),
        names=section.names[rows],
        labels={n: Label(x.codes[rows], x.categories) for n, x in section.labels.items()},
        numbers={k: v[rows] for k, v in section.numbers.items()},
    )


def _halves(section: SectionData) -> tuple[SectionData, SectionData]:
    """Return the section in two, by alternating stripes."""
    x = section.xy[:, 0]
    stripe = ((x - x.min()) / max(float(np.ptp(x)), 1e-9) * 8).astype(np.int64) % 2
    even, odd = (_part(section, np.flatnonzero(stripe == half), f"{half}") for half in (0, 1))
    return even, odd


def _unseen(sections: Sequence[SectionData], seed: int) -> Iterator[dict[str, Any]]:
    """Leave one class out of training in every section; tell its cells in a held-out section."""
    labelled = [s for s in sections if "class" in s.labels]
    for name in dict.fromkeys(s.dataset for s in labelled):
        own = [s for s in labelled if s.dataset == name]
        pair = (own[0], own[1]) if len(own) > 1 else _halves(own[0])
        for label in ("class", "type"):
            yield from _unseen_classes(pair, name, label, seed)


def _unseen_classes(
    pair: tuple[SectionData, SectionData], name: str, label: str, seed: int
) -> Iterator[dict[str, Any]]:
    """Leave out each class of 20 cells or more in both sections of a pair, five at most."""
    known, query = _names(pair[0], label), _names(pair[1], label)
    counts = {c: int((known == c).sum()) for c in set(known) - {""}}
    classes = [c for c in sorted(counts, key=lambda c: -counts[c])
               if counts[c] >= 20 and (query == c).sum() >= 20][:5]  # fmt: skip
    for unseen in classes:
        model = _trained([_without(pair[0], label, unseen)], seed)
        result = _annotated([pair[1]], model, [label], {})[0]
        left = {c for c in counts if c != unseen}
        rows = np.flatnonzero((query == unseen) | np.isin(query, list(left)))
        columns = {str(c.layer): c.values for c in result.columns}
        is_new = query[rows] == unseen
        auroc = roc_auc_score(is_new, columns["score:novelty"][rows])
        sure = roc_auc_score(is_new, -columns[f"confidence:{label}"][rows])
        codes = columns[f"label:{label}"][rows]
        found = {
            "dataset": name,
            "label": label,
            "unseen": unseen,
            "cells": int(is_new.sum()),
            "auroc": round(float(auroc), 3),
            "auroc_of_confidence": round(float(sure), 3),
            "refused_unseen": round(float((codes[is_new] < 0).mean()), 3),
            "refused_known": round(float((codes[~is_new] < 0).mean()), 3),
        }
        _say(" | ".join(str(v) for v in found.values()))
        yield found


def _foreign(folder: Path, model: Model) -> Iterator[dict[str, Any]]:
    """Annotate files of other tissues."""
    for path in sorted(folder.glob("*/*.h5ad")):
        if path.parent.name not in FOREIGN:
            continue
        try:
            section = read_h5ad(path, ReadMapping(species=""))[0]
            result = annotate([section], AnnotateParams(), model, RunContext())
        except AtlasError as error:
            found: dict[str, Any] = {"file": path.stem, "refused": error.message}
        else:
            figures = result.figures[section.id]
            kept = {
                str(c.layer.name): round(float((c.values >= 0).mean()), 3)
                for c in result.columns
                if c.layer.kind == "label"
            }
            found = {
                "file": path.stem,
                "genes": figures["genes"]["used"],
                "pair_agreement": figures["pair_agreement"],
                "foreign": figures["foreign"],
                "assigned": kept,
            }
        _say(" | ".join(str(v) for v in found.values()))
        yield found


FOREIGN = (
    "seqfish_embryo",
    "xenium_breast",
    "cosmx_lung_mini",
    "dbit_ffpe_embryo",
    "codex_spleen",
    "her2st",
    "lymph_node_adt",
    "spatial_cite_skin",
    "st_breast_serial",
)


def _timed(sections: Sequence[SectionData], model: Model, cells: int) -> dict[str, Any]:
    """Time one annotation of ``cells`` cells drawn from the largest labelled panel."""
    source = next(s for s in sections if s.dataset == "merfish_hypothalamus")
    rows = np.random.default_rng(0).integers(0, source.n_cells, cells)
    rng = np.random.default_rng(1)
    jitter = rng.normal(0, 20, (cells, 2)).astype(np.float32)
    query = replace(
        source,
        id="timed",
        xy=source.xy[rows] + jitter,
        counts=csr_matrix(source.counts[rows]),
        names=np.arange(cells).astype(str),
        labels={},
        numbers={},
    )
    started = time.perf_counter()
    annotate([query], AnnotateParams(), model, RunContext())
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    found = {"cells": cells, "seconds": round(seconds, 2), "peak_gb": round(peak, 2)}
    _say(str(found))
    return found


if __name__ == "__main__":
    main()

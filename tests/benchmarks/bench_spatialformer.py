"""Co-localisation, annotation and gene pairs on real sections, beside plain methods.

Run: ``python -m tests.benchmarks.bench_spatialformer PART DATASETS [--sets mpfc,mop]``; PART is
``auc`` (unseen sections, seeds 11, 12, 13), ``probe`` (macro-F1), ``time`` (gene pairs), ``power``
(planted pairs, ten seeds), ``null`` (local shuffle), ``spill``. ``--checkpoint FOLDER`` adds a
row of the transformer's embedding to ``auc`` and ``probe``. Writes markdown on stdout.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.common.baselines import knn_labels
from backend.models.common.logistic import fit_logistic
from backend.models.common.prep import normalised
from backend.models.fusemap.model import from_checkpoint
from backend.models.fusemap.tasks import embed
from backend.models.fusemap.train import TrainParams
from backend.models.fusemap.train import train as train_fusemap
from backend.models.spatialformer.annotate import feature_sets
from backend.models.spatialformer.genepairs import GenePairs, gene_pair_tests
from backend.models.spatialformer.held_out import compare
from backend.models.spatialformer.pairs import cell_graph
from backend.models.spatialformer.partners import fit_pairs, make_training
from backend.models.spatialformer.probe import fit_probe, macro_f1
from backend.models.spatialformer.profiles import describe, fit_profiles
from backend.models.spatialformer.spill import spill_test
from backend.models.spatialformer.type_contacts import find_contacts
from tests.benchmarks.spatialformer_data import FILES, load, part, splits

SEEDS = (11, 12, 13)
RADII = (10.0, 30.0, 60.0)
NULLS = range(8000, 8060)
Embed = Callable[[SectionData], np.ndarray]


def auc(folder: Path, sets: list[str], embed: Embed | None, bilinear: bool = False) -> None:
    """Print hard / easy AUC at each radius, and within pairs of clusters at 30 um."""
    say("| set | method | 10 um | 30 um | 60 um | within, 30 um | fit s |")
    say("| --- | --- | --- | --- | --- | --- | --- |")
    for name in sets:
        whole, _, _ = load(folder, name)
        found: dict[str, list[dict[str, dict[str, float]]]] = {}
        seconds = []
        for train_rows, test_rows in splits(folder, name):
            train = [part(whole, r, f"train {i}") for i, r in enumerate(train_rows)]
            test = part(whole, test_rows, "test")
            extra = None if embed is None else [embed(s) for s in train]
            own = None if embed is None else embed(test)
            for seed in SEEDS:
                started = time.perf_counter()
                training = make_training(train, seed)
                model = fit_pairs(training)
                seconds.append(time.perf_counter() - started)
                by_radius = compare(training, model, test, RADII, seed, bilinear=bilinear)
                if extra is not None:
                    with_it = make_training(train, seed, extra=extra)
                    more = compare(with_it, fit_pairs(with_it), test, RADII, seed, own, more=False)
                    for radius, figures in more.items():
                        by_radius[radius]["With transformer"] = figures["Pair model"]
                for method in by_radius["30"]:
                    found.setdefault(method, []).append(
                        {r: by_radius[r][method] for r in by_radius}
                    )
        for method, runs in found.items():
            cells = [
                f"{_mean(runs, r, 'hard'):.3f} / {_mean(runs, r, 'easy'):.3f}"
                for r in ("10", "30", "60")
            ]
            within = f"{_mean(runs, '30', 'within'):.3f}"
            took = f"{np.median(seconds):.1f}" if method == "Pair model" else ""
            say(f"| {name} | {method} | {' | '.join(cells)} | {within} | {took} |")


def _mean(runs: list[dict[str, dict[str, float]]], radius: str, key: str) -> float:
    values = [run[radius][key] for run in runs]
    finite = [v for v in values if np.isfinite(v)]
    return float(np.mean(finite)) if finite else float("nan")


def probe(folder: Path, sets: list[str], embed: Embed | None) -> None:
    """Print macro-F1 of types on unseen sections, seed 11."""
    say("| set | types | chosen features | probe | genes | PCs | shared-gene kNN | FuseMap |")
    say("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in sets:
        whole, _, types = load(folder, name)
        names = [t for t in np.unique(types) if t]
        if not names:
            continue
        place = {t: i for i, t in enumerate(names)}
        codes = np.array([place.get(t, -1) for t in types])
        rows = []
        for train_rows, test_rows in splits(folder, name):
            rows.append(_probe_fold(whole, codes, train_rows, test_rows, embed))
        mean = {k: np.mean([r[1][k] for r in rows]) for k in rows[0][1]}
        chosen = ", ".join(dict.fromkeys(r[0] for r in rows))
        say(
            f"| {name} | {len(names)} | {chosen} | "
            + " | ".join(f"{mean[k]:.3f}" for k in ("probe", "genes", "PCs", "kNN", "FuseMap"))
            + " |"
        )


def _probe_fold(
    whole: SectionData,
    codes: np.ndarray,
    train_rows: list[np.ndarray],
    test_rows: np.ndarray,
    embed: Embed | None,
) -> tuple[str, dict[str, float]]:
    train = [part(whole, r, f"train {i}") for i, r in enumerate(train_rows)]
    test = part(whole, test_rows, "test")
    own = np.concatenate([codes[r] for r in train_rows])
    sets, tests = (features.dense() for features in feature_sets(train, test))
    offered = dict(sets), dict(tests)
    profiles, h = fit_profiles(train)
    offered[0]["PCs"], offered[1]["PCs"] = np.concatenate(h), describe(test, profiles)
    if embed is not None:
        sets["transformer"] = np.concatenate([embed(s) for s in train]).astype(np.float64)
        tests["transformer"] = embed(test).astype(np.float64)
    found = fit_probe(sets, own, SEEDS[0])
    known = codes[test_rows] >= 0
    truth = codes[test_rows][known]
    out = {"probe": macro_f1(truth, found.codes(tests)[known])}
    for name in ("genes", "PCs"):
        plain = _plain(offered[0][name], own, offered[1][name])
        out[name] = macro_f1(truth, plain[known])
    cells = fusemap_embedding(train, test)
    out["FuseMap"] = macro_f1(truth, _plain(cells[0], own, cells[1])[known])
    labelled = own >= 0
    out["kNN"] = macro_f1(
        truth, knn_labels(sets["genes"][labelled], own[labelled], tests["genes"][known])
    )
    return " + ".join(found.parts), out


def fusemap_embedding(train: list[SectionData], test: SectionData) -> tuple[np.ndarray, np.ndarray]:
    """Return cell and niche embeddings of the default mode, learnt from the training sections."""
    model = from_checkpoint(train_fusemap(train, TrainParams(trust=False), RunContext()))
    made = [embed(section, model) for section in (*train, test)]
    both = [np.concatenate([m.z, m.z_niche], axis=1).astype(np.float64) for m in made]
    return np.concatenate(both[:-1]), both[-1]


def _plain(x: np.ndarray, codes: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Multinomial logistic regression with C = .1, the usual probe."""
    own = codes >= 0
    classes, dense = np.unique(codes[own], return_inverse=True)
    mean, sd = x[own].mean(axis=0), x[own].std(axis=0)
    sd = np.where(sd > 1e-6, sd, 1.0)
    flat = np.ones(len(dense))
    w, b = fit_logistic((x[own] - mean) / sd, dense, len(classes), flat, 10.0, 80)
    return classes[((query - mean) / sd @ w + b).argmax(axis=1)]


def _two_types(
    folder: Path, name: str, seed: int
) -> tuple[SectionData, csr_matrix, np.ndarray, np.ndarray]:
    """Return a section, its values and two of eight clusters that touch most."""
    from sklearn.cluster import KMeans

    whole, groups, _ = load(folder, name)
    section = part(whole, np.flatnonzero(groups == groups[0]), name)
    _, h = fit_profiles([section])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        codes = KMeans(8, random_state=0, n_init=2).fit_predict(h[0])
    touch = cell_graph(section.xy).tocoo()
    counts = np.zeros((8, 8))
    np.add.at(counts, (codes[touch.row], codes[touch.col]), 1)
    np.fill_diagonal(counts, 0)
    a, b = np.unravel_index(counts.argmax(), counts.shape)
    return section, normalised(section.counts, section.is_counts), codes == a, codes == b


def _test(
    section: SectionData, values: csr_matrix, is_a: np.ndarray, is_b: np.ndarray
) -> GenePairs:
    return gene_pair_tests(values, find_contacts(section.xy, is_a, is_b))


def _shuffled(
    section: SectionData,
    values: csr_matrix,
    is_a: np.ndarray,
    is_b: np.ndarray,
    width: float,
    random: np.random.Generator,
) -> csr_matrix:
    """Profiles exchanged within type and within squares of ``width``."""
    order = np.arange(section.n_cells)
    cell = np.floor((section.xy - section.xy.min(axis=0)) / width).astype(np.int64)
    _, square = np.unique(cell, axis=0, return_inverse=True)
    for own in (is_a, is_b):
        rows = np.flatnonzero(own)
        for block in np.unique(square.ravel()[rows]):
            at = rows[square.ravel()[rows] == block]
            order[at] = random.permutation(at)
    return csr_matrix(values[order])


def timing(folder: Path, sets: list[str], embed: Embed | None) -> None:
    """Print seconds for all gene pairs of two types."""
    say("| set | contacts | gene pairs | seconds | called at 5 % | spill p |")
    say("| --- | --- | --- | --- | --- | --- |")
    for name in sets:
        section, values, is_a, is_b = _two_types(folder, name, 0)
        took = []
        for _ in range(3):
            started = time.perf_counter()
            contacts = find_contacts(section.xy, is_a, is_b)
            found = gene_pair_tests(values, contacts)
            took.append(time.perf_counter() - started)
        say(
            f"| {name} | {contacts.count} | {found.z.size} | {np.median(took):.2f} | "
            f"{int((found.q < 0.05).sum())} | {_spill_p(section, values, is_a, is_b)} |"
        )


def null(folder: Path, sets: list[str], embed: Embed | None) -> None:
    """Print the share of shuffled sections with any finding at 5 %, 60 draws per width."""
    say("| set | width um | sections with a finding | spill warned |")
    say("| --- | --- | --- | --- |")
    for name in sets:
        section, values, is_a, is_b = _two_types(folder, name, 0)
        for width in (60.0, 100.0):
            any_found, warned = 0, 0
            for seed in NULLS:
                mixed = _shuffled(section, values, is_a, is_b, width, np.random.default_rng(seed))
                found = _test(section, mixed, is_a, is_b)
                any_found += bool((found.q < 0.05).any())
                warned += _warned(section, mixed, is_a, is_b)
            say(f"| {name} | {width:g} | {any_found / 60:.3f} | {warned / 60:.3f} |")


def _warned(section: SectionData, values: csr_matrix, is_a: np.ndarray, is_b: np.ndarray) -> bool:
    found = spill_test(values, section.xy, is_a, is_b)
    return found is not None and found.warns


def _spill_p(section: SectionData, values: csr_matrix, is_a: np.ndarray, is_b: np.ndarray) -> str:
    found = spill_test(values, section.xy, is_a, is_b)
    return "too few adjoin" if found is None else f"{found.p:.1g}"


def power(folder: Path, sets: list[str], embed: Embed | None) -> None:
    """Print the rank of one planted pair in ten seeds, by risk ratio."""
    say("| set | risk ratio | called at 5 % | ranked first | median rank |")
    say("| --- | --- | --- | --- | --- |")
    for name in sets:
        section, values, is_a, is_b = _two_types(folder, name, 0)
        for odds in (3.0, 6.0, 12.0, 30.0):
            ranks, calls, ratios = [], 0, []
            for seed in range(1000, 1010):
                random = np.random.default_rng(seed)
                mixed = _shuffled(section, values, is_a, is_b, 100.0, random)
                planted, g, h, ratio = _planted(section, mixed, is_a, is_b, odds, random)
                found = _test(section, planted, is_a, is_b)
                at = (
                    int(np.flatnonzero(found.genes_a == g)[0]),
                    int(np.flatnonzero(found.genes_b == h)[0]),
                )
                ranks.append(int((found.p < found.p[at]).sum()) + 1)
                calls += bool(found.q[at] < 0.05)
                ratios.append(ratio)
            say(
                f"| {name} | {np.median(ratios):.1f} | {calls}/10 | "
                f"{sum(r == 1 for r in ranks)}/10 | {np.median(ranks):g} |"
            )


def _planted(
    section: SectionData,
    values: csr_matrix,
    is_a: np.ndarray,
    is_b: np.ndarray,
    odds: float,
    random: np.random.Generator,
) -> tuple[csr_matrix, int, int, float]:
    """Re-deal gene g among touching A cells, likelier beside a B that shows h."""
    contacts = find_contacts(section.xy, is_a, is_b)
    shown = values.astype(bool)
    share_a = np.asarray(shown[contacts.a].mean(axis=0)).ravel()
    share_b = np.asarray(shown[contacts.b].mean(axis=0)).ravel()
    able_g = np.flatnonzero((share_a > 0.1) & (share_a < 0.4))
    able_h = np.flatnonzero((share_b > 0.1) & (share_b < 0.4))
    g = int(random.choice(able_g))
    h = int(random.choice(able_h[able_h != g]))
    has = np.asarray(contacts.near @ shown[contacts.b][:, h].toarray().astype(float)).ravel() > 0
    column = values[:, g].toarray().ravel()
    own = column[contacts.a]
    key = random.gumbel(size=len(own)) + np.log(odds) * has
    order = np.argsort(-key)
    dealt = np.zeros_like(own)
    positive = random.permutation(own[own > 0])
    dealt[order[: len(positive)]] = positive
    column[contacts.a] = dealt
    out = values.tolil(copy=True)
    out[:, g] = column[:, None]
    on = dealt > 0
    return csr_matrix(out), g, h, float(on[has].mean() / max(on[~has].mean(), 1e-9))


def spill(folder: Path, sets: list[str], embed: Embed | None) -> None:
    """Print how often spilled counts are warned of, 20 shuffled sections per share."""
    say("| set | share spilled | warned | sections with a finding | findings not flagged |")
    say("| --- | --- | --- | --- | --- |")
    for name in sets:
        section, _, is_a, is_b = _two_types(folder, name, 0)
        near = cell_graph(section.xy, 15.0)
        for share in (0.0, 0.02, 0.05, 0.1, 0.2):
            warned, any_found, same = 0, 0, 0
            for seed in range(20):
                random = np.random.default_rng(seed)
                counts = _shuffled(section, section.counts, is_a, is_b, 100.0, random)
                more = csr_matrix(near @ counts)
                more.data = random.poisson(share * more.data).astype(np.float32)
                own = replace(section, counts=csr_matrix(counts + more))
                values = normalised(own.counts, own.is_counts)
                found = _test(own, values, is_a, is_b)
                warned += _warned(own, values, is_a, is_b)
                hits = found.q < 0.05
                any_found += bool(hits.any())
                twins = found.genes_a[:, None] == found.genes_b[None, :]
                same += bool((hits & ~twins).any())
            say(f"| {name} | {share:g} | {warned}/20 | {any_found}/20 | {same}/20 |")


PARTS = {"auc": auc, "probe": probe, "time": timing, "null": null, "power": power, "spill": spill}


def say(line: str) -> None:
    """Write one line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("folder", type=Path, metavar="DATASETS")
    parser.add_argument("--sets", default=",".join(FILES))
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--bilinear", action="store_true", help="auc: also the second head, slow")
    args = parser.parse_args()
    sets, embed = args.sets.split(","), _embedder(args.checkpoint)
    if args.part == "auc":
        auc(args.folder, sets, embed, args.bilinear)
    else:
        PARTS[args.part](args.folder, sets, embed)


def _embedder(checkpoint: Path | None) -> Embed | None:
    if checkpoint is None:
        return None
    from backend.models.spatialformer.transformer.keep import load_pretrained
    from backend.models.spatialformer.transformer.score import embed_cells, read_cells

    pretrained = load_pretrained(checkpoint)
    return lambda section: embed_cells(
        pretrained, read_cells(pretrained, csr_matrix(section.counts), section.genes, {})
    )


if __name__ == "__main__":
    main()

"""What must be reached, each target beside the figure and the floor of this run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from backend.cli.bench_rows import Row

#: Cells from which targets of whole passes over the embeddings mean something.
MANY = 5_000_000


class Verdict(NamedTuple):
    """One line of the table; ``reached`` is None where nothing was measured here."""

    figure: str
    target: str
    measured: str
    reached: bool | None

    @property
    def word(self) -> str:
        """What is printed of it."""
        return {True: "reached", False: "missed", None: "not measured"}[self.reached]


def verdicts(rows: list[Row], n_cells: int) -> list[Verdict]:
    """Return all targets in the order of the task."""
    planes = list(dict.fromkeys(r["plane"] for r in rows if "plane" in r))
    found = [verdict for plane in planes for verdict in _of_plane(rows, plane)]
    if not any(plane.startswith("layout") for plane in planes):
        found.append(Verdict("UMAP plane", "the same targets", "the atlas has none", None))
    found += [_brute(rows, n_cells), _screen(rows)]
    found += [*_http(rows), _value(rows, "repeat", "repeat view", "no request", 0.0)]
    found.append(
        Verdict(
            "first paint of a viewport in the browser, no blank frame",
            "< 250 ms, lit >= 0.7",
            "python -m tests.benchmarks.bench_browser",
            None,
        )
    )
    found.append(_job(rows))
    found.append(_value(rows, "memory", "private memory per worker", "<= 150 MB", 150.0))
    found.append(_ratio(rows, "sort", "Morton sort and gather / torch.sort", "<= 5", 5.0))
    pyramid = _ratio(rows, "pyramid", "pyramid / one read of the embeddings", "<= 15", 15.0)
    found.append(pyramid if n_cells >= MANY else _not_meant(pyramid))
    found.append(_ratio(rows, "png", "PNG / PIL RGBA level 1", "<= 1/20", 1 / 20))
    return found


def _of_plane(rows: list[Row], plane: str) -> Iterator[Verdict]:
    """Yield the targets of tiles drawn in process."""
    own = [r for r in rows if r.get("plane") == plane]
    for kind in ("label", "measured", "imputed"):
        worst = [r for r in own if r["kind"] == kind]
        if worst:
            row = max(worst, key=lambda r: float(r["p95_ms"]))
            text = f"{row['p95_ms']:.1f} ms ({row['part']})"
            reached = row["p95_ms"] <= 10
            yield Verdict(f"{plane}: uncached {kind} tile, p95", "<= 10 ms", text, reached)
    for kind, part, most, of in (
        ("label", "overview", 10, "copying its bins' embeddings"),
        ("label", "dense deep", 15, "reading its codes and labels"),
        ("label", "sparse deep", 15, "reading its codes and labels"),
        ("imputed", "dense deep", 15, "reading its embeddings"),
    ):
        for row in own:
            if (row["kind"], row["part"]) == (kind, part):
                text = (
                    f"{row['ratio']:.1f} ({row['p50_ms']:.2f} / {row['floor_p50_ms']:.3f} ms); "
                    f"a bare copy of its rows: {row['strict_ratio']:.0f}"
                )
                name = f"{plane}: {part} {kind} tile / {of}"
                yield Verdict(name, f"<= {most}", text, row["ratio"] <= most)


def _brute(rows: list[Row], n_cells: int) -> Verdict:
    found = [r for r in rows if r.get("what") == "brute"]
    name, target = "imputed overview tile / brute force", "<= 1/70"
    if not found:
        return Verdict(name, target, "no embedding", None)
    worst = max(found, key=lambda r: float(r["ratio"]))
    text = f"{_fraction(worst['ratio'])} ({worst['p50_ms']:.2f} / {worst['floor_p50_ms']:.1f} ms)"
    verdict = Verdict(name, target, text, worst["ratio"] <= 1 / 70)
    return verdict if n_cells >= MANY else _not_meant(verdict)


def _not_meant(verdict: Verdict) -> Verdict:
    """Return a verdict on an atlas that is too small for its target to mean anything."""
    text = f"{verdict.measured}; meant from {MANY:,} cells"
    return verdict._replace(measured=text, reached=None)


def _screen(rows: list[Row]) -> Verdict:
    found = [r for r in rows if r.get("what") == "screen"]
    name = "same screen, this atlas / the small one"
    if not found:
        return Verdict(name, "<= 1.5", "give --beside SMALL.zarr", None)
    text = ", ".join(f"{r['ratio']:.2f}" for r in found)
    return Verdict(name, "<= 1.5", text, max(r["ratio"] for r in found) <= 1.5)


def _http(rows: list[Row]) -> Iterator[Verdict]:
    for row in (r for r in rows if r.get("what") == "http"):
        name = f"HTTP, {row['clients']} clients, {row['kind']}"
        if row["clients"] == 1:
            text = f"{row['ratio']:.1f} ({row['p50_ms']:.2f} / {row['floor_p50_ms']:.2f} ms)"
            title = f"{name}: p50 / constant reply"
            yield Verdict(title, "<= 3", text, row["ratio"] <= 3)
            continue
        if row["kind"] != "measured":
            speed, reached = f"{row['per_second']:.0f}/s", row["per_second"] >= 700
            yield Verdict(f"{name}: tiles per second", ">= 700/s", speed, reached)
        text = f"{row['ratio_p95']:.1f} ({row['p95_ms']:.1f} / {row['floor_p95_ms']:.1f} ms)"
        yield Verdict(f"{name}: p95 / constant reply", "<= 8", text, row["ratio_p95"] <= 8)


def _job(rows: list[Row]) -> Verdict:
    found = [r for r in rows if r.get("what") == "job"]
    name = "tile p95 while a network trains / without"
    if not found:
        return Verdict(name, "<= 2", "torch is not installed", None)
    text = ", ".join(f"{r['kind']} {r['ratio_p95']:.2f}" for r in found)
    return Verdict(name, "<= 2", text, max(r["ratio_p95"] for r in found) <= 2)


def _ratio(rows: list[Row], what: str, name: str, target: str, most: float) -> Verdict:
    return _one(rows, what, name, target, lambda r: (_fraction(r["ratio"]), r["ratio"] <= most))


def _value(rows: list[Row], what: str, name: str, target: str, most: float) -> Verdict:
    def judge(row: Row) -> tuple[str, bool]:
        return f"{row['value']:.0f} {row['unit']}", row["value"] <= most

    return _one(rows, what, name, target, judge)


def _one(
    rows: list[Row], what: str, name: str, target: str, judge: Callable[[Row], tuple[str, bool]]
) -> Verdict:
    row = next((r for r in rows if r.get("what") == what), None)
    if row is None:
        return Verdict(name, target, "", None)
    return Verdict(name, target, *judge(row))


def _fraction(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio >= 0.1 else f"1/{1 / ratio:.0f}"


def table(found: list[Verdict]) -> list[str]:
    """Return the verdicts as lines of text."""
    head = f"{'target':76s} {'asked':>20s}  {'':12s} measured"
    return [head, *(f"{v.figure:76s} {v.target:>20s}  {v.word:12s} {v.measured}" for v in found)]


def markdown(found: list[Verdict]) -> list[str]:
    """Return the verdicts as lines of a Markdown table."""
    head = ["| figure | target | measured | |", "|---|---|---|---|"]
    return [*head, *(f"| {v.figure} | {v.target} | {v.measured} | {v.word} |" for v in found)]

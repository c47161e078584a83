"""Rows of the bench's table: medians and 95th percentiles beside floors of the same run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

Row = dict[str, Any]
Act = Callable[[], object]

#: Times that an act and its floor are measured in turns; the best of each is compared.
TURNS = 5


def timed(act: Act) -> float:
    """Return the milliseconds that an act takes."""
    start = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - start)


def in_turns(acts: list[Act], turns: int = TURNS) -> list[list[float]]:
    """Return the milliseconds of acts measured in turns, by act."""
    rounds = [[timed(act) for act in acts] for _ in range(turns)]
    return [list(times) for times in zip(*rounds, strict=True)]


def row(name: str, times: list[float], floors: list[float] | None = None, **more: Any) -> Row:
    """Return the row of one figure; its ratio is that of the medians."""
    found: Row = {
        "name": name,
        "p50_ms": float(np.median(times)),
        "p95_ms": float(np.percentile(times, 95)),
        "n": len(times),
        **more,
    }
    if floors:
        floor = float(np.median(floors))
        found |= {"floor_p50_ms": floor, "ratio": found["p50_ms"] / max(floor, 1e-6)}
    return found


def table(rows: list[Row]) -> list[str]:
    """Return all figures as lines of text; times are milliseconds."""
    head = (
        f"{'':78s} {'p50':>8s} {'p95':>8s} {'floor':>8s} {'ratio':>8s} {'strict':>8s} {'per s':>7s}"
    )
    return [f"{'':78s} {head}", *map(_line, rows)]


def _line(found: Row) -> str:
    if "p50_ms" not in found:
        return f"{found['name']:78s} {found['value']:8.2f} {found['unit']}"
    cells = [
        f"{found[name]:{width}.{digits}f}" if found.get(name) is not None else " " * width
        for name, width, digits in (
            ("p50_ms", 8, 2),
            ("p95_ms", 8, 2),
            ("floor_p50_ms", 8, 3),
            ("ratio", 8, 2 if found.get("ratio", 1) >= 0.1 else 4),
            ("strict_ratio", 8, 1),
            ("per_second", 8, 0),
        )
    ]
    return f"{found['name'][:78]:78s} {' '.join(cells)}".rstrip()


def markdown(rows: list[Row]) -> list[str]:
    """Return all figures as lines of a Markdown table."""
    names = ("p50_ms", "p95_ms", "floor_p50_ms", "ratio", "strict_ratio", "per_second")
    lines = [
        "| figure | p50 ms | p95 ms | floor p50 ms | ratio | strict | per s |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for found in rows:
        if "p50_ms" not in found:
            lines.append(f"| {found['name']} | {found['value']:.0f} {found['unit']} | | | | | |")
            continue
        cells = ["" if found.get(name) is None else _short(found[name]) for name in names]
        lines.append(f"| {found['name']} | {' | '.join(cells)} |")
    return lines


def _short(value: float) -> str:
    """Return three significant digits, and no fraction from a hundred on."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"

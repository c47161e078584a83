"""Where one is in a result of factors: what ``using`` in the link says after the job."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

#: Parts of a result, and what each is called.
PARTS = (
    ("gallery", "Gallery"),
    ("factor", "One factor"),
    ("compare", "Compare two"),
    ("stack", "Stack"),
    ("trust", "Trust"),
    ("reading", "How to read"),
)
#: By what genes of a program are listed.
GENES = ("specific", "large")


@dataclass(frozen=True, slots=True)
class FactorsAt:
    """Where one is.

    Parameters
    ----------
    job : str
    part : str
        One of ``PARTS``.
    section : int
        Number of the section in the figures; -1 for all.
    a, b : int
        Numbers of the factors that are looked at and compared.
    most : int
        Upper end of the shared range in hundredths; 0 for that of the run.
    genes : "specific" or "large"
    """

    job: str = ""
    part: str = PARTS[0][0]
    section: int = 0
    a: int = 0
    b: int = 1
    most: int = 0
    genes: str = "specific"


def parse_at(using: str) -> FactorsAt:
    """Return where a link says one is; what cannot be read is left at its default."""
    plain = FactorsAt()
    texts = [*using.split(","), *[""] * len(fields(FactorsAt))]
    job, part, section, a, b, most, genes = texts[: len(fields(FactorsAt))]
    return FactorsAt(
        job,
        part if part in {name for name, _ in PARTS} else plain.part,
        _number(section, plain.section),
        _number(a, plain.a),
        _number(b, plain.b),
        _number(most, plain.most),
        genes if genes in GENES else plain.genes,
    )


def _number(text: str, default: int) -> int:
    is_number = text.isascii() and text.removeprefix("-").isdigit() and len(text) < 6
    return int(text) if is_number else default


def write_at(at: FactorsAt, **changes: Any) -> str:
    """Return the text of the link for a place, with some of it changed."""
    values = [getattr(replace(at, **changes), f.name) for f in fields(FactorsAt)]
    return ",".join(map(str, values))

"""The state of the enhance tool in a link, and the parts of its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Parts of a result, and what each is called.
PARTS = (
    ("genes", "Before and after"),
    ("table", "Genes"),
    ("checks", "Checks"),
    ("domains", "Domains"),
    ("maps", "Maps"),
    ("reading", "How to read"),
)
#: Change of deviance above which a gene is as good by interpolation.
AS_GOOD = -0.02
#: Genes among which the first to be shown is chosen: the most abundant.
ABUNDANT = 60


@dataclass(frozen=True, slots=True)
class EnhanceAt:
    """State of the tool in a link: a job, the part of its result, a gene."""

    job: str = ""
    part: str = PARTS[0][0]
    gene: str = ""


def parse_at(using: str) -> EnhanceAt:
    """Return the state of a link; what cannot be read is left at its default."""
    job, _, rest = using.partition(",")
    part, _, gene = rest.partition(",")
    known = {name for name, _ in PARTS}
    return EnhanceAt(job, part if part in known else PARTS[0][0], gene)


def write_at(at: EnhanceAt) -> str:
    """Return the link text of a state."""
    return f"{at.job},{at.part},{at.gene}" if at.gene else f"{at.job},{at.part}"


def first_gene(genes: Sequence[Mapping[str, Any]]) -> str:
    """Return the gene that gains most among the abundant ones; the commonest where none was tried.

    Parameters
    ----------
    genes : sequence of mapping
        Most abundant first.
    """
    tried = [g for g in genes[:ABUNDANT] if g["gain"] is not None]
    best = min(tried, key=lambda g: g["gain"]) if tried else genes[0]
    return str(best["gene"])


def is_as_good(gene: Mapping[str, Any]) -> bool:
    """Return whether interpolation does as well for a gene, or nothing is known of it."""
    return gene["gain"] is None or gene["gain"] > AS_GOOD

"""The state of the interactions tool in a link: a job, a part of its result, a gene pair."""

from __future__ import annotations

from dataclasses import dataclass

#: Parts of a result of each verb, and what each is called.
PARTNER_PARTS = (("partners", "Partners"), ("matrix", "By type"), ("trust", "How far to trust it"))
GENE_PARTS = (("volcano", "Volcano"), ("network", "Network"), ("table", "Gene pairs"))
PARTS = tuple(name for name, _ in (*PARTNER_PARTS, *GENE_PARTS))


@dataclass(frozen=True, slots=True)
class InteractionsAt:
    """What is shown: nothing but the form where ``job`` is empty."""

    job: str = ""
    part: str = ""
    genes: tuple[str, str] | None = None


def parse_at(using: str) -> InteractionsAt:
    """Return the state of a link; what cannot be read is left at its default."""
    job, *parts = using.split(",")
    given = dict(part.partition("=")[::2] for part in parts)
    genes = given.get("genes", "").split("~")
    return InteractionsAt(
        job,
        given.get("show", "") if given.get("show") in PARTS else "",
        (genes[0], genes[1]) if len(genes) == 2 and all(genes) else None,
    )


def write_at(at: InteractionsAt) -> str:
    """Return the state as a link holds it; undoes ``parse_at``."""
    parts = [
        at.job,
        f"show={at.part}" if at.part else "",
        f"genes={at.genes[0]}~{at.genes[1]}" if at.genes else "",
    ]
    return ",".join(part for k, part in enumerate(parts) if part or not k)

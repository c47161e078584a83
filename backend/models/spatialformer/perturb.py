"""The verb ``perturb``: which gene pairs go together where two types touch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Label, Provenance, SectionData, TaskResult
from backend.core.errors import BadRequest
from backend.core.job import RunContext
from backend.models.common.prep import normalised
from backend.models.spatialformer.asked import plain, refuse_unusable, two_types
from backend.models.spatialformer.card import CARD, HOW_TO_READ
from backend.models.spatialformer.forward_figures import forward_figures
from backend.models.spatialformer.gene_pair_list import LISTED, listed_rows
from backend.models.spatialformer.genepairs import GenePairs, gene_pair_tests
from backend.models.spatialformer.spill import Spill, spill_suspects, spill_test
from backend.models.spatialformer.transformer.keep import Pretrained
from backend.models.spatialformer.type_contacts import find_contacts

RATE = 0.05


@dataclass(frozen=True, slots=True)
class PerturbParams:
    """What to test: two types by name, the radius of a contact, the false discovery rate.

    ``forward`` also removes genes from cells and asks the transformer, which takes a minute.
    """

    a: str = ""
    b: str = ""
    radius_um: float = 30.0
    rate: float = RATE
    forward: bool = False


def perturb(
    section: SectionData,
    label: Label,
    inside: NDArray[np.bool_],
    params: PerturbParams,
    ctx: RunContext,
    is_pair: Callable[[str, str], bool] | None = None,
    pretrained: Pretrained | None = None,
) -> TaskResult:
    """Return the test of every gene pair of two types where their cells touch.

    Parameters
    ----------
    section : SectionData
    label : Label
        Types of its cells.
    inside : (n,) bool
        Cells of the region.
    params : PerturbParams
    ctx : RunContext
    is_pair : callable (str, str) -> bool, optional
        Whether two genes are a ligand and its receptor, in either order.
    pretrained : Pretrained, optional
        The transformer of ``params.forward``.

    Raises
    ------
    BadRequest
        If a type is missing, all faults at once; or no transformer for ``forward``.
    NoSharedGenes
        If the transformer knows no gene of the section.
    TooFewCells
        Saying how many contacts there are and how many are needed.
    """
    refuse_unusable(section)
    codes = np.asarray(label.codes, dtype=np.int64)
    a, b = two_types(label, codes[inside], (params.a, params.b))
    if params.forward and pretrained is None:
        raise BadRequest(
            "There is no trained transformer for forward perturbation.",
            "Train one with: python -m backend spatialformer train, or leave it out.",
        )
    started = time.perf_counter()
    ctx.step(0.05, "Finding contacts")
    rows_a, rows_b = (np.flatnonzero(inside & (codes == c)) for c in (a, b))
    contacts = find_contacts(section.xy, inside & (codes == a), inside & (codes == b),
                             params.radius_um)  # fmt: skip
    values = normalised(section.counts, section.is_counts)
    ctx.step(0.15, "Testing gene pairs")
    clock = time.perf_counter()
    found = gene_pair_tests(values, contacts, same_type=a == b)
    took = time.perf_counter() - clock
    spill = spill_test(values, section.xy, inside & (codes == a), inside & (codes == b))
    suspects = spill_suspects(values, found, rows_a, rows_b)
    ctx.step(0.4, "Listing gene pairs")
    rows, n_pairs = listed_rows(section.genes, found, suspects, is_pair, params.rate)
    forward = None
    if params.forward and pretrained is not None:
        forward = forward_figures(section, contacts, rows, pretrained, ctx.part(0.4, 1.0))
    called = found.q < params.rate
    figures = {
        "a": label.categories[a].name,
        "b": label.categories[b].name,
        "radius_um": params.radius_um,
        "n_contacts": contacts.count,
        "n_cells_a": len(contacts.a),
        "n_cells_b": int(len(np.unique(contacts.near.indices))),
        "n_tested": int(found.z.size),
        "n_called": int(called.sum()),
        "n_called_clean": int((called & ~suspects).sum()),
        "n_ligand_receptor": n_pairs,
        "rate": params.rate,
        "rows": rows,
        "network": [r for r in rows if r["q"] < params.rate],
        "spill": {
            **(spill._asdict() if spill else {}),
            "tested": spill is not None,
            "warns": spill is not None and spill.warns,
            "said": _spill_words(spill),
        },
        "forward": forward,
        "warnings": _pair_warnings(spill, found),
        "how_to_read": {k: HOW_TO_READ[k] for k in ("effect", "q")},
        "seconds": {"test": round(took, 3), "all": round(time.perf_counter() - started, 3)},
    }
    made = Provenance(CARD.name, CARD.version, asdict(params), ctx.seed, (section.id,))
    return TaskResult(figures=plain(figures), provenance=made)


def _spill_words(spill: Spill | None) -> str:
    if spill is None:
        return "Too few cells of the two types adjoin (15 µm) to test for spilled transcripts."
    if not spill.warns:
        return f"No sign of spilled transcripts (p {spill.p:.2g}, {spill.n} genes on both sides)."
    return (
        f"Between adjacent cells pairs of one gene go together more than others (mean z "
        f"{spill.same:.1f} against "
        f"{spill.other:.1f}, p {spill.p:.1g}): transcripts may have spilled over between "
        "neighbours, which permutation does not remove. Check the segmentation."
    )


def _pair_warnings(spill: Spill | None, found: GenePairs) -> list[str]:
    out = [_spill_words(spill)] if spill is None or spill.warns else []
    if found.z.size > LISTED:
        out.append(f"Of {found.z.size:,} gene pairs the {LISTED:,} with the least p are listed.")
    return out

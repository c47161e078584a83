"""Every number of the published procedure, and its known peculiarities as named options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backend.core.errors import BadRequest

Encoder = Literal["attention", "linear"]

#: Added to a rate, and to a mean proportion, before its logarithm.
FLOOR = 1e-6
#: Scores of critics beyond this are cut.
SCORE_LIMIT = 50.0
#: Concentration of the Dirichlet on mean proportions.
CONCENTRATION = 5.0
#: Cells per section of the tutorials, which the weight of the geometry term belongs to.
REFERENCE_CELLS = 2048
#: Divisor of the published mean proportion, in batches, whatever the number of sections.
PUBLISHED_SECTIONS = 4


@dataclass(frozen=True, slots=True)
class Settings:
    """The published defaults; those that have none there are marked.

    Parameters
    ----------
    encoder : "attention" or "linear"
        Attention over neighbours, all cells at every step (for spots); or neighbours averaged once
        beforehand, and batches (for many cells).
    factors : int
        K; no published default.
    latent, hidden, section : int
        Widths of the embedding, of the hidden layers, of the embedding of a section.
    steps : int
        No default in code; 10,000 in the tutorials.
    batch : int
        Cells per section and step, drawn with replacement; linear encoder only.
    hops : int
        Times that neighbours are averaged, linear encoder only.
    learning_rate, weight_decay : float
        Of both optimisers.
    margin : float
        Scores of critics beyond it have no gradient, so that cells of one section alone are not
        pulled over; infinite for the authors' option without margin.
    warm_up : int
        Last step, from 0, without the margin: "step <= 100" is 101 steps.
    rebuilt, likelihood, geometry, dirichlet, adversary : float
        Weights of the terms of the loss.
    critics : "chain" or "pairs"
        Section i against i + 1, or every pair, rescaled to the sum of a chain.
    geometry_scale : "sum" or "mean"
        As published the term is a sum over the other cells and grows with their number; "mean"
        is what the sum would be for 2,048 cells per section, whatever their number.
    published_divisor : bool
        As published for the linear encoder, the mean proportion divides by four sections always.
        For other numbers of sections that shifts the loss, hardly its gradient.
    section_in_factors : bool
        Let the proportions see the section ("different platforms"); linear encoder only.
    """

    encoder: Encoder = "linear"
    factors: int = 20
    latent: int = 32
    hidden: int = 512
    section: int = 4
    steps: int = 10_000
    batch: int = 2048
    hops: int = 1
    learning_rate: float = 5e-4
    weight_decay: float = 1e-4
    margin: float = 5.0
    warm_up: int = 100
    rebuilt: float = 1.0
    likelihood: float = 1.0
    geometry: float = 0.02
    dirichlet: float = 1.0
    adversary: float = 1.0
    critics: Literal["chain", "pairs"] = "chain"
    geometry_scale: Literal["sum", "mean"] = "sum"
    published_divisor: bool = False
    section_in_factors: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that no run could have."""
        for name in ("factors", "latent", "hidden", "section", "steps", "batch"):
            if getattr(self, name) < 1:
                raise BadRequest(f"{name} is {getattr(self, name)}.", "Give 1 or more.")
        if self.factors < 2:
            raise BadRequest("One factor is the mean profile.", "Give two or more factors.")
        if self.hops < 0 or self.margin <= 0:
            raise BadRequest(
                f"hops is {self.hops} and margin {self.margin}.",
                "Give hops from 0 and a margin above 0.",
            )
        if self.section_in_factors and self.encoder == "attention":
            raise BadRequest(
                "Proportions see the section with the linear encoder only.",
                "Use encoder 'linear', or leave section_in_factors off.",
            )

    def margin_at(self, step: int) -> float:
        """Return where scores are cut at ``step``, counted from 0."""
        return min(self.margin, SCORE_LIMIT) if step > self.warm_up else SCORE_LIMIT


@dataclass(frozen=True, slots=True)
class Preparing:
    """How sections are filtered and their graphs made; the code has no defaults for most.

    Parameters
    ----------
    variable : int
        Most variable genes that each section offers; the genes used are in all sections' offers.
    least_genes, least_cells : int
        Genes that a cell shows at least, then cells that show a gene.
    shared_first : bool
        Intersect the panels before anything else, for small panels; cells are then scaled to 1,000
        counts, else to 10,000.
    radius : float or None
        Cells nearer than this are neighbours, in the unit of the sections.
    radius_factor : float
        Where ``radius`` is None: times the smallest distance within the first section.
    allow_isolated : bool
        As published, a cell without neighbours is its own; else it is refused.
    """

    variable: int = 6_000
    least_genes: int = 50
    least_cells: int = 50
    shared_first: bool = False
    radius: float | None = None
    radius_factor: float = 1.1
    allow_isolated: bool = False

    @property
    def target(self) -> float:
        """Counts that every cell is scaled to."""
        return 1e3 if self.shared_first else 1e4

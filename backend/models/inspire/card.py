"""What the model is and can do, and how to read what it says; free of torch."""

from __future__ import annotations

from backend.core.card import ModelCard, Verb

CARD = ModelCard(
    name="inspire",
    title="INSPIRE (default mode: Poisson factors over the union of genes, fitted by EM)",
    version="1.0",
    citation=(
        "Zhao J. et al., Interpretable, flexible and spatially aware integration of multiple "
        "spatial transcriptomics datasets from diverse sources, Nat Genet 58, 1138 (2026). The "
        "factor head with section-by-gene offsets is theirs; the fit without networks, the union "
        "of genes, the graph prior and the gamma noise are ours."
    ),
    verbs=(
        Verb(
            "integrate_sections",
            "Spatial factors and gene programs",
            "Find factors that many sections share or that only some have, their proportions in "
            "every cell or spot, their gene programs, and domains.",
            ("factor:*", "label:domain", "score:uncertainty", "imputed:*"),
            {"factors": 0, "domains": 0, "seed": 0},
        ),
    ),
)

#: One sentence on each figure: what it is and how to read it.
HOW_TO_READ: dict[str, str] = {
    "factor": (
        "Factor: the share of a cell's counts that come from one gene program; shares of a cell "
        "add up to 1."
    ),
    "present": (
        "Present: the strongest cells of a section reach 40 % of those of the section where the "
        "factor is strongest. A factor of one section alone may be a difference of handling: it "
        "is biology only where replicates show it."
    ),
    "stability": (
        "Stability: how well a factor comes again when it is fitted to half of the counts (the "
        "smaller r of two halves); below 0.8 do not build on it."
    ),
    "specific": (
        "Specific genes: those that a program has much of and the other programs little; large "
        "genes alone are often everywhere."
    ),
    "scale": (
        "Scale: what a section shows of a gene beyond its programs. A factor that is spread evenly "
        "over one whole section cannot be told from such scales; look at the largest."
    ),
    "domain": (
        "Domain: of cells, places with one mixture of cell types, found with neighbours; how "
        "smooth, and how much neighbours weigh, is what foretells the counts of neighbours best. "
        "Of spots, which hold many cells, what foretells held-out genes of the spot best."
    ),
    "gain": (
        "Gain: how much likelier a held-out count is than under the mean profile of its section, "
        "in nats per count."
    ),
}

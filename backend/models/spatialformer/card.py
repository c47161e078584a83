"""What the default mode is and can do, and how to read what it says; free of torch."""

from __future__ import annotations

from backend.core.card import ModelCard, Verb

CARD = ModelCard(
    name="spatialformer",
    title="SpatialFormer (default mode: symmetric pair model, block-tested gene pairs)",
    version="1.0",
    citation=(
        "SpatialFormer, bioRxiv v2 (February 2025). The pair task, its negatives, niche "
        "composition and gene-pair perturbation are theirs; the logistic pair model with predicted "
        "niches, the closed form and its block permutation are ours."
    ),
    verbs=(
        Verb(
            "colocalise",
            "Predict partners",
            "From expression alone, which cells are likely neighbours of the chosen ones, which "
            "types lie beside which, and how far that can be trusted.",
            ("score:partner", "score:niche divergence", "weight:niche *"),
            {"label": "label:type", "radius_um": 30.0},
        ),
        Verb(
            "perturb",
            "Test gene pairs",
            "Which gene of one type goes with which gene of another where the two touch.",
            (),
            {"label": "label:type", "a": "", "b": "", "table": "", "radius_um": 30.0},
        ),
    ),
)

#: One sentence on each figure.
HOW_TO_READ: dict[str, str] = {
    "partner": (
        "Partner: the chance that a cell lies within the radius of the chosen ones rather than "
        "80 µm or more away, were both as likely; from expression only, so it holds for "
        "dissociated cells too."
    ),
    "auc": (
        "AUC: the chance that neighbours score higher than cells 80-150 µm apart (hard) or farther "
        "(easy), on stripes of tissue that were not learnt from; .5 is chance."
    ),
    "within": (
        "Within pairs: the same among pairs of the same two clusters, where frequencies of types "
        "know nothing."
    ),
    "effect": (
        "Effect: by how much removing both genes lowers the score beyond removing each by itself; "
        "standardised, decorrelated, and not what is tested."
    ),
    "q": (
        "q: against exchanges of the contacting cells within 150 µm blocks, adjusted over all "
        "pairs; it says what goes together, not what causes what."
    ),
}

#: Said beside every result of short distances.
SHORT = (
    "At 10 µm the plain cosine of components is as good: adjacent cells share spilled or "
    "misassigned transcripts, so that figure is no biology."
)

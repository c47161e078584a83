"""What the model is and can do, and how to read what it says."""

from __future__ import annotations

from backend.core.card import ModelCard, Verb

CARD = ModelCard(
    name="soscope",
    title="soScope (default mode: area-to-point kriging with an image kernel)",
    version="1.0",
    citation=(
        "Li B. et al., High-resolution spatial omics by soScope, Nat Commun 15, 6541 (2024). The "
        "task, the layouts and image likeness are theirs; the closed form, the evidence for the "
        "image, the two scales and the self-merge check are ours."
    ),
    verbs=(
        Verb(
            "enhance",
            "Subspots between spots",
            "Estimate the expression of the parts of every spot, with the tissue image where it "
            "helps, beside what plain interpolation gives.",
            ("measured:*", "label:domain", "score:*"),
            {"factor": 2, "shape": "", "genes": 0, "check": True, "mode": "default"},
        ),
    ),
)

#: One sentence on each figure: what it is and how to read it.
HOW_TO_READ: dict[str, str] = {
    "rate": (
        "Expected expression of a subspot: an estimate, not a measurement; its sums over a spot "
        "are close to the spot's counts but not equal, since the counts carry noise."
    ),
    "split": (
        "Counts of a spot shared out among its subspots: the sums are those measured, noise "
        "included; for accounting and for tests by merging."
    ),
    "uncertainty": (
        "Uncertainty of a subspot: the share of the variation between spots that remains unknown; "
        "0 is known exactly, 1 not at all."
    ),
    "gain": (
        "Expected gain: spots are merged, recovered and compared with what was measured; below "
        "zero the model is closer than bilinear interpolation rescaled to the sum of the spot. It "
        "overstates: without an image about 1.3 % of deviance is truly gained."
    ),
    "gate": (
        "Evidence for the image, 0 to 1. The image is used from .85, if none of 19 controls (the "
        "same image turned, mirrored, moved, shuffled between spots) fits the counts as well: an "
        "image that tells nothing passes once in 20 times at most."
    ),
    "residual": (
        "Residual of a spot: root mean square of what the model leaves of its counts, in standard "
        "deviations expected; far above 1 the spot is unlike its neighbours."
    ),
    "recovered": (
        "Recovered: spots were merged and recovered, and the truth is known; by how much the "
        "deviance of each spot changes against interpolation rescaled to the sums. Above zero "
        "interpolation is closer there."
    ),
    "detail": (
        "Detail: how far a subspot is from the mean of its spot, in standard deviations of "
        "counting, over all genes; 0 is a copy of the spot. No truth is known here: it says where "
        "something was added, not that it is right."
    ),
}

"""What the model is and can do; read by the web process, so free of torch."""

from __future__ import annotations

from backend.core.card import ModelCard, Verb

CARD = ModelCard(
    name="fusemap",
    title="FuseMap (default mode: missing-gene factor model)",
    version="1.0",
    citation=(
        "He Y. et al., Towards a universal spatial molecular atlas of the mouse brain, "
        "bioRxiv 2024.05.27.594872. The linear decoder and the niche are theirs; the encoder is "
        "an exact posterior fitted by EM instead of a trained network."
    ),
    verbs=(
        Verb(
            "train",
            "Train on an atlas",
            "Learn one embedding of all genes of all sections, and classifiers for its labels.",
            ("checkpoint",),
            {"k": None, "iterations": 100, "error": 0.1},
        ),
        Verb(
            "embed",
            "Embed the atlas",
            "Place every cell with expression in the common space; every gene of the atlas can "
            "then be shown in every such section.",
            ("embedding:cell", "embedding:niche", "imputed:*"),
        ),
        Verb(
            "annotate",
            "Annotate my section",
            "Map a new section into the atlas: its types, classes and regions with calibrated "
            "confidence, the most similar atlas sections, and all genes imputed.",
            ("label:*", "confidence:*", "embedding:cell", "embedding:niche", "imputed:*"),
            {"labels": None, "taxonomy": None, "error": None},
        ),
        Verb(
            "impute",
            "Impute genes",
            "Predict genes that a section did not measure, on the log1p-normalised scale.",
            ("imputed:*",),
            {"genes": ()},
        ),
        Verb(
            "harmonise",
            "Harmonise labels",
            "Say which class of one data set is which class of another, level by level.",
            (),
            {"label": ""},
        ),
        Verb(
            "register",
            "Place in common coordinates",
            "Turn, shift and bend sections into the space of a reference or of the corpus.",
            ("space",),
        ),
        Verb(
            "panel",
            "Choose a gene panel",
            "Few genes that tell classes apart, scored on held-out cells beside other ways.",
            (),
            {"genes": 60, "label": "label:type", "way": "embedding"},
        ),
        Verb(
            "contacts",
            "Count cell contacts",
            "Which types touch more, or less, than their surroundings allow by chance.",
            (),
            {"label": "label:type", "region": "", "radius_um": 30.0, "reach_um": 100.0},
        ),
        Verb(
            "ligands",
            "Test ligands and receptors",
            "Which pairs are higher between two types where they touch than where they do not.",
            (),
            {"table": "", "label": "label:type", "a": "", "b": "", "values": "imputed"},
        ),
    ),
)

"""What may be asked for: model, verb, and the parameters that each takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.core.errors import BadRequest

#: (model, verb) -> names of its parameters.
Offers = Mapping[tuple[str, str], tuple[str, ...]]

_CONTACTS = (
    "label", "region", "radius_um", "reach_um", "n_shifts", "null", "tail", "least_contacts",
    "least_cells", "rate", "seed",
)  # fmt: skip
_LIGANDS = (
    "table", "label", "a", "b", "region", "values", "resource", "radius_um", "complexes", "rate",
    "least_cells", "seed",
)  # fmt: skip
_PANEL = (
    "genes", "label", "also", "way", "include", "exclude", "species", "candidates", "panel_of",
    "draws", "seed",
)  # fmt: skip
_FACTORS = ("factors", "domains", "hold", "truth", "checks", "sets", "landmarks", "seed")
_PARTNERS = (
    "label", "radius_um", "polygon", "cell", "cells", "region", "extra", "transformer", "section",
    "seed",
)  # fmt: skip
_GENE_PAIRS = (
    "label", "a", "b", "table", "polygon", "cell", "cells", "region", "radius_um", "rate",
    "forward", "seed",
)  # fmt: skip
_WEIGH = ("clusters", "seeds", "align", "truth", "empty", "seed")
_ENHANCE = (
    "factor", "shape", "genes", "domains", "check", "use_image", "pixels", "scale", "section",
    "mode", "law", "seeds", "features", "seed",
)  # fmt: skip

OFFERS: Offers = {
    ("fusemap", "annotate"): ("labels", "taxonomy", "error", "prefer", "seed"),
    ("fusemap", "register"): ("seed",),
    ("fusemap", "harmonise"): ("label", "seed"),
    ("fusemap", "contacts"): _CONTACTS,
    ("fusemap", "ligands"): _LIGANDS,
    ("fusemap", "panel"): _PANEL,
    ("spatialglue", "integrate_modalities"): _WEIGH,
    ("inspire", "integrate_sections"): _FACTORS,
    ("soscope", "enhance"): _ENHANCE,
    ("spatialformer", "colocalise"): _PARTNERS,
    ("spatialformer", "perturb"): _GENE_PAIRS,
    ("spatialformer", "annotate"): ("sections", "label", "seed"),
}


def check_offered(offers: Offers, model: str, verb: str, params: Mapping[str, Any]) -> None:
    """Raise BadRequest unless the verb is offered and takes these parameters."""
    known = offers.get((model, verb))
    if known is None:
        listed = ", ".join(f"{m} {v}" for m, v in offers)
        raise BadRequest(f"There is no '{model[:40]} {verb[:40]}'.", f"There is {listed}.")
    unknown = sorted(set(params) - set(known))
    if unknown:
        raise BadRequest(
            f"{model} {verb} takes no parameter '{unknown[0][:40]}'.",
            f"It takes {', '.join(known) or 'none'}.",
        )

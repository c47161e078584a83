"""Numbers and kinds in words, as the whole screen writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.core.data import OF_SUBSPOTS
from backend.core.layers import LayerInfo, LayerKey

#: What a job does, before the name of what it does it to.
VERBS = {
    "integrate_modalities": "Weigh modalities of",
    "integrate_sections": "Find factors of",
    "contacts": "Count contacts in",
    "ligands": "Test ligands in",
    "panel": "Choose genes on",
    "harmonise": "Harmonise labels of",
    "register": "Lay over one another",
    "colocalise": "Find partners in",
    "perturb": "Test gene pairs in",
    "enhance": "Enhance",
}
#: Checks of a modality weight that are no share, by the end of their name.
CHECKS = {"spread": "Spread of the weight", "within": "Attention within"}
#: How labels of plain methods, shown beside a model, are called.
BASELINE = "baseline "
#: What kind of layer it is, and how its tag is drawn.
KIND_TAGS = {
    "label": ("Label", "mea"),
    "measured": ("Measured", "mea"),
    "imputed": ("Imputed", "imp"),
    "annotated": ("Annotated", "imp"),
    "confidence": ("Confidence", "imp"),
    "score": ("Model", ""),
    "weight": ("Model", ""),
    "factor": ("Model", ""),
    "density": ("Measured", "mea"),
}


def count(n: int) -> str:
    """Return a whole number with thousands separated."""
    return f"{n:,}"


def plural(n: int, noun: str) -> str:
    """Return a count with its noun, such as "1 section" or "12 classes"."""
    ending = "" if n == 1 else "es" if noun.endswith("s") else "s"
    return f"{count(n)} {noun}{ending}"


def percent(part: float, whole: float) -> str:
    """Return a share in per cent: one digit below ten, none above."""
    if whole <= 0 or part == 0:
        return "0 %"
    share = 100 * part / whole
    return f"{share:.1f} %" if share < 9.95 else f"{share:.0f} %"


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign, the minus a true one."""
    return f"{value:+.{digits}f}".replace("-", "\u2212")


def fixed(value: float | None, digits: int) -> str:
    """Return a figure with digits after the point, the minus a true one; a dash for None."""
    return "\u2013" if value is None else f"{value:.{digits}f}".replace("-", "\u2212")


def number(value: float) -> str:
    """Return a value of a layer with three digits, plain."""
    if value == 0:
        return "0"
    text = f"{value:.3g}" if abs(value) < 1000 else count(round(value))
    if "e" in text:
        text = f"{value:.4f}" if abs(value) < 1 else f"{value:.0f}"
    return text.replace("-", "\u2212")


def mean(value: float) -> str:
    """Return a mean as it fits into a narrow column: small ones with two digits."""
    if 0 < abs(value) < 0.001:
        return "<0.001"
    return number(float(f"{value:.2g}") if abs(value) < 0.1 else value)


def size(bytes_: float) -> str:
    """Return a file size."""
    for unit in ("bytes", "kB", "MB"):
        if bytes_ < 1000:
            return f"{bytes_:.0f} {unit}" if unit == "bytes" else f"{bytes_:.1f} {unit}"
        bytes_ /= 1000
    return f"{bytes_:.1f} GB"


def seconds(value: float) -> str:
    """Return a duration for a person who waits."""
    if value < 90:
        return f"{max(1, round(value))} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def extent(entry: Mapping[str, Any]) -> str:
    """Return width and height of a section in millimetres, or in its own unit."""
    left, top, right, bottom = entry["extent"]
    if entry["xy_unit"] != "um":
        return f"{right - left:,.0f} \u00d7 {bottom - top:,.0f} {entry['xy_unit']}"
    return f"{(right - left) / 1000:.1f} \u00d7 {(bottom - top) / 1000:.1f} mm"


def short_title(entry: Mapping[str, Any]) -> str:
    """Return a section's title without its technology, and without the mark of a simulation."""
    title, technology = (
        str(entry[key]).replace(" (simulated)", "").strip() for key in ("title", "technology")
    )
    if technology:
        title = title.removesuffix(technology).rstrip(" ,")
    return title or str(entry["title"])


def brief(entry: Mapping[str, Any]) -> str:
    """Return number and size of a section, which fit beside its path."""
    return f"{plural(entry['n_cells'], entry['noun'])}, {extent(entry)}"


def facts(entry: Mapping[str, Any]) -> str:
    """Return what is known of a section in one line."""
    parts = [plural(entry["n_cells"], entry["noun"]), extent(entry)]
    if entry["n_genes"] and "counts" not in entry["unit"]:
        parts.append(f"not counts: {entry['unit']}")
    if entry["technology"]:
        parts.append(entry["technology"])
    if entry["position"] is not None:
        parts.append(f"{entry['axis'] or 'position'} {signed(entry['position'])} mm")
    return ", ".join(parts)


def kind_tag(key: LayerKey, annotated: bool, unit: str = "") -> tuple[str, str]:
    """Return word and class of a layer's tag.

    Labels of an annotated upload were not published, and domains are what a model made of a
    section. Expression of subspots was never measured, which its unit says.
    """
    if key.kind == "measured" and unit.endswith(OF_SUBSPOTS):
        return "Enhanced", "imp"
    if key.kind == "label" and (key.name == "domain" or key.name.startswith(BASELINE)):
        return KIND_TAGS["score"]
    return KIND_TAGS["annotated" if key.kind == "label" and annotated else key.kind]


def layer_title(info: LayerInfo) -> str:
    """Return the title of a layer; a confidence, weight or cross-check says of what."""
    name, dot, check = info.key.name.rpartition(".")
    if info.key.kind == "confidence" and "confidence" not in info.title.lower():
        return f"Confidence, {info.title[:1].lower()}{info.title[1:]}"
    if info.key.kind == "factor":
        return f"Factor {info.key.name}"
    if info.key.kind == "weight":
        return f"{check.capitalize()}, {name}" if dot else f"Weight of {info.key.name}"
    return f"{CHECKS[check]}, {name}" if dot and check in CHECKS else info.title

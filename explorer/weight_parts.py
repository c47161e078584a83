"""Parts of the result of a weighing: which there are, the maps, and how to read the figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html

from explorer.components import Child, note, segments
from explorer.small_maps import small_map
from explorer.takes import takes
from explorer.weight_baselines import baseline_table
from explorer.weight_domains import Figures, domain_table, names_of
from explorer.weight_features import feature_lists
from explorer.weight_violins import spread_plots

#: Parts of a result, and what each is called.
PARTS = (
    ("maps", "Maps"),
    ("domains", "Weights by domain"),
    ("spread", "Distributions"),
    ("features", "Distinctive features"),
    ("baselines", "Against baselines"),
    ("reading", "How to read"),
)
#: What can be downloaded, and what each file holds.
FILES = {"h5ad": "Every layer", "CSV": "By domain", "JSON": "All figures"}


def result_head(job: str, part: str) -> html.Div:
    """Return the choice of parts and what can be taken away."""
    chosen = segments(
        "Part of the result", [(f"{job},{n}", w) for n, w in PARTS], f"{job},{part}", "using"
    )
    acts = takes(job, files=FILES, again="Weigh another")
    return html.Div([chosen, acts], className="row wrap sec toolbar")


def result_part(entry: Mapping[str, Any], figures: Figures, job: str, part: str) -> list[Child]:
    """Return one part of a result.

    Parameters
    ----------
    entry : mapping
        Of the section on a plane of its own, as ``Backend.section_entry`` returns it.
    figures : mapping
        As the job recorded them.
    job : str
    part : str
        One of ``PARTS``; an unknown one is the first.
    """
    if part == "domains":
        return domain_table(figures, entry["id"])
    if part == "spread":
        return spread_plots(figures)
    if part == "features":
        return feature_lists(figures, entry["id"])
    if part == "baselines":
        return baseline_table(entry, figures)
    if part == "reading":
        return how_to_read(figures)
    return maps(entry, figures)


def maps(entry: Mapping[str, Any], figures: Figures) -> list[Child]:
    """Return small maps: domains, each weight, its spread; a click puts one on the large map."""
    names, m = names_of(figures), len(figures["modalities"])
    pictures = [
        small_map(entry, "label:domain", f"{figures['count']} domains", "Consensus of all runs")
    ]
    for name in names:
        pictures.append(
            small_map(
                entry,
                f"weight:{name}",
                f"Weight of {name}",
                "Share of the evidence, 0 to 1",
                ("div", 0.0, 2.0 / max(m, 2)),
            )
        )
    pictures += [
        small_map(
            entry,
            "score:agreement",
            "Agreement",
            "Share of runs with this domain",
            ("ink", 0.0, 1.0),
        ),
        small_map(
            entry,
            f"score:{names[0]}.spread",
            f"Spread of {names[0]}",
            "Standard deviation over runs",
            ("ink", 0.0, 0.3),
        ),
    ]
    warnings = [note(w) for w in figures["warnings"]]
    return [html.Div(pictures, className="smallmaps"), html.Div(warnings, className="sec notes")]


def how_to_read(figures: Figures) -> list[Child]:
    """Return one sentence on each figure, and how the number of domains was found."""
    sentences = [html.P(text, className="s") for text in figures["how_to_read"].values()]
    suggestion = figures["suggestion"]
    if suggestion:
        sure = "agree" if suggestion["is_confirmed"] else "do not agree; look at both"
        text = (
            f"The number of domains, {figures['count']}, was suggested: silhouette says "
            f"{suggestion['silhouette_choice']}, the knee of the BIC {suggestion['knee']}; they "
            f"{sure}."
        )
        sentences.insert(0, html.P(text, className="s b"))
    return [html.Div(sentences, className="sec reading")]

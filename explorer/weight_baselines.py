"""A weighing beside plain methods with as many domains: figures, maps, and which is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html

from explorer import words
from explorer.components import Child, note
from explorer.small_maps import small_map
from explorer.weight_domains import Figures

#: Figures of a partition: key, word, what it says.
MEASURES = (
    ("ari", "ARI", "Adjusted Rand index with the label that was chosen as truth"),
    ("nmi", "NMI", "Normalised mutual information with that label"),
    ("median_moran", "Moran's I", "Median over domains; smoother is higher, not truer"),
    ("jaccard_sum", "Neighbours kept", "Jaccard index summed over modalities"),
)


def baseline_table(entry: Mapping[str, Any], figures: Figures) -> list[Child]:
    """Return the model beside plain baselines with as many domains, as figures and as maps."""
    entries = {"This model": figures["model"], **figures["baselines"]}
    shown = [m for m in MEASURES if any(e.get(m[0]) is not None for e in entries.values())]
    head = [html.Th("Partition")] + [html.Th(w, className="r", title=h) for _, w, h in shown]
    rows = []
    for name, found in entries.items():
        cells = [html.Td(html.B(name) if name == "This model" else name)]
        cells += [html.Td(words.fixed(found.get(key), 3), className="r num") for key, _, _ in shown]
        rows.append(html.Tr(cells))
    table = html.Table([html.Thead(html.Tr(head)), html.Tbody(rows)], className="wide")
    pictures = [small_map(entry, "label:domain", "This model", "Consensus of all runs")]
    pictures += [
        small_map(entry, f"label:{name}", name.removeprefix("baseline ").capitalize(), "Baseline")
        for name in figures["view"]["baseline_labels"]
    ]
    return [
        html.Div([_verdict(figures), table], className="sec stack2"),
        html.Div(pictures, className="smallmaps"),
    ]


def _verdict(figures: Figures) -> html.Div:
    """Return in words whether a plain method does better, and by which measure."""
    better, words_of = figures["better_baselines"], {key: word for key, word, _ in MEASURES}
    judged = "ARI and NMI" if figures["model"].get("ari") is not None else "Moran's I"
    kept = _keeps_more(figures)
    if not better:
        return note(f"No baseline is better than the model by {judged}.{kept}", "ok", "")
    parts = [
        f"{b['baseline']} ({words_of.get(b['measure'], b['measure'])} "
        f"{b['baseline_figure']:.3f} against {b['model_figure']:.3f})"
        for b in better
    ]
    return note(f"Better than the model here: {'; '.join(parts)}. Use it where this matters.{kept}")


def _keeps_more(figures: Figures) -> str:
    """Return which baseline keeps more neighbours than the model, as a sentence."""
    own = figures["model"].get("jaccard_sum")
    others = {n: f.get("jaccard_sum") for n, f in figures["baselines"].items()}
    above = {n: v for n, v in others.items() if own is not None and v is not None and v > own}
    if not above:
        return ""
    most = max(above, key=lambda name: above[name])
    return (
        f" Neighbours by profile are kept best by {most} ({above[most]:.3f} against {own:.3f}): "
        "smoothing in space gives some of them up."
    )

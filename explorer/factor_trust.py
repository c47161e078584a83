"""How far factors are to be trusted, and how the sections lie on one another by them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html

from explorer import plots, words
from explorer.components import Child, key_values, note
from explorer.factor_figures import stack_figure, strip_figure
from explorer.factor_shared import Figures, table


def stack_part(figures: Figures) -> list[Child]:
    """Return the sections in common coordinates: in space, as a strip, with their scores."""
    if "stack" not in figures:
        text = "These sections have no places, or units that differ; they cannot be laid."
        return [html.Div(note(text), className="sec")]
    stack = figures["stack"]
    head = html.Tr([html.Th(w, className="r" if k else "") for k, w in enumerate(
        ("Section", "Turned", "Anchors", "Kept", "Median gap", "Expression, r", "as it was",
         "Domain near", "as it was"))])  # fmt: skip
    unit = "µm" if stack["unit"] == "um" else stack["unit"]
    rows = [_step_row(s, unit) for s in stack["steps"]]
    why = (
        "Each section is laid on the one before by cells whose factors choose one another; the "
        "half that fits worst is left out and the fit made again. Expression: best r of a cell's "
        "counts with its six nearest of the section before. Domain near: share of cells with one "
        "of their own domain among these. 'As it was': centres on one another, unturned. Height is "
        "not to scale."
    )
    return [
        html.Div([html.P(why, className="s t2"),
                  html.Table([html.Thead(head), html.Tbody(rows)], className="wide")],
                 className="sec sideways"),
        plots.graph("factor-strip", strip_figure(figures), "sections_aligned",
                    200 * -(-len(stack["points"]) // 8) + 20),
        plots.graph("factor-stack", stack_figure(figures), "sections_stacked", 520),
    ]  # fmt: skip


def _step_row(step: Mapping[str, Any], unit: str) -> html.Tr:
    if "expression_score" not in step:
        return html.Tr(
            [html.Td(step["title"]), html.Td("others lie on it", colSpan=8, className="t3")]
        )
    gap = "–" if step["residual"] is None else f"{words.count(round(step['residual']))} {unit}"
    turned = f"{words.fixed(step['degrees'], 0)}°"
    values = [
        turned, words.count(step["anchors"]), words.count(step["kept"]), gap,
        words.fixed(step["expression_score"], 3), words.fixed(step["unmoved_expression_score"], 3),
        words.percent(step["domain_score"], 1), words.percent(step["unmoved_domain_score"], 1),
    ]  # fmt: skip
    return html.Tr([html.Td(step["title"]), *(html.Td(v, className="r num") for v in values)])


def trust_part(figures: Figures) -> list[Child]:
    """Return how good the factors are beside plain methods, and how their number was chosen."""
    return [
        html.Div(
            [
                html.Div([*_measures(figures), *_transferred(figures)], className="sec grow"),
                html.Div(_held_out(figures), className="sec grow"),
                html.Div(_count(figures), className="sec grow"),
            ],
            className="threecol",
        ),
        html.Div([note(w) for w in figures["warnings"]], className="sec notes"),
    ]


def _measures(figures: Figures) -> list[Child]:
    model = figures["model"]
    shown = {
        "Factors of cells": model["cells"],
        "Factors of places": model["places"],
        **({"Domains": model["domains"]} if model.get("domains") else {}),
        **figures["baselines"],
    }
    keys = [(k, w) for k, w in (("mixing", "Mixing"), ("ari", "ARI"), ("nmi", "NMI"),
                                ("silhouette", "Silhouette"))
            if any(m.get(k) is not None for m in shown.values())]  # fmt: skip
    rows = [[name, *(words.fixed(m.get(k), 3) for k, _ in keys)] for name, m in shown.items()]
    said = "Mixing: entropy of sections among 50 neighbours, 1 where they are even."
    return [html.H3("Beside plain methods"), table(["Space", *(w for _, w in keys)], rows),
            html.P(said, className="s t3"), *_domains(figures)]  # fmt: skip


def _domains(figures: Figures) -> list[Child]:
    """Return how domains were found; nothing for results that do not say."""
    found = figures.get("found_domains")
    if not found:
        return []
    way = found["chosen"]
    ties = f"neighbours weigh {found['ties']:.1f} nats" if way["tied"] else "without ties"
    smooth = words.plural(way["rounds"], "round")
    aim = "the counts of neighbours" if found["of"] == "cells" else "held-out genes of the spot"
    said = (
        f"Domains of {found['of']}: {smooth} of smoothing at the start, {ties}. The best of "
        f"{len(found['tried'])} ways by how well they foretell {aim}; no label was used."
    )
    return [html.P(said, className="s t3")]


def _transferred(figures: Figures) -> list[Child]:
    """Return how well labels are carried to held-out cells, by space."""
    found = figures.get("transfer")
    if not found:
        return []
    name = f"{found['label'].capitalize()} carried over"
    called = {"cells": "Factors of cells", "places": "Factors of places"}
    rows = [[called.get(n, n), words.percent(v, 1)] for n, v in found["accuracy"].items()]
    n = sum(found["transferred"])
    said = f"{words.plural(n, 'cell')} without a label took one, by factors of {found['space']}."
    if not rows:
        return [html.H3(name), html.P(f"{said} No section could be held out.", className="s t3")]
    said = f"{said} Held out: {found['held_out']}."
    right = table(["Space", "Right on held-out cells"], rows)
    return [html.H3(name), right, html.P(said, className="s t3")]


def _held_out(figures: Figures) -> list[Child]:
    held, hidden = figures["held_out"], figures["hidden_genes"]
    out: list[Child] = [html.H3("Held-out counts")]
    if held:
        rows = [["This model" if n == "factors" else n, f"{v:.4f}"] for n, v in held.items()]
        out.append(table(["Method", "Nats per count"], rows))
        out.append(html.P("A fifth of all counts is held out; over the mean profile of a section, "
                          "genes that all sections have.", className="s t3"))  # fmt: skip
    if hidden:
        out += _hidden(hidden)
    return out if held or hidden else [*out, html.P("Not computed in this run.", className="s t3")]


def _hidden(hidden: Figures) -> list[Child]:
    """Return how well hidden genes were imputed, in all and by data set."""
    # Results of earlier versions have no factor analysis and no groups.
    methods = {"r": "This model", "knn_r": "Nearest neighbours", "fusemap_r": "FuseMap's factors"}
    known = {k: name for k, name in methods.items() if k in hidden}
    groups = {"All": hidden, **hidden.get("by_group", {})}
    rows = [
        [name, *(words.fixed(own[k], 3) for k in known), str(own["genes"])]
        for name, own in groups.items()
    ]
    where = (
        "in all sections of a data set" if hidden.get("across") == "data sets" else "in a section"
    )
    said = f"Mean r over cells of genes that were hidden {where} and imputed."
    if "fusemap_r" in known:
        said += " FuseMap's factors: one factor analysis of 8; its trained form mixes several."
    head = ["Hidden in", *known.values(), "Genes"]
    return [html.H3("Hidden genes"), table(head, rows), html.P(said, className="s t3")]


def _count(figures: Figures) -> list[Child]:
    choice, noise = figures["count"], figures["noise"]
    out: list[Child] = [html.H3("Number of factors")]
    if choice:
        rows = [
            [html.B(str(t["factors"])) if t["factors"] == choice["factors"] else str(t["factors"]),
             f"{t['gain']:.4f}", f"{t['weakest_r']:.2f}", str(t["stable"])]
            for t in choice["tried"]
        ]  # fmt: skip
        out.append(table(["Factors", "Gain", "Weakest r", "Found again"], rows))
        out.append(html.P("Gain in nats per held-out count; r of the weakest factor between two "
                          "halves of the counts.", className="s t3"))  # fmt: skip
    else:
        out.append(html.P("As asked for.", className="s t3"))
    kind = f"gamma, shape {noise['shape']:.1f}" if noise["overdispersed"] else "none beyond Poisson"
    out.append(key_values([("Noise", kind)]))
    return out

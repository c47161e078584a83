"""The result of a weighing in components: maps, weights by domain, features, baselines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from dash import html

from explorer import plots, words
from explorer.components import Child, bar, button, note, segments, swatch, tag

Figures = Mapping[str, Any]
#: Parts of a result, and what each is called.
PARTS = (
    ("maps", "Maps"),
    ("domains", "Weights by domain"),
    ("spread", "Distributions"),
    ("features", "Distinctive features"),
    ("baselines", "Against baselines"),
    ("reading", "How to read"),
)
#: Height of a small map, pixels.
MAP = 190
#: A cross-check differs from the weight when it puts a modality on the other side by this much.
APART = 0.1


def result_head(job: str, part: str) -> html.Div:
    """Return the choice of parts and what can be taken away."""
    chosen = segments(
        "Part of the result", [(f"{job},{n}", w) for n, w in PARTS], f"{job},{part}", "using"
    )
    takes = [
        button("h5ad", "take-result", f"{job}|h5ad", glyph="down", kind="sm", title="Every layer"),
        button("CSV", "take-result", f"{job}|csv", glyph="down", kind="sm", title="By domain"),
        button("JSON", "take-result", f"{job}|json", glyph="down", kind="sm", title="All figures"),
        button("Copy link", "copy-job", job, glyph="link", kind="sm"),
        button("Weigh another", "using", "", kind="sm"),
    ]
    return html.Div(
        [chosen, html.Div(takes, className="row end wrap")], className="row wrap sec toolbar"
    )


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


def names_of(figures: Figures) -> list[str]:
    """Return the modalities in order."""
    return [m["name"] for m in figures["modalities"]]


def _steer(
    section: str, layer: str, only: Sequence[int] = (), more: Mapping[str, Any] | None = None
) -> dict[str, str]:
    order = {"section": section, "layer": layer, "only": list(only), **(more or {})}
    return {"data-act": "steer", "data-value": json.dumps(order)}


# -- maps -------------------------------------------------------------------------------------


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


def small_map(
    entry: Mapping[str, Any],
    layer: str,
    title: str,
    hint: str,
    ramp: tuple[str, float, float] | None = None,
    order: Mapping[str, Any] | None = None,
    height: int = MAP,
) -> html.Button:
    """Return a map of one layer that puts it on the large map; the scripts load its tile.

    Parameters
    ----------
    ramp : (palette, lo, hi), optional
        Of a numeric layer; its ends are printed below the map.
    order : mapping, optional
        What a click changes of the view beside section and layer.
    height : int
        Longest side of the map, pixels.
    """
    left, top, right, bottom = entry["extent"]
    side, (x0, y0) = entry["side"], entry["origin"]
    scale = height / max(right - left, bottom - top, 1e-9)
    picture = html.Img(
        alt="",
        style={
            "width": f"{side * scale:.1f}px",
            "left": f"{(x0 - left) * scale:.1f}px",
            "top": f"{(y0 - top) * scale:.1f}px",
        },
        **{
            "data-tile": f"/tiles/{entry['id']}/{layer}/0/0/0.png",
            "data-edition": entry["edition"],
            "data-ramp": json.dumps(ramp) if ramp else "",
        },
    )
    crop = html.Span(
        picture,
        className="crop",
        style={
            "width": f"{(right - left) * scale:.1f}px",
            "height": f"{(bottom - top) * scale:.1f}px",
        },
    )
    legend = _ramp(ramp) if ramp else html.Span(hint, className="xs t3")
    return html.Button(
        [html.B(title, className="s cut"), html.Span(crop, className="pic"), legend],
        type="button",
        className="smallmap",
        title=f"{title}. {hint}. Click shows it on the map.",
        **_steer(entry["id"], layer, more=order),
    )


def _ramp(ramp: tuple[str, float, float]) -> html.Span:
    palette, lo, hi = ramp
    middle = [html.Span(f"{(lo + hi) / 2:.2g}")] if palette == "div" else []
    ends = [html.Span(f"{lo:.2g}"), *middle, html.Span(f"{hi:.2g}")]
    return html.Span(
        [
            html.Span(className="ramp", **{"data-palette": palette}),
            html.Span(ends, className="row between xs t3 num"),
        ],
        className="rampbox",
    )


# -- by domain --------------------------------------------------------------------------------


def domain_table(figures: Figures, section: str) -> list[Child]:
    """Return, for every domain and modality, the weight with its spread, bits and cross-checks."""
    names = names_of(figures)
    heads = ["Domain", "Spots", "Agreement", "Moran's I"]
    head = [html.Th(h, className="r" if k else "") for k, h in enumerate(heads)]
    for name in names:
        head += [html.Th(f"Weight of {name}"), html.Th("bits", className="r")]
    head += [html.Th("Cross-checks of " + names[0], colSpan=4), html.Th("Reading")]
    rows = [_domain_row(figures, d, k, names, section) for k, d in enumerate(figures["domains"])]
    stability = figures["stability"]
    line = (
        f"{stability['seeds']} seeds, {stability['starts']} starts each; adjusted Rand index "
        f"between runs {words.number(stability['pairwise_ari'])}. ± is the standard deviation "
        "of a domain's mean over runs."
    )
    sub = html.Tr(
        [html.Td(colSpan=len(heads) + 2 * len(names))]
        + [html.Td(w, className="r xs t3") for w in ("ablation", "energy", "attention", "within")]
        + [html.Td()],
        className="subhead",
    )
    table = html.Table([html.Thead([html.Tr(head), sub]), html.Tbody(rows)], className="wide")
    return [html.Div([html.P(line, className="s t2"), table], className="sec sideways")]


def _domain_row(
    figures: Figures, domain: Mapping[str, Any], code: int, names: Sequence[str], section: str
) -> html.Tr:
    colour = figures["view"]["colours"][code]
    label = html.Button(
        [swatch(colour), domain["name"].capitalize()],
        type="button",
        className="row textlink",
        title="Show this domain alone on the map",
        **_steer(section, "label:domain", [code]),
    )
    cells: list[Child] = [
        html.Td(label),
        html.Td(words.count(domain["spots"]), className="r num"),
        html.Td(_figure(domain["agreement"]), className="r num"),
        html.Td(_figure(domain["moran"]), className="r num"),
    ]
    for name in names:
        weight, spread = domain["weight"][name], domain["weight_spread"][name]
        shown = "absent" if weight is None else f"{weight:.2f} ± {spread or 0:.2f}"
        cells.append(
            html.Td(
                [bar(weight or 0.0, "var(--accent)"), html.Span(shown, className="num nowrap")],
                className="weightcell",
            )
        )
        cells.append(html.Td(_figure(domain["bits"][name]), className="r num"))
    for check in ("ablation", "energy", "attention", "within"):
        cells.append(html.Td(_figure(domain[check][names[0]]), className="r num t3"))
    cells.append(html.Td(_reading(domain, names)))
    return html.Tr(cells)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def _reading(domain: Mapping[str, Any], names: Sequence[str]) -> html.Span:
    """Return whether the cross-checks point the same way as the weight."""
    first, even = names[0], 1.0 / len(names)
    weight = domain["weight"][first]
    others = [domain[check][first] for check in ("ablation", "energy")]
    if weight is None or any(o is None for o in others):
        return tag("Not compared")
    if abs(weight - even) < APART:
        return tag("Even")
    apart = [o for o in others if (o - even) * (weight - even) < 0 and abs(o - even) > APART / 2]
    return tag("Measures differ", "warn") if apart else tag("Agree", "ok")


# -- distributions ----------------------------------------------------------------------------


def spread_plots(figures: Figures) -> list[Child]:
    """Return violins of the weight of each modality over the spots of each domain."""
    plotted = [
        html.Div(
            [
                html.H3(f"Weight of {name}"),
                plots.graph(f"weights-violin-{k}", violin(figures, name), f"weights_{name}", 260),
            ],
            className="sec",
        )
        for k, name in enumerate(names_of(figures))
    ]
    return [html.Div(plotted, className="plotgrid")]


def violin(figures: Figures, name: str) -> go.Figure:
    """Return one violin per domain: width is the share of its spots at a weight."""
    view = figures["view"]
    step = 1.0 / view["bins"]
    height = [step * (k + 0.5) for k in range(view["bins"])]
    figure = go.Figure()
    for code, counts in enumerate(view["distributions"][name]):
        most = max(max(counts), 1)
        half = [0.42 * c / most for c in counts]
        figure.add_trace(
            go.Scatter(
                x=[code + h for h in half] + [code - h for h in reversed(half)],
                y=height + height[::-1],
                fill="toself",
                mode="lines",
                line={"width": 1, "color": view["colours"][code]},
                name=view["domain_names"][code],
                hoveron="fills",
                showlegend=False,
            )
        )
        mean = figures["domains"][code]["weight"][name]
        if mean is not None:
            figure.add_trace(
                go.Scatter(
                    x=[code],
                    y=[mean],
                    mode="markers",
                    marker={"symbol": "line-ew-open", "size": 18, "color": plots.INK},
                    hovertemplate=f"mean {mean:.2f}<extra></extra>",
                    showlegend=False,
                )
            )
    plots.styled(figure, "", f"weight of {name}, share of the evidence")
    figure.add_hline(1.0 / len(names_of(figures)), line={"dash": "dot", "color": plots.INK})
    ticks = list(range(len(view["domain_names"])))
    figure.update_xaxes(tickvals=ticks, ticktext=view["domain_names"])
    figure.update_yaxes(range=[0, 1])
    return figure


# -- features ---------------------------------------------------------------------------------


def feature_lists(figures: Figures, section: str) -> list[Child]:
    """Return the features by which each domain stands out, per modality."""
    view = figures["view"]
    blocks = []
    for code, domain in enumerate(view["domain_names"]):
        lists = [
            html.Div(
                [html.Div(name, className="xs t3"), *_features(rows[code], section)],
                className="featurelist",
            )
            for name, rows in view["features"].items()
        ]
        heading = html.H3(
            html.Span([swatch(view["colours"][code]), domain.capitalize()], className="row")
        )
        blocks.append(html.Div([heading, html.Div(lists, className="row top")], className="sec"))
    hint = (
        "Features above the other spots, by Cohen's d of log1p counts at equal depth; p is "
        "Welch's, adjusted over the features of a domain and modality. Domains were found from "
        "these data, so p is optimistic. A click puts a feature on the map."
    )
    return [html.P(hint, className="s t2 sec"), html.Div(blocks, className="featuregrid")]


def _features(rows: Sequence[Mapping[str, Any]], section: str) -> list[Child]:
    if not rows:
        return [html.Div("None stands out.", className="s t3")]
    return [
        html.Button(
            [
                html.Span(r["feature"], className="cut"),
                html.Span(f"d {r['effect']:.2f}", className="num t3"),
                html.Span(_p(r["p"]), className="num t3"),
            ],
            type="button",
            className="featurerow s",
            title=f"{r['feature']}: {r['mean']:.2f} here, {r['rest']:.2f} elsewhere (log1p)",
            **_steer(section, f"measured:{r['feature']}"),
        )
        for r in rows[:8]
    ]


def _p(value: float) -> str:
    return "p < 10⁻³" if value < 1e-3 else f"p {value:.2g}"


# -- baselines --------------------------------------------------------------------------------

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
        cells += [html.Td(_three(found.get(key)), className="r num") for key, _, _ in shown]
        rows.append(html.Tr(cells))
    table = html.Table([html.Thead(html.Tr(head)), html.Tbody(rows)], className="wide")
    pictures = [small_map(entry, "label:domain", "This model", "Consensus of all runs")]
    pictures += [
        small_map(entry, f"label:{name}", name.removeprefix("baseline ").capitalize(), "Baseline")
        for name in figures["view"]["baseline_labels"]
    ]
    return [
        html.Div([_verdict(figures), table], className="sec"),
        html.Div(pictures, className="smallmaps"),
    ]


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


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

from __future__ import annotations

import pytest
from dash import html, no_update

from backend.core.geometry import Bounds
from explorer import enhance_form as form
from explorer import enhanced, words
from explorer.enhance_figures import GAIN, LOSS, SAME, gain_figure, gate_figure
from explorer.enhance_pictures import gene_part, maps_part
from explorer.enhance_said import verdict
from explorer.enhance_state import PARTS, EnhanceAt, first_gene, parse_at, write_at
from explorer.enhance_swipe import Side, swipe
from explorer.enhance_tables import checks_part
from explorer.views.enhance import to_gene
from tests.explorer.said import text, walk

JOB = "a" * 32


def gene(name, mean, gain):
    return {"gene": name, "mean": mean, "gain": gain, "kappa": 9.0, "error": 0.3}


GENES = [gene("Big", 90.0, -0.01), gene("Best", 50.0, -0.3), gene("Bad", 9.0, 0.05),
         gene("Rare", 0.1, None)]  # fmt: skip


def way(name, deviance):
    return {"name": name, "r": 0.8, "within": 0.4, "wins": 0.9, "deviance": deviance}


def gate(better="", used=True):
    controls = [
        {"name": "turned by 90°", "kind": "turned", "probability": 0.1, "fit": -2.0},
        {"name": better or "shuffled", "kind": "shuffled", "probability": 0.3, "fit": 0.5},
    ]
    return {"image": 0.95, "threshold": 0.85, "used": used, "fit": 14.0, "better": better,
            "controls": controls}  # fmt: skip


def figures(**change):
    found = {
        "spots": 10, "subspots": 40, "genes_enhanced": 4, "method": "model",
        "gain": {"expected": -0.12, "little": False, "copy": 0.1, "blocks": 8},
        "methods": [way("this model", -0.12), way("bilinear, rescaled", 0.0), way("copy", 0.1)],
        "gate": gate(),
        "kernel": {"length": 6.0, "image_share": 0.4, "noise": 0.2}, "uncertainty_median": 0.4,
        "genes": GENES, "domains": 3, "tiles": 1, "warnings": [], "seconds": {"model": 1.5},
        "how_to_read": {"rate": "An estimate."},
        "image": {"source": "x.jpg", "width": 9, "height": 9, "bounds": [0.0, 0.0, 100.0, 50.0]},
    }  # fmt: skip
    return {**found, **change}


def entry(section, radius=10.0):
    return {
        "id": section, "extent": [0.0, 0.0, 100.0, 50.0], "origin": [-10.0, -40.0], "side": 128.0,
        "edition": "e1", "radius": radius, "xy_unit": "um",
    }  # fmt: skip


ENTRIES = (entry("query-a"), entry("query-a.1", 5.0))


def test_a_link_names_job_part_and_gene_and_strange_ones_are_left_at_the_default():
    assert parse_at(f"{JOB},table,Gad1") == EnhanceAt(JOB, "table", "Gad1")
    assert parse_at(write_at(EnhanceAt(JOB, "checks"))) == EnhanceAt(JOB, "checks")
    assert parse_at(f"{JOB},nonsense") == EnhanceAt(JOB, PARTS[0][0])


def test_the_first_gene_is_the_one_that_gains_most():
    assert first_gene(GENES) == "Best"
    assert first_gene([gene("Only", 1.0, None)]) == "Only"


def test_both_sides_are_drawn_in_one_range_at_the_same_place():
    box = swipe(
        Side(ENTRIES[0], "measured:Best", "Before", "Measured"),
        Side(ENTRIES[1], "measured:Best", "After", "Enhanced", dashed=True),
        ("ink", 0.0, 3.0), ("/u.jpg", Bounds(0, 0, 100, 50)), "Best",
    )  # fmt: skip
    tiles = [c for c in walk(box) if isinstance(c, html.Img) and hasattr(c, "data-tile")]
    assert len(tiles) == 8
    assert {getattr(t, "data-ramp") for t in tiles} == {'["ink", 0.0, 3.0]'}
    first = next(t for t in tiles if getattr(t, "data-tile").endswith("a/measured:Best/1/0/0.png"))
    # The picture reaches from -12 to 112: 1.2 times the radius of a spot around the extent.
    assert first.style["left"] == f"{100 * 2 / 124:.3f}%"
    assert first.style["width"] == f"{100 * 64 / 124:.3f}%"
    (handle,) = [c for c in walk(box) if getattr(c, "role", "") == "slider"]
    assert getattr(handle, "aria-valuenow") == "50"
    assert handle.tabIndex == "0"


@pytest.mark.parametrize("part", [name for name, _ in PARTS])
def test_every_part_is_drawn_with_what_it_is_about(part):
    at = EnhanceAt(JOB, part, "Best")
    said = text(html.Div(list(enhanced.chosen_part(at, figures(), ENTRIES, (0.0, 2.0)))))
    expected = {
        "genes": "12 % less deviance", "table": "1 of 3 genes gain more than 2 %",
        "checks": "8 blocks of spots", "domains": "3 domains", "maps": "Residual of spots",
        "reading": "An estimate.",
    }  # fmt: skip
    assert expected[part] in said


def test_a_fall_back_is_said_and_not_called_enhanced():
    warning = "Merged spots are recovered better by bilinear: that is what you see."
    found = figures(method="bilinear", warnings=[warning])
    said = text(html.Div(list(gene_part(EnhanceAt(JOB, "genes", "Best"), found, ENTRIES,
                                                 (0.0, 2.0)))))  # fmt: skip
    assert "Interpolated" in said
    assert warning in said
    assert "Enhanced" not in said


def test_without_an_image_there_is_neither_underlay_nor_its_opacity():
    found = figures(image=None, gate=None)
    parts = gene_part(EnhanceAt(JOB, "genes", "Best"), found, ENTRIES, (0.0, 2.0))
    assert not [c for c in walk(list(parts)) if hasattr(c, "data-fader")]
    assert "No image was used" in text(html.Div(checks_part(found)))


def test_a_gene_where_interpolation_is_as_good_says_so():
    at = EnhanceAt(JOB, "genes", "Big")
    said = text(html.Div(list(gene_part(at, figures(), ENTRIES, (0.0, 2.0)))))
    assert "Interpolation is as good for this gene" in said


def test_gains_and_losses_have_colours_of_their_own():
    points = gain_figure(GENES, "Best").data[0]
    assert list(points.y) == pytest.approx([1, 30, -5])
    assert list(points.marker.color) == [SAME, GAIN, LOSS]


def test_the_image_is_shown_beside_all_of_its_controls_and_the_words_agree():
    figure = gate_figure(gate())
    assert list(figure.data[0].x) == [14.0, -2.0, 0.5]
    assert list(figure.data[0].y) == ["As sent", "Turned", "Shuffled"]
    assert figure.data[0].marker.color[0] == GAIN
    said = text(html.Div(checks_part(figures())))
    assert "is used: the evidence that it matters is 0.95 of 1 (needed: 0.85)" in said
    assert "2 wrong places fits less well. By chance that happens once in 3 times" in said
    refused = figures(gate=gate("mirrored", used=False))
    said = text(html.Div(checks_part(refused)))
    assert "is not used" in said
    assert "fits at least as well mirrored" in said


SPOTS = [{"id": "s1", "title": "One", "spots": 90, "shape": "hexagon"},
         {"id": "s2", "title": "Two", "spots": 50, "shape": "square"}]  # fmt: skip


def test_the_form_offers_parts_that_fit_the_lattice():
    assert [o["value"] for o in form.factor_options("hexagon")[0]] == ["7", "6"]
    shown = form.choose(SPOTS, "s2")
    (factor,) = [c for c in walk(shown) if getattr(c, "id", "") == form.FACTOR]
    assert factor.value == "2"
    assert "Enhance 90 spots" in text(form.offer_atlas(SPOTS, "s1", "7", 500, "default"))
    assert "No section of this atlas" in text(html.Div(form.choose([], "s2")))


def card(outside, **change):
    section = {"name": "C2", "spots": 30, "pitch": 100.0, "shape": "square", "pitch_px": 20.0,
               "outside": outside}  # fmt: skip
    image = {"name": "c2.jpg", "width": 400, "height": 300}
    found = {"ok": True, "faults": [], "n_spots": 30, "n_genes": 5, "unit": "um",
             "pixels": "obsm/pixel", "image": image, "sections": [section]}  # fmt: skip
    return {**found, **change}


def test_spots_outside_the_image_are_told_and_stop_the_run():
    files = {"step": "check", "name": "c2", "upload": "u" * 32, "card": card(0.4)}
    assert "40 % of the spots lie outside" in text(html.Div(form.check(files)))
    assert form.offer_files(files, "C2", "2", 500, "default", "use").disabled
    assert not form.offer_files(files, "C2", "2", 500, "default", "leave").disabled
    good = {**files, "card": card(0.0)}
    assert "100 % of the spots lie inside" in text(html.Div(form.check(good)))
    assert not form.offer_files(good, "C2", "2", 500, "default", "use").disabled
    assert "server's network" not in str(form.check(good))
    assert "server's network" in str(form.check({**good, "card": {**card(0.0), "network": True}}))
    network = form.offer_files(good, "C2", "2", 500, "default", "network")
    assert '"features": "cnn"' in getattr(network, "data-value")
    asked = form.offer_files(good, "C2", "2", 500, "generative", "use")
    assert '"mode": "generative"' in getattr(asked, "data-value")


def test_files_without_pixels_or_image_are_told():
    files = {"step": "check", "name": "c2", "upload": "u" * 32}
    blind = {**files, "card": card(None, pixels="")}
    assert "no pixel coordinates" in text(html.Div(form.check(blind)))
    bare = {**files, "card": card(None, image=None)}
    assert "little detail" in text(html.Div(form.check(bare)))
    faults = [{"what": "halves", "where": "X", "expected": "counts", "remedy": "Use counts."}]
    bad = {**files, "card": card(None, ok=False, faults=faults)}
    assert "halves" in text(html.Div(form.check(bad)))


def test_expression_of_subspots_is_never_called_measured():
    key = words.LayerKey("measured", "Best")
    assert words.kind_tag(key, False, "log1p counts") == ("Measured", "mea")
    expected = "log1p expected counts per spot area"
    assert words.kind_tag(key, False, expected) == ("Enhanced", "imp")


def test_a_trained_model_is_called_so_and_judged_by_its_own_row():
    rows = [way("default mode", -0.2), way("generative", -0.15), way("copy", 0.1)]
    own = {"law": "nb", "seeds": 3, "divergence": [5.1, 4.9, 6.0], "is_collapsed": False}
    found = figures(mode="generative", method="generative", methods=rows, generative=own)
    assert "15 % less deviance" in text(html.Div(list(verdict(found))))
    said = text(html.Div(list(checks_part(found))))
    assert "Generative model, trained" in said
    assert "5.1, 4.9, 6.0 nats per spot" in said


def test_the_map_follows_the_gene_where_it_shows_this_result():
    tool = {"tool": "enhance", "using": f"{JOB},genes,Best", "section": f"query-{JOB}.1"}
    assert to_gene("Big", tool, part="") == {
        "using": f"{JOB},genes,Big", "layer": "measured:Big",
    }  # fmt: skip
    elsewhere = {**tool, "section": "atlas"}
    assert to_gene("Big", elsewhere, part="") == {"using": f"{JOB},genes,Big"}
    assert to_gene("Best", tool, part="") is no_update


def test_maps_say_where_a_truth_is_known_and_where_not():
    said = text(html.Div(maps_part(figures(), ENTRIES)))
    assert "so the truth is known: change of the deviance" in said
    assert "No truth is known of subspots" in said
    tiles = [getattr(c, "data-tile") for c in walk(html.Div(maps_part(figures(), ENTRIES)))
             if hasattr(c, "data-tile")]  # fmt: skip
    assert [t.split("/")[3] for t in tiles] == [
        "score:recovered", "score:detail", "score:uncertainty", "score:residual",
    ]  # fmt: skip
    unknown = text(html.Div(maps_part(figures(gain=None), ENTRIES)))
    assert "Recovered spots" not in unknown

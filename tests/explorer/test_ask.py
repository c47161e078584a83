"""The tool that asks the whole atlas, on the small atlas."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest

from backend.core.layers import LayerKey
from explorer.questions import Question
from explorer.views import ask
from tests.explorer.said import having, text

if TYPE_CHECKING:
    from backend.service import Backend

TYPE, REGION = "label:type", "label:region"


def said(backend: Backend, asked: Question) -> str:
    return text(ask.answered(backend, asked)[0])


def test_what_is_open_comes_from_the_screen_and_the_atlas(backend: Backend) -> None:
    plain = ask.resolved(backend, Question(), "label:region")
    assert (plain.gene, plain.label) == ("Slc17a7", REGION)
    assert plain.by in (TYPE, REGION)
    seen = ask.resolved(backend, Question(), "imputed:Gad1")
    assert seen.gene == "Gad1"
    marked = ask.resolved(backend, Question("class", label="label:gone"), TYPE)
    most = backend.composition("atlas", LayerKey("label", "type"))[0]["code"]
    assert (marked.label, marked.code) == (TYPE, most)


@pytest.mark.parametrize(("kind", "word"), [("measured", "Measured"), ("imputed", "Imputed")])
def test_where_a_gene_is_highest_says_kind_unit_and_trust(
    backend: Backend, kind: str, word: str
) -> None:
    asked = Question("gene", "Gad1", kind, TYPE)
    found = backend.gene_means("Gad1", kind, TYPE)
    shown = said(backend, asked)
    assert f"Highest in {found['entries'][0]['name']}" in shown
    assert word in shown
    assert found["unit"] in shown
    assert ("0.60" in shown) == (kind == "imputed")  # the held-out figure of the small atlas


def test_rows_lead_to_the_map(backend: Backend) -> None:
    by_class, _ = ask.answered(backend, Question("gene", "Gad1", "imputed", REGION))
    orders = [json.loads(b.__dict__["data-value"]) for b in having(by_class, "data-act", "steer")]
    top = backend.gene_means("Gad1", "imputed", REGION)["entries"][0]["code"]
    assert orders[0] == {"layer": REGION, "only": [top]}
    by_section, _ = ask.answered(backend, Question("gene", "Gad1", "imputed", "section"))
    orders = [json.loads(b.__dict__["data-value"]) for b in having(by_section, "data-act", "steer")]
    assert {o["section"] for o in orders} == {"alpha", "beta"}


def test_what_marks_a_class_lists_genes_and_what_they_are_worth(backend: Backend) -> None:
    asked = Question("class", label=TYPE, code=1)
    found = backend.top_genes(LayerKey("label", "type"), 1)
    shown = said(backend, asked)
    assert found["genes"][0]["gene"] in shown
    assert "Held-out r" in shown
    assert "Imputed" in shown


def test_sections_are_sorted_by_the_chosen_class(backend: Backend) -> None:
    found = backend.compositions(LayerKey("label", "type"))
    shares = {
        s["name"]: dict(zip(s["codes"], s["counts"], strict=True)).get(2, 0) / sum(s["counts"])
        for s in found["sections"]
    }
    order = sorted(shares, key=lambda name: -shares[name])
    body, figure = ask.answered(backend, Question("sections", label=TYPE, code=2))
    shown = [text(b) for b in having(body, "data-act", "steer")]
    assert shown == order
    assert list(figure.figure.data[0].customdata) == order
    assert figure.figure.data[0].name == found["classes"][2]["name"]
    assert sum(trace.x[0] for trace in figure.figure.data) == pytest.approx(100)


def test_a_gene_that_is_not_there_is_said_and_gives_no_figure(backend: Backend) -> None:
    body, figure = ask.answered(backend, Question("gene", "Gad11", "", TYPE))
    assert "Did you mean" in text(body)
    assert figure is None


def test_choices_are_links_to_other_questions(backend: Backend) -> None:
    asked = ask.resolved(backend, Question("gene", "Gad1"), TYPE)
    rows = ask.choices(backend, asked)
    chosen = {
        b.children: Question.parse(b.__dict__["data-value"]) for b in having(rows, "role", "radio")
    }
    assert chosen["Imputed"] == asked._replace(kind="imputed")
    assert chosen["Section"] == asked._replace(by="section")
    assert chosen["What marks a class?"].about == "class"
    on = [b.children for b in having(rows, "aria-checked", "true")]
    assert len(on) == 3


@pytest.mark.parametrize(
    "asked",
    [Question("gene", "Gad1", "imputed", TYPE), Question("class", label=TYPE, code=1),
     Question("sections", label=TYPE)],
    ids=lambda q: q.about,
)  # fmt: skip
def test_the_table_to_take_away_has_every_entry(backend: Backend, asked: Question) -> None:
    if asked.about == "gene":
        found = backend.gene_means("Gad1", "imputed", TYPE)
        n = len(found["entries"])
    elif asked.about == "class":
        found = backend.top_genes(LayerKey("label", "type"), 1)
        n = len(found["genes"])
    else:
        found = backend.compositions(LayerKey("label", "type"))
        n = sum(len(s["codes"]) + bool(s["missing"]) for s in found["sections"])
    lines = backend.answer_table(found).splitlines()
    notes = [line for line in lines if line.startswith("#")]
    assert "# simulated data" in notes
    table = list(csv.reader(line for line in lines if not line.startswith("#")))
    assert len(table) == n + 1
    assert {len(row) for row in table} == {len(table[0])}

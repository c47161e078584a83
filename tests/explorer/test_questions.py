"""A question in the link, as a command and as a route."""

from __future__ import annotations

import pytest

from explorer.questions import Question

ASKED = [
    Question("gene", "Slc17a7", "imputed", "label:region"),
    Question("class", label="label:type", code=3),
    Question("sections", label="label:a b&c=d,e"),
    Question("gene", "H2-K1;x"),
]


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_a_question_survives_the_link(asked: Question) -> None:
    assert Question.parse(str(asked)) == asked


@pytest.mark.parametrize(
    "text", ["", "q=what", "code=x&kind=guessed", "=&=", "q=gene&code=99999999999"]
)
def test_what_cannot_be_meant_is_left_open(text: str) -> None:
    assert Question.parse(text) == Question()


def test_a_question_is_a_command_that_a_shell_reads_as_meant() -> None:
    assert ASKED[0].command("") == (
        "python -m backend ask ATLAS.zarr gene Slc17a7 --by region --kind imputed"
    )
    assert ASKED[1].command("L2/3 IT").endswith("ask ATLAS.zarr type 'L2/3 IT'")
    assert ASKED[2].command("").endswith("composition --label 'a b&c=d,e'")
    assert "'H2-K1;x'" in ASKED[3].command("")


def test_a_question_has_a_table_to_take_away() -> None:
    assert ASKED[0].address() == (
        "/api/gene_means?gene=Slc17a7&kind=imputed&by=label%3Aregion&format=csv"
    )
    assert "code=3&limit=500" in ASKED[1].address()
    assert "layer=label%3Aa+b%26c%3Dd%2Ce" in ASKED[2].address()

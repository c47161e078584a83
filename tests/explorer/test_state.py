from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.layers import Category, LayerInfo, LayerKey
from explorer.state import (
    PALETTES,
    View,
    as_json,
    default_layer,
    from_json,
    from_query,
    grouped,
    ordered,
    section_at,
    to_query,
    to_section,
)

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789_.-", min_size=1, max_size=12)
numbers = st.none() | st.integers(-5000, 5000).map(lambda n: n / 8)
views = st.builds(
    View,
    section=names,
    layer=st.just("") | names.map(lambda n: f"imputed:{n}"),
    only=st.lists(st.integers(0, 300), unique=True, max_size=20).map(tuple),
    lo=numbers,
    hi=numbers,
    lock=st.booleans(),
    least=numbers,
    palette=st.sampled_from(PALETTES),
    at=st.none() | st.tuples(*[st.integers(0, 9999).map(float)] * 3),
    panel=st.sampled_from(["see", "annotate"]),
    job=st.just("") | names,
)


@given(views)
def test_a_view_survives_its_link(view: View) -> None:
    assert from_query("?" + to_query(view)) == view


@given(views)
def test_a_view_survives_the_store_of_the_page(view: View) -> None:
    assert from_json(as_json(view)) == view


def test_the_default_view_has_an_empty_link() -> None:
    assert to_query(View()) == ""


def test_a_link_can_be_read_by_a_person() -> None:
    view = View(section="well11", layer="label:region", only=(3, 4), at=(10.0, 20.5, 3.0))
    assert to_query(view) == "section=well11&layer=label:region&only=3,4&at=10,20.5,3"


@pytest.mark.parametrize(
    "query",
    [
        "layer=region",
        "lo=nan",
        "hi=much",
        "palette=rainbow",
        "at=1,2",
        "at=inf,1,2",
        "only=a,b",
        "panel=x",
        "stranger=1",
    ],
)
def test_what_cannot_be_read_is_left_at_its_default(query: str) -> None:
    assert from_query(query) == View()


def test_codes_in_a_link_are_bounded() -> None:
    assert len(from_query("only=" + ",".join(map(str, range(9999)))).only) == 400


def info(text: str) -> LayerInfo:
    categories = (Category("A", "#000000"),) if text.startswith("label") else ()
    return LayerInfo(LayerKey.parse(text), text, categories=categories)


def test_layers_are_grouped_into_places_types_and_numbers() -> None:
    layers = map(
        info, ["label:subtype", "density:cells", "label:region", "confidence:type", "label:class"]
    )
    groups = grouped(layers)
    assert [i.key.name for i in groups.places] == ["region"]
    assert [i.key.name for i in groups.types] == ["class", "subtype"]
    assert [str(i.key) for i in groups.numbers] == ["confidence:type"]
    assert groups.has_density


@pytest.mark.parametrize(
    ("layers", "opened"),
    [
        (["label:type", "label:region"], "label:region"),
        (["label:subtype", "label:class"], "label:class"),
        (["density:cells"], "density:cells"),
    ],
)
def test_a_section_opens_with_places_then_types_then_density(
    layers: list[str], opened: str
) -> None:
    assert default_layer(grouped(map(info, layers))) == opened


def entry(title: str, dataset: str, position: float | None) -> dict[str, object]:
    return {"title": title, "dataset": dataset, "position": position}


def test_sections_are_ordered_by_data_set_then_position() -> None:
    given_ = [
        entry("c", "b", 0.5),
        entry("b", "a", None),
        entry("a", "a", 2.0),
        entry("d", "a", -1),
    ]
    assert [s["title"] for s in ordered(given_)] == ["d", "a", "b", "c"]


SECTION = {"id": "one", "bounds": [100, 50, 300, 250], "extent": [10, 20, 210, 220]}


def test_a_point_of_the_plane_finds_its_section() -> None:
    found = section_at([SECTION], 150, 60)
    assert found is not None
    assert found["id"] == "one"
    assert section_at([SECTION], 99, 60) is None


def test_a_point_of_the_plane_has_section_coordinates() -> None:
    assert to_section(SECTION, 150, 60) == (60, 30)

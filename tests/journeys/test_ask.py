"""Somebody asks the whole atlas: by menu, by link, with the keyboard; the answer is taken along."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.journeys.steps import open_atlas, settle

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.journeys.conftest import Site

pytestmark = pytest.mark.browser


def asked(page: Page) -> dict[str, list[str]]:
    using = parse_qs(urlsplit(page.url).query).get("using", [""])[0]
    return parse_qs(using)


def test_a_gene_is_asked_for_and_its_answer_leads_to_the_map(
    page: Page, site: Site, keep: Path
) -> None:
    open_atlas(page, site)
    page.get_by_text("Analyse", exact=True).click()
    page.get_by_role("menuitem", name="Ask the atlas").click()
    page.locator("#ask-answer h3").wait_for()
    settle(page)
    page.fill("#ask-gene", "Gad1")
    page.keyboard.press("Enter")
    page.locator("#ask-answer h3", has_text="Gad1").wait_for()
    page.get_by_role("radio", name="Imputed", exact=True).last.click()
    page.locator("#ask-answer .tag", has_text="Imputed").first.wait_for()
    settle(page)
    assert asked(page)["gene"] == ["Gad1"]
    assert asked(page)["kind"] == ["imputed"]
    assert "Highest in" in page.locator("#ask-answer").inner_text()
    page.screenshot(path=keep / "gene.png")
    with page.expect_download() as table:
        page.locator("#ask-take a").click()
    text = Path(table.value.path()).read_text()
    assert "# simulated data" in text
    page.locator("#ask-answer tbody button").first.click()
    settle(page)
    assert "only=" in page.url
    page.screenshot(path=keep / "isolated.png")


def test_a_link_brings_the_question_back(page: Page, site: Site, keep: Path) -> None:
    using = "q%3Dsections%26label%3Dlabel%253Aclass%26code%3D1"
    open_atlas(page, site, f"?tool=ask&using={using}")
    page.locator("#ask-answer tbody tr").first.wait_for()
    settle(page)
    page.screenshot(path=keep / "sections.png")
    assert page.locator("#ask-answer tbody tr").count() == 6
    assert page.get_by_role("radio", name="What are sections made of?").get_attribute(
        "aria-checked"
    ) == "true"  # fmt: skip
    page.get_by_role("radio", name="What marks a class?").focus()
    page.keyboard.press("Enter")
    page.locator("#ask-answer th", has_text="Difference").wait_for()
    settle(page)
    assert asked(page)["q"] == ["class"]
    page.screenshot(path=keep / "class.png")

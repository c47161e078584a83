"""A biologist uploads a section: refused with reasons, cancelled, and annotated in place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.journeys.steps import open_atlas, settle, tile_requests

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.journeys.conftest import Site

pytestmark = pytest.mark.browser

#: A job on the small atlas ends well within this, also on a busy machine; milliseconds.
PATIENCE = 120_000


def _upload(page: Page, path: Path) -> None:
    page.get_by_role("button", name="Annotate my section").click()
    with page.expect_file_chooser() as chooser:
        page.locator("#wizard-body .drop-zone").click()
    chooser.value.set_files(path)


def _part_of(query: Path, out: Path, n_cells: int) -> Path:
    import anndata

    data = anndata.read_h5ad(query)[:n_cells].copy()
    data.write_h5ad(out)
    return out


def _see_annotation(page: Page) -> None:
    page.locator("#right", has_text="Unassigned").wait_for(timeout=PATIENCE)
    page.locator("#map", has_text="Nearest atlas section").wait_for(timeout=PATIENCE)


def test_an_uploaded_section_is_annotated_in_place(page: Page, site: Site, keep: Path) -> None:
    open_atlas(page, site)
    _upload(page, site.query)
    submit = page.get_by_role("button", name=re.compile(r"^Annotate [\d,]+ cells"))
    submit.wait_for(timeout=PATIENCE)
    page.screenshot(path=keep / "checked.png")
    assert "Raw counts" in page.locator("#wizard-body").inner_text()
    submit.click()
    page.locator("#wizard-body [role=progressbar]").wait_for(timeout=PATIENCE)
    page.screenshot(path=keep / "running.png")
    page.wait_for_function(
        "() => (new URLSearchParams(location.search).get('section') || '').startsWith('query-')",
        timeout=PATIENCE,
    )
    _see_annotation(page)
    settle(page)
    page.screenshot(path=keep / "annotated.png")
    assert "Confidence at least" in page.locator("#right").inner_text()
    link = page.url
    handle = page.get_by_role("slider").first
    handle.focus()
    with tile_requests(page) as asked:
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        settle(page)
    assert any("least=" in url for url in asked)
    page.screenshot(path=keep / "threshold.png")
    page.locator(".head details.drop > summary").click()
    with page.expect_download() as table:
        page.get_by_role("menuitem", name=re.compile("MapMyCells", re.I)).first.click()
    lines = Path(table.value.path()).read_text().splitlines()
    header = next(line for line in lines if not line.startswith("#"))
    assert header.startswith("cell_id,")
    assert "_probability" in header
    # The tab is closed; the link brings the result back.
    page.goto("about:blank")
    page.goto(link)
    _see_annotation(page)


def test_a_run_is_cancelled(page: Page, site: Site, keep: Path, tmp_path: Path) -> None:
    open_atlas(page, site)
    _upload(page, _part_of(site.query, tmp_path / "other.h5ad", 1_500))
    submit = page.get_by_role("button", name=re.compile(r"^Annotate 1,500 cells"))
    submit.wait_for(timeout=PATIENCE)
    with site.paused_worker():
        submit.click()
        # The card of the file has a button Cancel too; this is the one of the run.
        page.locator("#wizard-body [data-act=cancel-job]").click(timeout=PATIENCE)
        page.get_by_text("The run was cancelled").first.wait_for(timeout=PATIENCE)
    page.screenshot(path=keep / "cancelled.png")
    job = page.evaluate("async () => (await (await fetch('/api/jobs')).json()).jobs[0]")
    assert job["state"] == "cancelled"
    assert job["result"] is None


def test_a_bad_file_is_refused_with_every_reason(
    page: Page, site: Site, keep: Path, tmp_path: Path
) -> None:
    import anndata

    data = anndata.read_h5ad(site.query)[:300].copy()
    del data.obsm["spatial"]
    for column in ("x", "y"):
        data.obs.pop(column) if column in data.obs else None
    data.var_names = [f"nothing{i}" for i in range(data.n_vars)]
    data.write_h5ad(tmp_path / "bad.h5ad")
    open_atlas(page, site)
    _upload(page, tmp_path / "bad.h5ad")
    submit = page.get_by_role("button", name=re.compile(r"^Annotate [\d,]+ cells"))
    submit.wait_for(timeout=PATIENCE)
    card = page.locator("#wizard-body").inner_text()
    page.screenshot(path=keep / "refused.png")
    assert submit.is_disabled()
    assert "No shared genes" in card
    assert "coordinates" in card
    assert re.search(r"\d problems? to solve first", card)


def test_a_file_that_is_no_h5ad_is_refused(
    page: Page, site: Site, keep: Path, tmp_path: Path
) -> None:
    fake = tmp_path / "fake.h5ad"
    fake.write_text("this is no HDF5 file\n" * 40)
    open_atlas(page, site)
    _upload(page, fake)
    page.get_by_text(re.compile("HDF5|h5ad file", re.I)).first.wait_for(timeout=PATIENCE)
    settle(page)
    page.screenshot(path=keep / "refused.png")
    submit = page.get_by_role("button", name=re.compile(r"^Annotate \d"))
    assert submit.count() == 0 or submit.first.is_disabled()


def test_a_button_that_is_drawn_anew_while_pressed_still_acts(page: Page, site: Site) -> None:
    open_atlas(page, site)
    button = page.get_by_role("button", name="Annotate my section")
    box = button.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    button.evaluate("b => b.replaceWith(b.cloneNode(true))")
    page.mouse.up()
    page.locator("#annotate").wait_for(state="visible")

"""Results of several sections: each of them is opened by the job and its number."""

from __future__ import annotations

import pytest

from backend.core.errors import UnknownSection
from backend.core.settings import Settings
from backend.service import Backend
from tests.tiny import tiny_atlas

JOB = "7f3a"


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Backend:
    folder = tmp_path_factory.mktemp("results")
    atlas = tiny_atlas(folder / "tiny.zarr")
    (folder / "data" / "results" / JOB).mkdir(parents=True)
    (folder / "data" / "results" / JOB / "atlas.zarr").symlink_to(atlas)
    return Backend(Settings(data=folder / "data"), atlas)


def test_each_section_of_a_result_goes_by_the_job_and_its_number(backend: Backend) -> None:
    titles = [s["title"] for s in backend.sections()]
    found = backend.result_sections(f"query-{JOB}")
    assert [s["id"] for s in found] == [f"query-{JOB}", f"query-{JOB}.1", f"query-{JOB}.2"]
    assert [s["title"] for s in found] == titles
    assert {s["kind"] for s in found} == {"query"}


def test_a_later_section_has_its_own_cells(backend: Backend) -> None:
    sizes = [s["n_cells"] for s in backend.sections()]
    assert backend.section(f"query-{JOB}.2").n_cells == sizes[2]
    assert backend.cell(f"query-{JOB}.2", sizes[2] - 1)


def test_all_sections_of_a_result_are_found_from_any_of_them(backend: Backend) -> None:
    first, last = f"query-{JOB}", f"query-{JOB}.2"
    assert backend.result_sections(last) == backend.result_sections(first)


@pytest.mark.parametrize("number", ["3", "-1", "x", "", "1.1", "00001", "\u0661"])
def test_a_number_that_the_result_lacks_is_refused(backend: Backend, number: str) -> None:
    with pytest.raises(UnknownSection, match="It has 3"):
        backend.section(f"query-{JOB}.{number}")


def test_what_made_a_section_is_empty_where_no_job_is_on_record(backend: Backend) -> None:
    assert backend.origin(f"query-{JOB}.1") == {}

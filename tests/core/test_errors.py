from __future__ import annotations

from backend.core.errors import BadFile, Fault, UnknownGene, did_you_mean


def test_an_error_says_what_and_what_to_do() -> None:
    error = UnknownGene("Gene 'SLC17A' is not in the atlas.", "Did you mean Slc17a7?")
    assert str(error) == "Gene 'SLC17A' is not in the atlas. Did you mean Slc17a7?"
    assert error.as_json() == {
        "error": "UnknownGene",
        "message": "Gene 'SLC17A' is not in the atlas.",
        "hint": ["Did you mean Slc17a7?"],
    }
    assert isinstance(error, LookupError)


def test_a_bad_file_lists_all_its_faults() -> None:
    faults = [
        Fault("3 of 9 are not finite", "obsm['spatial']", "finite numbers", "Drop those cells."),
        Fault("2 are repeated", "obs_names", "unique ids", "Make them unique."),
    ]
    error = BadFile("mine.h5ad", faults)
    assert "mine.h5ad: 2 problems." in str(error)
    assert "obsm['spatial']: 3 of 9 are not finite. Expected: finite numbers." in str(error)
    shown = error.as_json()["faults"]
    assert isinstance(shown, list)
    assert shown[1]["remedy"] == "Make them unique."


def test_the_nearest_spelling_ignores_case() -> None:
    assert did_you_mean("SLC17A6", ["Slc17a7", "Gad1"]) == "Did you mean Slc17a7?"
    assert did_you_mean("qqq", ["Slc17a7", "Gad1"]) == ""

import pytest

from backend.analysis.registration.corrections import Correction, as_json, read_corrections
from backend.core.errors import BadFile


def test_json_and_table_say_the_same(tmp_path):
    table = tmp_path / "c.csv"
    table.write_text(
        "section,flip,rotate_deg,x,y,right_um,down_um\nA,true,5,,,,\nA,,,1,2,30,40\nA,,,5,6,70,80\n"
    )
    text = tmp_path / "c.json"
    said = {"A": Correction(flip=True, rotate_deg=5.0,
                            landmarks=((1, 2, 30, 40), (5, 6, 70, 80)))}  # fmt: skip
    text.write_text(as_json(said))
    assert read_corrections(table) == said
    assert read_corrections(text) == said


def test_all_faults_are_told_at_once(tmp_path):
    file = tmp_path / "c.json"
    file.write_text('{"sections": {"A": {"plane": "slanted", "rotate_deg": "much"},'
                    ' "B": {"landmarks": [[1, 2]], "colour": 3}}}')  # fmt: skip
    with pytest.raises(BadFile) as caught:
        read_corrections(file)
    told = " ".join(caught.value.hints)
    assert len(caught.value.faults) == 4
    for word in ("slanted", "much", "[1, 2]", "colour"):
        assert word in told


@pytest.mark.parametrize(
    ("name", "text"),
    [("c.json", "[]"), ("c.json", "{"), ("c.csv", "name,flip\nA,1\n")],
    ids=["no object", "no json", "no section column"],
)
def test_a_file_of_another_kind_is_refused(tmp_path, name, text):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(BadFile, match="cannot be read"):
        read_corrections(file)


def test_a_correction_of_facts_is_no_nudge():
    assert not Correction(position_um=10.0, flip=True).is_nudged
    assert Correction(shift_down_um=1.0).is_nudged

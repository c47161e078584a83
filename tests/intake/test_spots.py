import anndata
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.sparse import csr_matrix

from backend.core.errors import BadFile, BadRequest, TooLarge, UnknownUpload
from backend.core.settings import Limits, Settings
from backend.intake import attached
from backend.intake.attached import attach_image, image_of
from backend.intake.spots import draw_spots, look_at_spots
from backend.intake.uploads import Uploads
from backend.service.spots import refuse_spots, spots_card, spots_overlay

OWNER = "me"


def write_spots(path, *, counts=True, pixels=True):
    """Write two sections of 6 x 5 spots, 20 pixels apart; the second hangs over the edge."""
    rng = np.random.default_rng(0)
    grid = np.array([(x, y) for x in range(6) for y in range(5)], float)
    values = rng.poisson(3, (60, 4)).astype(np.float32)
    data = anndata.AnnData(
        csr_matrix(values if counts else values + 0.5),
        obs=pd.DataFrame(
            {"section": pd.Categorical(np.repeat(["one", "two"], 30))},
            index=[f"s{i}" for i in range(60)],
        ),
        var=pd.DataFrame(index=["Aa", "Bb", "Cc", "Dd"]),
    )
    data.obsm["spatial"] = np.concatenate([grid, grid]) * 100
    if pixels:
        data.obsm["pixel"] = np.concatenate([grid * 20 + 10, grid * 20 + 60])
    data.write_h5ad(path)
    return path


def write_image(path, size=(120, 110)):
    Image.new("RGB", size, (230, 150, 190)).save(path)
    return path


@pytest.fixture
def uploads(tmp_path):
    return Uploads(Settings(data=tmp_path / "data"))


def send(uploads, path, owner=OWNER):
    return uploads.adopt(path, owner).id


def test_sections_pitches_and_the_share_outside_are_told(tmp_path):
    spots, image = write_spots(tmp_path / "a.h5ad"), write_image(tmp_path / "a.png")
    card = look_at_spots(spots, "a.h5ad", image, Limits())
    assert card["ok"]
    assert card["pixels"] == "obsm/pixel"
    first, second = card["sections"]
    assert (first["name"], first["spots"], first["outside"]) == ("one", 30, 0.0)
    assert first["pitch"] == pytest.approx(100)
    assert first["pitch_px"] == pytest.approx(20)
    # Columns from 60 to 160 of 120 pixels, rows from 60 to 140 of 110: 3 of 6, 3 of 5 are inside.
    assert second["outside"] == pytest.approx(1 - 9 / 30)


def test_without_an_image_or_pixels_nothing_is_said_of_the_fit(tmp_path):
    card = look_at_spots(write_spots(tmp_path / "a.h5ad", pixels=False), "a", None, Limits())
    assert card["pixels"] == ""
    assert card["sections"][0]["outside"] is None


def test_values_that_are_no_counts_are_told_but_unknown_genes_are_no_fault(tmp_path):
    card = look_at_spots(write_spots(tmp_path / "a.h5ad"), "a.h5ad", None, Limits())
    assert card["faults"] == []
    halves = write_spots(tmp_path / "h.h5ad", counts=False)
    (fault,) = look_at_spots(halves, "h.h5ad", None, Limits())["faults"]
    assert "counts" in str(fault).lower()
    (tmp_path / "b.h5ad").write_bytes(b"no such file")
    bad = look_at_spots(tmp_path / "b.h5ad", "b.h5ad", None, Limits())
    assert not bad["ok"]
    with pytest.raises(BadFile, match=r"b\.h5ad: 1 problem"):
        refuse_spots("b.h5ad", bad)


def test_spots_over_the_image_are_drawn_in_two_colours(tmp_path):
    spots, image = write_spots(tmp_path / "a.h5ad"), write_image(tmp_path / "a.png", (400, 400))
    draw_spots(spots, image, "one", tmp_path / "o.jpg")
    drawn = np.asarray(Image.open(tmp_path / "o.jpg")).astype(int)
    orange = (np.abs(drawn - [240, 123, 38]).sum(axis=2) < 90).sum()
    assert orange > 100
    assert (np.abs(drawn - [63, 111, 232]).sum(axis=2) < 90).sum() == 0


def test_an_image_is_put_beside_a_section_and_is_no_upload_any_more(tmp_path, uploads):
    spots = send(uploads, write_spots(tmp_path / "a.h5ad"))
    assert spots_card(uploads, spots, OWNER, Limits())["image"] is None
    # The name is the client's; what the bytes are decides.
    wrong = write_image(tmp_path / "photo.png").rename(tmp_path / "photo.txt")
    image = send(uploads, wrong)
    about = attach_image(uploads, spots, image, OWNER)
    assert (about["name"], about["width"], about["height"]) == ("photo.txt", 120, 110)
    assert image_of(uploads.path(spots, OWNER)).name == "image.png"
    with pytest.raises(UnknownUpload):
        uploads.get(image, OWNER)
    assert spots_overlay(uploads, spots, "one", OWNER).is_file()


def test_a_second_image_takes_the_place_of_the_first(tmp_path, uploads):
    spots = send(uploads, write_spots(tmp_path / "a.h5ad"))
    for name in ("one.png", "two.jpg"):
        attach_image(uploads, spots, send(uploads, write_image(tmp_path / name)), OWNER)
    assert image_of(uploads.path(spots, OWNER)).name == "image.jpg"


def test_what_is_no_image_or_somebody_elses_stays_where_it_is(tmp_path, uploads, monkeypatch):
    spots = send(uploads, write_spots(tmp_path / "a.h5ad"))
    (tmp_path / "x.png").write_bytes(b"no image")
    other = send(uploads, tmp_path / "x.png")
    with pytest.raises(BadFile, match=r"x\.png.*JPEG, PNG or TIFF"):
        attach_image(uploads, spots, other, OWNER)
    assert uploads.get(other, OWNER).complete
    theirs = send(uploads, write_image(tmp_path / "t.png"), "you")
    with pytest.raises(UnknownUpload):
        attach_image(uploads, spots, theirs, OWNER)
    monkeypatch.setattr(attached, "MOST_BYTES", 10)
    mine = send(uploads, write_image(tmp_path / "m.png"))
    with pytest.raises(TooLarge, match=r"m\.png has .* 10 are allowed"):
        attach_image(uploads, spots, mine, OWNER)
    with pytest.raises(BadRequest, match="no image beside"):
        spots_overlay(uploads, spots, "", OWNER)

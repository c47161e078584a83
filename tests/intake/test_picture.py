import numpy as np
import pytest
from PIL import Image

from backend.core.errors import BadFile, TooLarge
from backend.intake import picture
from backend.intake.picture import picture_size, read_picture


def image(path, size=(40, 24), colour=(200, 100, 50)):
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_every_format_is_read_as_red_green_blue(tmp_path, name):
    read = read_picture(image(tmp_path / name))
    assert read.rgb.shape == (24, 40, 3)
    assert read.reduced == 1
    assert np.abs(read.rgb[12, 20].astype(int) - [200, 100, 50]).max() <= 2


def test_the_size_is_known_without_the_pixels(tmp_path):
    assert picture_size(image(tmp_path / "a.png")) == (40, 24)


def test_a_fine_jpeg_is_reduced_while_it_is_decoded(tmp_path):
    read = read_picture(image(tmp_path / "a.jpg", (800, 400)), reduce=4)
    assert read.reduced == 4
    assert read.rgb.shape == (100, 200, 3)


def test_grey_images_are_read_as_colour(tmp_path):
    Image.new("L", (8, 8), 77).save(tmp_path / "grey.png")
    assert (read_picture(tmp_path / "grey.png").rgb == 77).all()


def test_a_file_that_is_no_image_is_refused_with_a_remedy(tmp_path):
    (tmp_path / "a.png").write_bytes(b"not an image")
    with pytest.raises(BadFile, match="JPEG, PNG or TIFF"):
        read_picture(tmp_path / "a.png")


def test_a_cut_image_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "whole.png")
    body = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(body[: len(body) // 2])
    with pytest.raises(BadFile, match="pixels cannot be read"):
        read_picture(tmp_path / "cut.png")


def test_too_many_pixels_are_refused_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "MOST_PIXELS", 900)
    with pytest.raises(TooLarge, match="40 x 24 pixels"):
        picture_size(image(tmp_path / "a.png"))

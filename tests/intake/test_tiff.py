import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from backend.core.errors import TooLarge
from backend.intake import picture
from backend.intake.picture import picture_size, read_picture
from backend.intake.tiff import region, segments_of

rng = np.random.default_rng(0)
#: Rows that drift, so that no row or column is like another.
SLIDE = np.cumsum(rng.integers(-3, 4, (90, 70, 3)), axis=1).clip(0, 255).astype(np.uint8) + 0


def tiled(path, rgb, side=32):
    """Write an uncompressed TIFF in tiles, filled up with zeros beyond the image."""
    height, width = rgb.shape[:2]
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    parts = []
    for y in range(0, height, side):
        for x in range(0, width, side):
            tile = np.zeros((side, side, 3), np.uint8)
            part = rgb[y : y + side, x : x + side]
            tile[: part.shape[0], : part.shape[1]] = part
            parts.append(tile.tobytes())
    shorts = {258: (8, 8, 8), 259: 1, 262: 2, 277: 3, 284: 1}
    longs = {256: width, 257: height, 322: side, 323: side}
    for kind, entries in ((3, shorts), (4, longs)):
        for tag, value in entries.items():
            tags.tagtype[tag] = kind
            tags[tag] = value
    with path.open("wb") as file:
        # Offsets are longs: their size is known before their values.
        for first in (0, 8 + _length(tags, parts)):
            for tag, values in ((324, offsets(parts, first)), (325, [len(p) for p in parts])):
                tags.tagtype[tag] = 4
                tags[tag] = tuple(values)
            file.seek(0)
            tags.save(file)
        file.seek(first)
        file.write(b"".join(parts))
    return path


def _length(tags, parts):
    return 12 * 20 + 8 * len(parts) + 64


def offsets(parts, first):
    return [first + sum(len(p) for p in parts[:k]) for k in range(len(parts))]


@pytest.mark.parametrize("kind", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_strips_of_every_kind_are_read_one_by_one(tmp_path, kind):
    Image.fromarray(SLIDE).save(tmp_path / "a.tif", compression=kind, strip_size=70 * 3 * 8)
    with Image.open(tmp_path / "a.tif") as image:
        segments = segments_of(image)
        whole = np.asarray(image.convert("RGB"))
    part = region(tmp_path / "a.tif", segments, (13, 50, 60, 88))
    assert np.array_equal(part, whole[50:88, 13:60])
    if kind is not None:
        assert len(segments.offsets) > 5


def test_tiles_are_read_one_by_one_and_cut_at_the_edge(tmp_path):
    path = tiled(tmp_path / "t.tif", SLIDE)
    with Image.open(path) as image:
        segments = segments_of(image)
        assert np.array_equal(np.asarray(image), SLIDE)
    assert segments.part == (32, 32)
    assert segments.across == 3
    assert np.array_equal(region(path, segments, (30, 30, 70, 90)), SLIDE[30:90, 30:70])


def test_a_window_of_a_tiff_is_read_reduced_and_says_where_it_begins(tmp_path, monkeypatch):
    path = tiled(tmp_path / "t.tif", SLIDE)
    monkeypatch.setattr(picture, "BAND", 500)  # some rows at a time
    seen = read_picture(path, 2, (10, 20, 50, 80))
    assert (seen.left, seen.top, seen.reduced) == (10, 20, 2)
    blocks = SLIDE[20:80, 10:50].astype(float).reshape(30, 2, 20, 2, 3).mean(axis=(1, 3))
    assert np.abs(seen.rgb - blocks).max() <= 0.5
    assert seen.places(np.array([[10.0, 20.0], [50.0, 80.0]])).tolist() == [[0, 0], [20, 30]]


def test_a_large_tiff_is_read_in_windows_where_a_large_png_is_refused(tmp_path, monkeypatch):
    path = tiled(tmp_path / "t.tif", SLIDE)
    Image.fromarray(SLIDE).save(tmp_path / "t.png")
    monkeypatch.setattr(picture, "MOST_PIXELS", 32 * 32)
    assert picture_size(path) == (70, 90)
    assert read_picture(path, 1, (0, 0, 20, 20)).rgb.shape == (20, 20, 3)
    with pytest.raises(TooLarge, match=r"70 x 90 pixels.*tiled TIFF.*windows"):
        picture_size(tmp_path / "t.png")


def test_a_window_of_a_png_or_jpeg_is_cut_from_the_whole(tmp_path):
    Image.fromarray(SLIDE).save(tmp_path / "t.png")
    seen = read_picture(tmp_path / "t.png", 4, (10, 20, 50, 80))
    assert (seen.left, seen.top, seen.reduced) == (10, 20, 1)
    assert np.array_equal(seen.rgb, SLIDE[20:80, 10:50])
    Image.fromarray(SLIDE).save(tmp_path / "t.jpg")
    small = read_picture(tmp_path / "t.jpg", 3, (11, 20, 50, 80))
    assert (small.left, small.top, small.reduced) == (10, 20, 2)
    assert small.rgb.shape == (30, 20, 3)


def test_sixteen_bit_grey_is_refused_with_its_kind(tmp_path):
    from backend.core.errors import BadFile

    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "g.tif")
    with pytest.raises(BadFile, match="kind I;16"):
        picture_size(tmp_path / "g.tif")

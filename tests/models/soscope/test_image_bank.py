import numpy as np
import pytest

from backend.core.errors import BadRequest
from backend.models.soscope.image_bank import FEW_PIXELS, NAMES, frame_of, image_bank
from backend.models.soscope.image_maps import MAPS, block_maps, optical_density, saturation, stains

PINK, PURPLE = (230, 150, 190), (90, 60, 140)


def halves(height=96, width=192):
    """An image with eosin on the left and haematoxylin on the right."""
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[:, : width // 2], rgb[:, width // 2 :] = PINK, PURPLE
    return rgb


def column(values, name):
    return values[:, NAMES.index(name)]


def test_there_are_sixty_nine_features_with_names_of_their_own():
    values, names = image_bank(halves(), np.array([[40.0, 48.0], [150.0, 48.0]]), 30.0)
    assert values.shape == (2, 69)
    assert values.dtype == np.float32
    assert len(set(names)) == 69


def test_white_has_no_optical_density_and_grey_no_saturation():
    white = np.full((1, 1, 3), 255, np.uint8)
    assert optical_density(white).max() == 0
    assert saturation(white - 100)[0, 0] == 0
    assert saturation(np.array([[[200, 100, 0]]], np.uint8))[0, 0] == 1


def test_pure_stains_are_told_apart():
    haematoxylin, eosin = stains(np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]], np.float32))
    assert haematoxylin[0] == pytest.approx(1.0, abs=0.01)
    assert eosin[0] == pytest.approx(0.0, abs=1e-5)
    assert haematoxylin[1] == pytest.approx(0.0, abs=1e-5)
    assert eosin[1] == pytest.approx(1.0, abs=0.01)


def test_features_follow_the_colour_under_the_subspot():
    values, _ = image_bank(halves(), np.array([[40.0, 48.0], [152.0, 48.0]]), 30.0)
    pink, purple = optical_density(np.array([PINK, PURPLE], np.uint8))
    assert column(values, "density red, window 1") == pytest.approx([pink[0], purple[0]], abs=1e-3)
    more = column(values, "haematoxylin, window 1")
    assert more[1] > more[0] + 0.3


def test_wide_windows_see_beyond_the_narrow_ones():
    values, _ = image_bank(halves(), np.array([[84.0, 48.0]]), 30.0)
    narrow, wide = (column(values, f"density red, window {k}")[0] for k in (1, 3))
    pink = optical_density(np.array([PINK], np.uint8))[0, 0]
    assert abs(narrow - pink) < 0.02
    assert wide > narrow + 0.05
    assert column(values, "spread of saturation, window 3")[0] > 0.05


def test_bare_slide_is_counted_as_background():
    rgb = halves()
    rgb[:, :96] = 250
    values, _ = image_bank(rgb, np.array([[40.0, 48.0], [152.0, 48.0]]), 30.0)
    assert column(values, "background, window 1") == pytest.approx([1, 0], abs=1e-3)


def test_dark_dots_are_dark_spots_of_their_own_size():
    rgb = np.full((128, 128, 3), PINK, np.uint8)
    rows, columns = np.mgrid[:128, :128]
    rgb[(rows % 16 < 4) & (columns % 16 < 4)] = PURPLE
    values, _ = image_bank(rgb, np.array([[64.0, 64.0]]), 30.0)
    # More stain is a peak of the haematoxylin map: minus the Laplacian is positive there.
    assert column(values, "bright spots 2 px, window 2")[0] > 0.02
    assert column(values, "gradient 1 px, window 2")[0] > 0.02
    flat, _ = image_bank(np.full((128, 128, 3), PINK, np.uint8), np.array([[64.0, 64.0]]), 30.0)
    assert column(flat, "bright spots 2 px, window 2")[0] == pytest.approx(0, abs=1e-5)


def test_strips_leave_no_seams():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (600, 40, 3), np.uint8)
    whole = block_maps(rgb, 4)
    assert whole.shape == (len(MAPS), 150, 10)
    # Rows 200 .. 399 alone agree but for the cuts, which are of the whole image, and the margin.
    part = block_maps(rgb[200:400], 4)
    same = [MAPS.index(name) for name in ("density red", "gradient 4 px", "dark spots 2 px")]
    assert np.allclose(whole[same, 55:95], part[same, 5:45], atol=1e-5)


def test_the_image_is_cropped_and_reduced_to_what_is_seen():
    centres = np.array([[5000.0, 5000.0], [5600.0, 5300.0]])
    frame = frame_of((10_000, 10_000), centres, 300.0)
    assert (frame.left, frame.top, frame.right, frame.bottom) == (3650, 3650, 6950, 6650)
    assert frame.reduce == 4
    assert (
        frame_of((10_000, 10_000), np.array([[0.0, 0.0], [10_000.0, 10_000.0]]), 40.0).reduce == 3
    )


def test_an_image_read_at_half_its_size_gives_nearly_the_same_features():
    rng = np.random.default_rng(1)
    small = rng.integers(0, 255, (60, 60, 3), np.uint8)
    rgb = np.kron(small, np.ones((8, 8, 1), np.uint8))
    centres = rng.uniform(100, 380, (12, 2))
    full, _ = image_bank(rgb, centres, 140.0)
    half, _ = image_bank(rgb[::2, ::2], centres / 2, 70.0)
    for name in ("density green, window 1", "eosin, window 2", "saturation, window 3"):
        assert np.corrcoef(column(full, name), column(half, name))[0, 1] > 0.99


def test_few_pixels_per_subspot_take_wider_windows():
    rgb = halves()
    values, _ = image_bank(rgb, np.array([[88.0, 48.0]]), FEW_PIXELS - 14)
    assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("rgb", "centres", "pitch", "message"),
    [
        (np.zeros((4, 4), np.uint8), [[1, 1]], 2, "Expected: red, green, blue"),
        (np.zeros((4, 4, 3), np.float32), [[1, 1]], 2, "float32"),
        (np.zeros((4, 4, 3), np.uint8), [[1, 1]], 0.5, "smaller than a pixel"),
        (np.zeros((4, 4, 3), np.uint8), [[9, 9], [1, -1]], 2, "All 2 subspots lie outside"),
    ],
    ids=["grey", "floats", "subpixel", "outside"],
)
def test_images_that_cannot_serve_are_refused(rgb, centres, pitch, message):
    with pytest.raises(BadRequest, match=message):
        image_bank(rgb, np.array(centres, float), pitch)

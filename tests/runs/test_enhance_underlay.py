import numpy as np
from PIL import Image
from scipy.sparse import csr_matrix

from backend.core.data import SectionData
from backend.runs.enhance_image import TissueImage
from backend.runs.enhance_underlay import SIDE, write_underlay


def test_a_turned_image_lies_under_the_section(tmp_path):
    grid = np.array([(x, y) for x in range(9) for y in range(5)], np.float32)
    section = SectionData(
        "s", "s", grid * 100 + [1000, 0], csr_matrix((45, 0), dtype=np.float32), (),
        np.array([str(k) for k in range(45)]),
    )  # fmt: skip
    # x of the section runs down the image, y to the left; spot (8, 0) lies in a red square.
    spots = np.column_stack([200 - 40 * grid[:, 1], 20 + 40 * grid[:, 0]]).astype(float)
    rgb = np.full((360, 240, 3), 255, np.uint8)
    rgb[325:355, 185:215] = (255, 0, 0)
    left, top, right, bottom = write_underlay(
        tmp_path / "u.jpg", TissueImage((240, 360), spots, "x", rgb), section
    )
    picture = np.asarray(Image.open(tmp_path / "u.jpg")).astype(int)
    assert max(picture.shape) == SIDE
    red = np.argwhere((picture[..., 0] > 200) & (picture[..., 1] < 60)).mean(axis=0)
    at = np.array([left, top]) + red[::-1] * (right - left) / picture.shape[1]
    assert np.allclose(at, [1800, 0], atol=5)
    assert bottom - top < right - left

"""The tissue image of an enhanced section, resampled into the coordinates of the section."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from backend.core.data import SectionData
from backend.intake.picture import reduced
from backend.runs.enhance_image import TissueImage

#: Longest side of the picture, pixels.
SIDE = 1400
#: Margin around the spots, as a part of the larger extent.
MARGIN = 0.04


def write_underlay(path: Path, image: TissueImage, section: SectionData) -> list[float]:
    """Write the image so that it lies under the section, and return where.

    Parameters
    ----------
    path : Path
        JPEG, written whole.
    image : TissueImage
        Its spots are those of the section, in order; image and section may be turned or mirrored
        to one another.
    section : SectionData

    Returns
    -------
    list of float
        Left, top, right, bottom of the picture, in the coordinates of the section.
    """
    xy = section.xy.astype(np.float64)
    low, high = xy.min(axis=0), xy.max(axis=0)
    margin = MARGIN * float((high - low).max())
    low, high = low - margin, high + margin
    step = float((high - low).max()) / SIDE
    size = np.maximum(np.ceil((high - low) / step), 1).astype(int)
    design = np.column_stack([xy, np.ones(len(xy))])
    turn = np.linalg.lstsq(design, image.spots, rcond=None)[0]
    # From pixels of the picture to the section, and on to pixels of the image.
    back = np.vstack([np.eye(2) * step, low]) @ turn[:2] + [[0, 0], [0, 0], turn[2]]
    corners = np.array([[0, 0], [size[0], 0], [0, size[1]], size]) @ back[:2] + back[2]
    left, top = (int(v) for v in np.floor(corners.min(axis=0)) - 2)
    right, bottom = (int(v) for v in np.ceil(corners.max(axis=0)) + 2)
    shrink = max(int(np.sqrt(abs(np.linalg.det(back[:2])))), 1)
    seen = image.read(shrink, (left, top, right, bottom))
    whole = Image.fromarray(reduced(seen.rgb, shrink // seen.reduced))
    by = seen.reduced * (shrink // seen.reduced)
    place = (back - [[0, 0], [0, 0], [seen.left, seen.top]]) / by
    matrix = (place[0, 0], place[1, 0], place[2, 0], place[0, 1], place[1, 1], place[2, 1])
    picture = whole.transform(
        (int(size[0]), int(size[1])), Image.Transform.AFFINE, matrix,
        Image.Resampling.BILINEAR, fillcolor=(255, 255, 255),
    )  # fmt: skip
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=86)
    path.write_bytes(content.getvalue())
    right, bottom = low + size * step
    return [float(low[0]), float(low[1]), float(right), float(bottom)]

"""Times the image bank on slides: ``python -m tests.benchmarks.bench_image_bank H5AD FOLDER``.

H5AD holds ``obs.section`` and ``obsm.pixel``; FOLDER holds ``<section>_HE.jpg``. Prints the
seconds to read a slide and to describe it, for subspots at the spots and at a 2 x 2 split.
"""

import sys
import time
from pathlib import Path

import anndata
import numpy as np
from scipy.spatial import cKDTree

from backend.intake.picture import picture_size, read_picture
from backend.models.soscope.image_bank import frame_of, image_bank

SPLIT = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]]) / 4


def main(table: str, folder: str) -> None:
    data = anndata.read_h5ad(table, backed="r")
    for path in sorted(Path(folder).glob("*_HE.jpg")):
        rows = (data.obs["section"] == path.name.split("_")[0]).to_numpy()
        spots = np.asarray(data.obsm["pixel"])[rows].astype(float)
        pitch = float(np.median(cKDTree(spots).query(spots, 2)[0][:, 1]))
        size = picture_size(path)
        fine = (spots[:, None] + pitch * SPLIT).reshape(-1, 2)
        for name, centres, apart in (("spots", spots, pitch), ("2 x 2", fine, pitch / 2)):
            begin = time.perf_counter()
            frame = frame_of(size[::-1], centres, apart)
            box = (frame.left, frame.top, frame.right, frame.bottom)
            picture = read_picture(path, frame.reduce, box)
            read = time.perf_counter() - begin
            image_bank(picture.rgb, picture.places(centres), apart / picture.reduced)
            done = time.perf_counter() - begin - read
            line = f"{path.name} {size[0]} x {size[1]} {name}: read {read:.2f} s, bank {done:.2f} s"
            sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

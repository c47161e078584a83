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
from backend.models.soscope.image_bank import image_bank

SPLIT = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]]) / 4


def main(table: str, folder: str) -> None:
    data = anndata.read_h5ad(table, backed="r")
    for path in sorted(Path(folder).glob("*_HE.jpg")):
        rows = (data.obs["section"] == path.name.split("_")[0]).to_numpy()
        spots = np.asarray(data.obsm["pixel"])[rows].astype(float)
        pitch = float(np.median(cKDTree(spots).query(spots, 2)[0][:, 1]))
        fine = (spots[:, None] + pitch * SPLIT).reshape(-1, 2)
        for name, centres, apart in (("spots", spots, pitch), ("2 x 2", fine, pitch / 2)):
            begin = time.perf_counter()
            picture = read_picture(path, apart)
            read = time.perf_counter() - begin
            image_bank(picture.rgb, centres / picture.reduced, apart / picture.reduced)
            done = time.perf_counter() - begin - read
            size = "{} x {}".format(*picture_size(path))
            line = f"{path.name} {size} {name}: read {read:.2f} s, bank {done:.2f} s"
            sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

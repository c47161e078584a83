"""A reference brain: labelled voxels in the common space, its tree of regions, cortical depth."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from backend.core.errors import BadFile, Fault

LABELS = "dsurqe_ccfv3_200um.npz"
TREE = "dsurqe_tree.json.gz"
#: Origin of the volume's millimetres in the space: anterior, dorsal and left ends, micrometres.
ORIGIN_UM = (5300.0, 5300.0, 5700.0)
LICENCE = (
    "DSURQE mouse brain labels (Dorr, Steadman, Ullmann, Richards, Qiu, Egan) in Allen CCFv3 "
    "space; the source states no licence. CCFv3: Allen Institute terms of use. Cite both."
)
#: What bounds the cortex from below: white matter, cerebral nuclei, claustrum and endopiriform.
BELOW_CORTEX = ("fiber tracts", "CNU", "CLA", "EP", "VS")
CORTEX = "Isocortex"


@dataclass(frozen=True, eq=False)
class Reference:
    """Labelled voxels along the axes of the space.

    Parameters
    ----------
    labels : (a, d, m) int16
        Anterior to posterior, dorsal to ventral, left to right; 0 outside.
    tree : tuple of (acronym, name, parent acronym, labels)
        Regions, parents first; acronyms are unique.
    start_um : (3,) float
        Centre of the first voxel.
    step_um : float
    """

    labels: NDArray[np.int16]
    tree: tuple[tuple[str, str, str, tuple[int, ...]], ...]
    start_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    step_um: float = 200.0
    licence: str = LICENCE
    name: str = "Allen CCFv3"
    _masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict, repr=False)

    @cached_property
    def regions(self) -> Mapping[str, tuple[int, ...]]:
        """Labels of each region by acronym, those of its children included."""
        return {acronym: labels for acronym, _, _, labels in self.tree}

    @cached_property
    def spellings(self) -> Mapping[str, str]:
        """Acronym of each lower-case name and acronym."""
        names = {name.lower(): acronym for acronym, name, _, _ in reversed(self.tree)}
        return names | {acronym.lower(): acronym for acronym, _, _, _ in self.tree}

    def mask(self, acronym: str) -> NDArray[np.bool_]:
        """Return the voxels of a region, (a, d, m)."""
        if acronym not in self._masks:
            self._masks[acronym] = np.isin(self.labels, self.regions[acronym])
        return self._masks[acronym]

    @cached_property
    def depth(self) -> NDArray[np.float32]:
        """Depth in the cortex, 0 at the surface and 1 at the white matter; nan outside it.

        Notes
        -----
        The labels have areas and no layers. The share of the way from the nearest voxel outside
        the hemisphere to the nearest below the cortex stands for the depth: a model, good to
        about a voxel.
        """
        depth = np.full(self.labels.shape, np.nan, np.float32)
        if CORTEX not in self.regions:
            return depth
        cortex = self.mask(CORTEX)
        below = np.zeros_like(cortex)
        for acronym in BELOW_CORTEX:
            if acronym in self.regions:
                below |= self.mask(acronym)
        half = self.labels.shape[2] // 2
        for side in (slice(0, half), slice(half, None)):
            tissue, inner = self.labels[..., side] > 0, below[..., side]
            # The other hemisphere counts as outside: the medial wall is a surface.
            padded = np.pad(tissue, 1)
            outer = distance_transform_edt(padded)[1:-1, 1:-1, 1:-1] - 0.5
            under = distance_transform_edt(~inner) - 0.5
            found = (outer / np.maximum(outer + under, 1e-6)).astype(np.float32)
            depth[..., side] = np.where(cortex[..., side], found, np.nan)
        return depth


def load_reference(folder: Path | str) -> Reference:
    """Read the labels and the tree of regions of a folder.

    Raises
    ------
    BadFile
        If a file is missing, damaged or of another layout.
    """
    labels = _read(Path(folder) / LABELS, _labels)
    tree = _read(Path(folder) / TREE, _tree)
    volume, start = labels
    return Reference(volume, tree, start, 200.0)


def _read(path: Path, parse: Any) -> Any:
    try:
        return parse(path)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error) as error:
        fault = Fault(
            f"cannot be read: {error}",
            str(path),
            f"{LABELS} and {TREE} of the reference",
            "Name the folder that holds both: --reference DIR.",
        )
        raise BadFile(path.name, [fault]) from error


def _labels(path: Path) -> tuple[NDArray[np.int16], tuple[float, float, float]]:
    """Return labels along (AP, DV, ML) and the centre of the first voxel."""
    with np.load(path, allow_pickle=False) as found:
        volume = found["DSURQE_CCFv3_labels_200um"]
        order, text = found["DSURQE_CCFv3_labels_200um_axes"]
    axes = json.loads(str(text))
    if str(order) != "zspace,yspace,xspace" or volume.ndim != 3:
        raise ValueError(f"axes are {order}")
    # Source: z up, y forwards, x to the right, millimetres. Ours: backwards, down, to the right.
    turned = np.ascontiguousarray(volume.transpose(1, 0, 2)[::-1, ::-1, :], dtype=np.int16)
    ends = [
        1000 * (axes[a]["start"] + axes[a]["step"] * (n - 1))
        for a, n in (("yspace", volume.shape[1]), ("zspace", volume.shape[0]))
    ]
    start = (
        ORIGIN_UM[0] - ends[0],
        ORIGIN_UM[1] - ends[1],
        ORIGIN_UM[2] + 1000 * axes["xspace"]["start"],
    )
    return turned, start


def _tree(path: Path) -> tuple[tuple[str, str, str, tuple[int, ...]], ...]:
    """Return regions once each, parents first; sides of the brain are left out."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        root = json.load(file)["msg"][0]
    found: dict[str, tuple[str, str, str, tuple[int, ...]]] = {}
    for acronym, name, parent, labels in _walk(root, ""):
        if not name.startswith(("left ", "right ")):
            found.setdefault(acronym, (acronym, name, parent, labels))
    return tuple(found.values())


def _walk(node: Mapping[str, Any], parent: str) -> Iterator[tuple[str, str, str, tuple[int, ...]]]:
    labels = node.get("label") or []
    own = tuple(labels) if isinstance(labels, list) else (int(labels),)
    acronym = str(node["acronym"])
    yield acronym, str(node["name"]), parent, own
    children = node.get("children") or {}
    for child in children.values() if isinstance(children, dict) else children:
        yield from _walk(child, acronym)

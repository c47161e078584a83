"""The figures of the reference's run of INSPIRE, and how far ours may lie from them."""

from __future__ import annotations

#: Value and tolerance by name.
Figures = dict[str, tuple[float, float]]

_ARI, _MIX, _R = 0.12, 0.1, 0.04

#: Relative tolerances: what five drawn networks lie apart at the first step, batches later.
LOSSES: dict[str, dict[int, Figures]] = {
    "linear": {
        0: {
            "L_D": (2.73, 0.15),
            "L_REC": (102.8, 0.06),
            "L_FE": (49.4, 0.06),
            "L_GEO": (33.6, 0.45),
            "L_B": (87.0, 0.15),
        },
        500: {"L_REC": (70.3, 0.1), "L_FE": (15.7, 0.1), "L_B": (76.0, 0.03)},
        1000: {"L_REC": (52.9, 0.1), "L_FE": (13.7, 0.1), "L_B": (76.1, 0.03)},
        1500: {"L_REC": (37.6, 0.25), "L_FE": (13.4, 0.1), "L_B": (76.3, 0.03)},
    },
    "attention": {
        0: {
            "L_D": (2.80, 0.15),
            "L_REC": (99.8, 0.06),
            "L_FE": (46.9, 0.06),
            "L_GEO": (467.2, 0.45),
            "L_B": (78.9, 0.15),
        },
    },
}

METRICS: dict[str, Figures] = {
    "linear": {
        "type, k-means on z: ARI": (0.488, _ARI),
        "type, k-means on z: NMI": (0.515, _ARI),
        "region, k-means on z: ARI": (0.207, _ARI),
        "region, k-means on z: NMI": (0.227, _ARI),
        "mixing, entropy": (0.941, _MIX),
        "mixing, iLISI": (2.49, 0.3),
        "type, 15 cells of other sections": (0.755, 0.06),
        "region, 15 cells of other sections": (0.629, 0.06),
        "type, k-means on proportions: ARI": (0.493, _ARI),
        "type, k-means on proportions: NMI": (0.505, _ARI),
        "type, strongest factor: ARI": (0.508, _ARI),
        "type, strongest factor: NMI": (0.507, _ARI),
        "1 nearest, r, section 0": (0.165, _R),
        "1 nearest, r, section 1": (0.146, _R),
        "1 nearest, r, section 2": (0.162, _R),
        "15 nearest, r, section 0": (0.284, _R),
        "15 nearest, r, section 1": (0.252, _R),
        "15 nearest, r, section 2": (0.298, _R),
        "50 nearest, r, section 0": (0.304, _R),
        "50 nearest, r, section 1": (0.267, _R),
        "50 nearest, r, section 2": (0.321, _R),
    },
    "attention": {
        "type, k-means on z: ARI": (0.178, _ARI),
        "type, k-means on z: NMI": (0.266, _ARI),
        "region, k-means on z: ARI": (0.788, _ARI),
        "region, k-means on z: NMI": (0.749, _ARI),
        "mixing, entropy": (0.760, _MIX),
        "mixing, iLISI": (1.65, 0.3),
        "type, 15 cells of other sections": (0.439, 0.06),
        "region, 15 cells of other sections": (0.908, 0.06),
        "type, k-means on proportions: ARI": (0.098, _ARI),
        "type, k-means on proportions: NMI": (0.157, _ARI),
        "type, strongest factor: ARI": (0.097, _ARI),
        "type, strongest factor: NMI": (0.142, _ARI),
        "region, strongest factor: ARI": (0.303, _ARI),
        "region, strongest factor: NMI": (0.360, _ARI),
        "1 nearest, r, section 0": (0.079, _R),
        "1 nearest, r, section 1": (0.071, _R),
        "1 nearest, r, section 2": (0.082, _R),
        "50 nearest, r, section 0": (0.209, _R),
        "50 nearest, r, section 1": (0.184, _R),
        "50 nearest, r, section 2": (0.219, _R),
    },
}

#: 20 principal components of the same genes.
BASELINE: Figures = {
    "type, k-means on z: ARI": (0.731, 0.02),
    "type, k-means on z: NMI": (0.713, 0.02),
    "region, k-means on z: ARI": (0.191, 0.02),
    "region, k-means on z: NMI": (0.225, 0.02),
    "mixing, entropy": (0.960, 0.01),
    "mixing, iLISI": (2.53, 0.05),
    "type, 15 cells of other sections": (0.841, 0.01),
    "region, 15 cells of other sections": (0.709, 0.01),
    "50 nearest, r, section 0": (0.349, 0.01),
    "50 nearest, r, section 1": (0.301, 0.01),
    "50 nearest, r, section 2": (0.367, 0.01),
}

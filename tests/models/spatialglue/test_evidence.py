from __future__ import annotations

import numpy as np
from scipy.sparse import identity

from backend.models.spatialglue.evidence import (
    commonest_state,
    energy_weights,
    evidence_bits,
    signal_energy,
    subset_gaussians,
    weights_of,
)

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2, 3], 50)
SHARE = np.full(4, 0.25)


def _bits(axes: list[np.ndarray], present: np.ndarray | None = None) -> np.ndarray:
    axes = [a.astype(np.float32) for a in axes]
    present = np.ones((200, len(axes)), bool) if present is None else present
    gaussians = subset_gaussians(axes, present, LABELS, 4)
    return evidence_bits(axes, present, gaussians, SHARE)


def _telling(classes: np.ndarray) -> np.ndarray:
    return 20.0 * classes[:, None] + RNG.normal(size=(200, 1))


def test_each_modality_is_credited_with_the_bit_that_it_tells() -> None:
    # one tells the upper from the lower half, the other odd from even: one bit each, two in all
    bits = _bits([_telling(LABELS // 2), _telling(LABELS % 2)])
    np.testing.assert_allclose(bits.mean(axis=0), 1, atol=0.02)
    np.testing.assert_allclose(bits, 1, atol=0.4)  # means of four classes are estimates


def test_a_blind_modality_gets_nothing_and_twins_share() -> None:
    axes = [_telling(LABELS), RNG.normal(size=(200, 1))]
    bits = _bits(axes)
    np.testing.assert_allclose(bits.sum(axis=1), 2, atol=0.02)
    np.testing.assert_allclose(bits[:, 1].mean(), 0, atol=0.05)
    twins = _bits([axes[0], axes[0] + 0.1 * RNG.normal(size=(200, 1))])
    np.testing.assert_allclose(twins.mean(axis=0), 1, atol=0.05)


def test_bits_add_up_to_what_all_tell_together() -> None:
    axes = [RNG.normal(size=(200, 2)) + LABELS[:, None] * s for s in (0.3, 0.6, 0.9)]
    bits = _bits(axes)
    gaussians = subset_gaussians([a.astype(np.float32) for a in axes], np.ones((200, 3), bool),
                                 LABELS, 4)  # fmt: skip
    p = gaussians[0, 1, 2].posterior(np.concatenate(axes, axis=1).astype(np.float32))
    total = (p * np.log2(np.maximum(p, 1e-4) / 0.25)).sum(axis=1)
    np.testing.assert_allclose(bits.sum(axis=1), total, atol=0.02)


def test_spots_without_evidence_weigh_all_alike() -> None:
    present = np.array([[True, True], [True, False], [False, False]])
    weights = weights_of(np.array([[0.0, -1], [1, 1], [0, 0]]), present)
    np.testing.assert_allclose(weights, [[0.5, 0.5], [1, 0], [0, 0]])


def test_a_missing_modality_has_no_bits() -> None:
    present = np.ones((200, 2), bool)
    present[::3, 1] = False
    bits = _bits([_telling(LABELS // 2), _telling(LABELS % 2)], present)
    assert not bits[~present].any()
    np.testing.assert_allclose(bits[present[:, 1]].mean(axis=0), 1, atol=0.05)


def test_energy_is_distance_from_the_commonest_state() -> None:
    x = np.zeros((100, 1), np.float32)
    x[80:] = 5
    np.testing.assert_allclose(commonest_state(x), 0, atol=1e-6)
    energy = signal_energy([x, np.zeros((100, 0), np.float32)], np.ones((100, 2), bool),
                           identity(100, format="csr"))  # fmt: skip
    assert not energy[:80].any()
    np.testing.assert_allclose(energy[80:, 0], 24)
    weights = energy_weights(energy, np.ones((100, 2), bool))
    np.testing.assert_allclose(weights[90], [25 / 26, 1 / 26], rtol=1e-5)

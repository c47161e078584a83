from __future__ import annotations

import pytest

from backend.models.fusemap.parity.schedule import Progress, after, fading, is_over
from backend.models.fusemap.parity.settings import PhaseSettings, Settings

PHASE = PhaseSettings(plateau=2, stop=3)


def _after(losses: list[float]) -> Progress:
    progress = Progress(1e-3)
    for loss in losses:
        progress = after(progress, loss, PHASE)
    return progress


def test_noise_is_whole_for_long_and_gone_soon_after() -> None:
    assert fading(15, 14) == pytest.approx(1.0, abs=1e-3)
    assert fading(15, 29) == pytest.approx(0.248, abs=1e-3)
    assert fading(30, 29) == 0.0
    assert fading(1, 40) == 1.0


def test_the_rate_is_halved_after_the_third_epoch_without_improvement() -> None:
    assert _after([1.0, 1.1, 1.1]).rate == 1e-3
    assert _after([1.0, 1.1, 1.1, 1.1]).rate == 5e-4
    assert _after([1.0, 1.1, 1.1, 1.1, 1.1, 1.1]).rate == 5e-4
    assert _after([1.0, 1.1, 0.9, 1.1, 1.1]).rate == 1e-3


def test_a_tiny_improvement_keeps_a_phase_alive_but_not_its_rate() -> None:
    losses = [1.0 - 1e-6 * i for i in range(4)]
    assert _after(losses).waited == 0
    assert _after(losses).rate == 5e-4


def test_a_phase_ends_after_enough_epochs_without_improvement_or_at_a_tiny_rate() -> None:
    settings = Settings()
    assert not is_over(_after([1.0, 1.1, 1.1]), PHASE, settings)
    assert is_over(_after([1.0, 1.1, 1.1, 1.1]), PHASE, settings)
    assert is_over(Progress(9e-6), PHASE, settings)


@pytest.mark.parametrize("losses", [[], [1.0, 1.1]])
def test_progress_survives_json(losses: list[float]) -> None:
    assert Progress.from_json(_after(losses).as_json()) == _after(losses)

"""Means of losses before their updates, against sums written out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitspot.config import TrainConfig
from digitspot.training.prequential import Prequential

LOSSES = st.lists(st.floats(0, 100), min_size=1, max_size=60)


@given(LOSSES, st.floats(0, 1), st.integers(1, 20))
def test_figures_are_the_written_out_sums(losses: list[float], fading: float, window: int) -> None:
    config = TrainConfig(prequential_fading=fading, prequential_window=window)
    prequential = Prequential()
    for loss in losses:
        prequential.add(loss, config)
    weights = [fading**age for age in range(len(losses))][::-1]
    faded = sum(weight * loss for weight, loss in zip(weights, losses, strict=True)) / sum(weights)
    figures = prequential.figures()
    assert figures["prequential_faded"] == pytest.approx(faded)
    last = losses[-window:]
    assert figures["prequential_window"] == pytest.approx(sum(last) / len(last))
    assert len(prequential.recent) == len(last)


def test_a_round_begins_anew() -> None:
    prequential, config = Prequential(), TrainConfig()
    for loss in (1.0, 3.0):
        prequential.add(loss, config)
    assert prequential.end_round() == 2.0
    prequential.add(5.0, config)
    assert prequential.end_round() == 5.0
    assert prequential.faded_weight > 2, "the faded mean goes on"

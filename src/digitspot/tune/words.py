"""How trials are spoken of."""

from __future__ import annotations

from optuna.trial import TrialState

from digitspot.experiments.overrides import Overrides

STATES = {
    TrialState.COMPLETE: "whole",
    TrialState.PRUNED: "ended early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "begun",
}


def said(values: Overrides) -> str:
    """Return settings in a line."""
    return ", ".join(f"{name} {shortly(value)}" for name, value in values.items())


def shortly(value: object) -> str:
    """Return a value with the digits that count.

    >>> shortly(0.00123456), shortly(64), shortly("photo")
    ('0.001235', '64', 'photo')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)

"""Settings, counts and states of trials as text."""

from __future__ import annotations

from collections import Counter

from optuna.trial import TrialState

from digitspot.experiments.overrides import Overrides

STATES = {
    TrialState.COMPLETE: "whole",
    TrialState.PRUNED: "ended early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "begun",
}


def said(values: Overrides, briefly: bool = False) -> str:
    """Return settings in a line; briefly, without the sections of names that are clear without.

    >>> said({"optimizer.lr": 0.00123456, "model.dropout": 0.5}, briefly=True)
    'lr 0.001235, dropout 0.5'
    >>> said({"schedule.kind": "wsd", "augment.preset": "photo", "model.preset": "nano"}, briefly=True)
    'kind wsd, augment.preset photo, model.preset nano'
    """
    ends = Counter(map(_end, values))
    names = {name: _end(name) if briefly and ends[_end(name)] == 1 else name for name in values}
    return ", ".join(f"{names[name]} {shortly(value)}" for name, value in values.items())


def _end(name: str) -> str:
    return name.rpartition(".")[2]


def counted(num: int, what: str) -> str:
    """Return a number with its word.

    >>> counted(1, "trial"), counted(1200, "image")
    ('1 trial', '1,200 images')
    """
    return f"{num:,} {what}" if num == 1 else f"{num:,} {what}s"


def shortly(value: object) -> str:
    """Return a value with the digits that count.

    >>> shortly(0.00123456), shortly(64), shortly("photo")
    ('0.001235', '64', 'photo')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)

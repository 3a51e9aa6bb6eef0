"""Which devices trainings get, as `CUDA_VISIBLE_DEVICES` and the command line say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from digitspot.config import Config
from digitspot.errors import ConfigError
from digitspot.experiments.ablate import devices_to_use
from digitspot.experiments.ablation import Study, Variant


def study(device: str = "auto") -> Study:
    config = replace(Config(), train=replace(Config().train, device=device))
    variant = Variant(name="none", config=config, answering={}, trained_as="none")
    return Study(
        name="a", question="?", images=None, seeds=(0,), split="test", variants=(variant,), unequal=None
    )


@pytest.mark.parametrize(
    ("visible", "count", "names", "expected"),
    [
        (None, 0, (), [None]),
        (None, 1, (), [None]),
        (None, 4, (), ["0", "1", "2", "3"]),
        (None, 4, ("3", "1"), ["3", "1"]),
        ("2,5", 2, (), ["2", "5"]),
        ("2,5", 2, ("1",), ["5"]),
        ("GPU-a,GPU-b", 2, ("0",), ["GPU-a"]),
    ],
)
def test_devices_are_those_that_this_process_sees(
    visible: str | None, count: int, names: tuple[str, ...], expected: list[str | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices_to_use(names, study()) == expected


@pytest.mark.parametrize(("names", "device"), [(("2",), "auto"), (("cuda:0",), "auto"), ((), "cuda:1")])
def test_what_cannot_be_given_out(
    names: tuple[str, ...], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError):
        devices_to_use(names, study(device))

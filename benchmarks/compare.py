"""Compare ways of doing the same, interleaved in one run: ratios with their spread.

A shared machine drifts by the minute; two ways timed in turns drift together, so the ratio of
neighbouring turns is what can be trusted, not the seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles


@dataclass(frozen=True)
class Comparison:
    """Seconds of each way, turn by turn.

    Attributes:
        seconds: By name, in the order of the turns.
    """

    seconds: Mapping[str, tuple[float, ...]]

    def ratio(self, slow: str, fast: str) -> tuple[float, float, float]:
        """Return how many times as long `slow` takes: median, lower and upper quartile over the turns."""
        ratios = [a / b for a, b in zip(self.seconds[slow], self.seconds[fast], strict=True)]
        low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
        return median(ratios), low, high

    def rate(self, name: str, count: int) -> float:
        """Return units a second at the median turn."""
        return count / median(self.seconds[name])


def interleave(ways: Mapping[str, Callable[[], object]], turns: int, warmups: int = 1) -> Comparison:
    """Time each way once a turn, after some turns that do not count.

    Args:
        ways: What to call, by name.
        turns: Turns that count.
        warmups: Turns before them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(warmups + turns):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if turn >= warmups:
                seconds[name].append(time.perf_counter() - start)
    return Comparison({name: tuple(values) for name, values in seconds.items()})

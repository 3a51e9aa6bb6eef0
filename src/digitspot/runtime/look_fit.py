"""Fitting the reader to a runtime: how often to look, where, and what the digits found mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from digitspot.errors import ConfigError
from digitspot.reading import LookSettings, ReadingSettings, fit_settings
from digitspot.runtime import Runtime
from digitspot.runtime.looks import with_looks
from digitspot.types import Detections, FloatArray, ImageArray

Progress = Callable[[int, int], None]
CROP_MARGINS = ((0.6, 0.2), (1.0, 0.3), (1.5, 0.5))
"""Room around the number that is tried for further looks, in heights of its digits: at the sides, and above
and below. A network sees a crop best with the room that it was trained with."""
FURTHER_SIZES = (1.0, 0.75, 1.25)
"""Input sizes of the looks after the first, as parts of the size of that (benchmarks/results/accuracy.md)."""
MAX_LOOKS = 1 + len(FURTHER_SIZES)
ENOUGH = 0.85
"""A number that is so probable after some looks is not looked at again (benchmarks/results/accuracy.md)."""
MIN_SHORT_SIDE = 16
"""Pixels; a network sees no digit in less."""
CHUNK = 128
"""Images in memory at a time."""


@dataclass(frozen=True)
class LabelledView:
    """An image as it is seen, and what it shows.

    Attributes:
        image: uint8 RGB `[H, W, 3]`.
        boxes: The true ones, `[N, 4]`, in its pixels.
        number: The true one; None where there is none.
        image_id: Views of one image have the same.
    """

    image: ImageArray
    boxes: FloatArray
    number: str | None
    image_id: int


def fit_looks(
    runtime: Runtime,
    views: Callable[[], Iterable[LabelledView]],
    num_views: int,
    *,
    num_looks: int = 1,
    short_sides: Sequence[int] = (),
    progress: Progress = lambda done, total: None,
) -> ReadingSettings:
    """Fit the reader to what a runtime finds.

    Args:
        runtime: Finds digits in one look.
        views: Returns the images, anew at each call, with their labels; more than one look needs them four
            times.
        num_views: How many these are.
        num_looks: Looks at most, 1 to `MAX_LOOKS`. Those after the first are around the number, with those of
            `CROP_MARGINS` by which most numbers are read right.
        short_sides: Input sizes, of the shorter side in pixels; empty is the model's own. With one look the
            whole image is looked at in each, and what is found is fused. With more they are those of the
            looks in turn; of one alone the others follow (`FURTHER_SIZES`).
        progress: Called with the views done and their total.

    Raises:
        ConfigError: Sizes and looks do not go together, or are out of range.
    """
    sizes = _sizes_of_looks(runtime.rule.short_side, short_sides, num_looks)
    margins = CROP_MARGINS if num_looks > 1 else ()

    def fit(looks: LookSettings | None, number: int) -> ReadingSettings:
        def show(done: int) -> None:
            progress(number * num_views + done, (1 + len(margins)) * num_views)

        with_these = with_looks(runtime, ReadingSettings(looks=looks))
        return replace(_fit(with_these, views(), show), looks=looks)

    if not margins:
        return fit(LookSettings(short_sides=sizes) if short_sides else None, 0)
    first = fit(LookSettings(short_sides=sizes[:1]), 0)
    looks = LookSettings(
        short_sides=sizes, weights=first.weights, number_weights=first.number_weights, enough=ENOUGH
    )
    tries = [fit(replace(looks, margins=room), number) for number, room in enumerate(margins, 1)]
    return max(tries, key=lambda each: each.accuracy or 0.0)


def _sizes_of_looks(own: int, short_sides: Sequence[int], num_looks: int) -> tuple[int, ...]:
    """Return the input size of each look, given the model's own.

    >>> _sizes_of_looks(96, (128,), 4)
    (128, 128, 96, 160)
    """
    if not 1 <= num_looks <= MAX_LOOKS:
        raise ConfigError(f"{num_looks} looks: need 1 to {MAX_LOOKS}")
    sizes = tuple(short_sides) or (own,)
    if num_looks > 1 and len(sizes) == 1:
        sizes += tuple(round(factor * sizes[0]) for factor in FURTHER_SIZES[: num_looks - 1])
    if num_looks > 1 and len(sizes) != num_looks:
        raise ConfigError(
            f"{len(sizes)} input sizes for {num_looks} looks", hint="Give one size, or one for each look."
        )
    if min(sizes) < MIN_SHORT_SIDE:
        raise ConfigError(f"looks at short sides {sizes}: need {MIN_SHORT_SIDE} pixels or more")
    return sizes


def _fit(runtime: Runtime, views: Iterable[LabelledView], progress: Callable[[int], None]) -> ReadingSettings:
    """Fit the reader to what a runtime finds in every view."""
    views = iter(views)
    found: list[Detections] = []
    numbers: list[str | None] = []
    images: list[int] = []
    boxes: list[FloatArray] = []
    while chunk := list(islice(views, CHUNK)):
        found += runtime.detect([each.image for each in chunk])
        numbers += [each.number for each in chunk]
        images += [each.image_id for each in chunk]
        boxes += [each.boxes for each in chunk]
        progress(len(found))
    settings, _ = fit_settings(found, numbers, images=images, boxes=boxes)
    return settings

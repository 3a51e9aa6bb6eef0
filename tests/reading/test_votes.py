"""Votes over frames of one number."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitspot.reading import vote
from digitspot.types import Digit, Reading


def read(text: str, probability: float, unsure: bool = False) -> Reading:
    digits = tuple(Digit(text=each, box=(0, 0, 1, 1), score=0.9, probability=0.9) for each in text)
    if unsure:
        return Reading(
            text=None, probability=probability, digits=digits, decision="abstained", reason="unsure"
        )
    return Reading(text=text or None, probability=probability, digits=digits)


FRAMES = st.lists(
    st.tuples(st.sampled_from(["", "7", "12", "13", "012"]), st.integers(0, 1000)), min_size=1, max_size=6
).map(lambda rows: [read(text, share / 1000) for text, share in rows])


def test_three_frames_by_hand() -> None:
    """Independent frames: "12" from two, "13" from one, over these two numbers and nine others.

    For "12" 0.6 * 0.5 * 0.03, for "13" 0.04 * 0.05 * 0.7, for each other one 0.04 * 0.05 * 0.03.
    """
    voted = vote([read("12", 0.6), read("13", 0.7), read("12", 0.5)], correlation=0)
    for_12, for_13, other = 0.6 * 0.5 * 0.03, 0.04 * 0.05 * 0.7, 0.04 * 0.05 * 0.03
    assert voted.text == "12"
    assert voted.probability == pytest.approx(for_12 / (for_12 + for_13 + 9 * other))


def test_the_digits_are_of_the_surest_frame_of_the_number() -> None:
    frames = [read("12", 0.6), read("12", 0.8), read("13", 0.7)]
    assert vote(frames).digits is frames[1].digits
    assert vote([read("7", 0.9), read("", 0.99), read("", 0.99)]).text is None


def test_what_was_not_answered_counts_and_may_be_answered_together() -> None:
    unsure = [read("42", 0.7, unsure=True)] * 3
    voted = vote(unsure, correlation=0.2)
    assert (voted.text, voted.decision, voted.reason) == ("42", "accepted", "seen")
    assert voted.probability > 0.9


def test_frames_in_which_nothing_is_allowed_do_not_count() -> None:
    turned_down = replace(read("99", 0.01), text=None, decision="abstained", reason="rules")
    assert vote([turned_down, turned_down, read("42", 0.6)]).text == "42"
    corrected = replace(read("42", 0.6), decision="corrected", reason="rules", corrected_from="99")
    assert vote([turned_down, corrected]).text == "42"
    assert vote([turned_down, turned_down, corrected]).text is None, "one against two that see another number"
    alone = vote([turned_down])
    assert (alone.text, alone.number, alone.reason) == (None, None, "rules")


@given(st.sampled_from(["", "042"]), st.integers(1, 999), st.integers(1, 9))
def test_frames_that_say_the_same(text: str, share: int, num: int) -> None:
    p = share / 1000
    assert vote([read(text, p)]).probability == pytest.approx(p, abs=1e-6)
    assert vote([read(text, p)] * num, correlation=1).probability == pytest.approx(p, abs=1e-6)
    assert vote([read(text, p)] * num).text == (text or None)


@given(FRAMES, st.randoms(use_true_random=False))
def test_order_of_the_frames_changes_nothing(frames: list[Reading], random: np.random.Generator) -> None:
    shuffled = list(frames)
    random.shuffle(shuffled)  # type: ignore[arg-type]
    one, other = vote(frames), vote(shuffled)
    assert (one.text, one.probability) == (other.text, pytest.approx(other.probability, abs=1e-9))
    assert 0 <= one.probability <= 1


@given(FRAMES, st.integers(600, 999))
def test_one_more_frame_that_agrees_makes_it_surer(frames: list[Reading], share: int) -> None:
    """Where frames are independent; else the others weigh less for it."""
    before = vote(frames, correlation=0)
    after = vote([*frames, read(before.text or "", share / 1000)], correlation=0)
    assert after.text == before.text
    assert after.probability >= before.probability - 1e-9


@pytest.mark.parametrize(("num", "correlation"), [(0, 0.5), (2, -0.1), (2, 1.1)])
def test_what_cannot_be_voted_on(num: int, correlation: float) -> None:
    with pytest.raises(ValueError, match="correlation"):
        vote([read("1", 0.5)] * num, correlation)

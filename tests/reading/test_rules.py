"""What rules allow, which are refused, and what is read under them."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitspot.errors import ConfigError
from digitspot.reading import ReadingSettings, Rules, abstain, read_number
from digitspot.reading.rules import EXTRA, MISSED, misread
from digitspot.types import Detections
from reading_layouts import digits_at, found_in

PRIOR = ReadingSettings()


def known(*texts: str) -> Rules:
    return Rules(known=frozenset(texts))


METER = Rules(length=5, previous=99_990, max_change=20)


@pytest.mark.parametrize(
    ("rules", "text", "allowed"),
    [
        (Rules(), "007", True),
        (Rules(length=3), "042", True),
        (Rules(length=3), "42", False),
        (Rules(length=3), "", True),
        (Rules(at_least=42), "042", True),
        (Rules(at_least=42), "41", False),
        (Rules(at_most=42), "42", True),
        (Rules(at_most=42), "43", False),
        (Rules(at_least=0), "0", True),
        (Rules(pattern="[1-9][0-9]*"), "10", True),
        (Rules(pattern="[1-9][0-9]*"), "01", False),
        (Rules(pattern="1"), "11", False),
        (known("12", "014"), "014", True),
        (known("12", "014"), "14", False),
        (Rules(decimals=2, at_most=Decimal("1.50")), "150", True),
        (Rules(decimals=2, at_most=Decimal("1.50")), "151", False),
        (Rules(previous=139), "139", True),
        (Rules(previous=139), "138", False),
        (Rules(previous=139, may_fall=True), "138", True),
        (Rules(previous=139, max_change=10), "149", True),
        (Rules(previous=139, max_change=10), "150", False),
        (Rules(previous=139, max_change=10, may_fall=True), "129", True),
        (Rules(previous=139, max_change=10, may_fall=True), "128", False),
        (METER, "00003", True),
        (METER, "00011", False),
        (METER, "99989", False),
        (Rules(length=5, previous=3, max_change=20, may_fall=True), "99998", True),
        (Rules(length=3, decimals=1, previous=Decimal("99.8"), max_change=1), "003", True),
        (Rules(length=3, decimals=1, previous=Decimal("99.8"), max_change=1), "013", False),
    ],
)
def test_what_rules_allow(rules: Rules, text: str, allowed: bool) -> None:
    assert rules.allows(text) == allowed


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"length": 0}, "length 0"),
        ({"length": 25}, "length 25"),
        ({"decimals": -1}, "decimals -1"),
        ({"length": 2, "decimals": 3}, "decimals 3"),
        ({"at_least": -1}, "at_least -1"),
        ({"at_most": Decimal("nan")}, "at_most NaN"),
        ({"at_least": 500, "at_most": 100}, "at_least 500, at_most 100"),
        ({"length": 2, "at_least": 500}, "length 2, at_least 500"),
        ({"at_least": Decimal("1.5"), "at_most": Decimal("1.7")}, "no number meets"),
        ({"pattern": "["}, "no regular expression"),
        ({"pattern": "[a-z]", "length": 1}, "no number meets"),
        ({"pattern": "12", "length": 3}, "no number meets"),
        ({"known": frozenset({"1x"})}, "'1x' is not digits"),
        ({"known": frozenset()}, "no number meets"),
        ({"known": frozenset({"12", "13"}), "length": 3}, "no number meets"),
        ({"max_change": 5}, "need previous"),
        ({"may_fall": True}, "need previous"),
        ({"previous": 123, "length": 2}, "no number meets"),
        ({"previous": 50, "at_most": 49}, "no number meets"),
        ({"previous": 50, "max_change": 5, "at_least": 60}, "no number meets"),
    ],
)
def test_rules_that_nothing_meets_are_refused(rules: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        Rules(**rules)  # type: ignore[arg-type]


UNSURE = digits_at((0, 1, 0.5), (0, 7, 0.45), (20, 4, 0.9), (20, 9, 0.05), (40, 2, 0.3))
"""Reads "14"; "142" and "74" come close."""
SURE = digits_at((0, 2, 0.99), (20, 5, 0.99), (40, 4, 0.99))
"""Reads "254"; a 5 is often a 3."""
NOISE = digits_at((0, 2, 0.03), (30, 1, 0.02), (60, 6, 0.03))


@pytest.mark.parametrize(
    ("detections", "rules", "text", "decision", "reason"),
    [
        (UNSURE, Rules(length=2), "14", "accepted", "seen"),
        (UNSURE, Rules(at_least=20, at_most=80), "74", "corrected", "rules"),
        (UNSURE, Rules(pattern="7.*"), "74", "corrected", "rules"),
        (UNSURE, known("74", "19", "555"), "74", "corrected", "known"),
        (UNSURE, known("38"), None, "abstained", "rules"),
        (UNSURE, Rules(length=5), None, "abstained", "rules"),
        (SURE, known("999", "555"), None, "abstained", "rules"),
        (SURE, known("2545", "185"), "2545", "corrected", "known"),
        (SURE, known("234", "990"), "234", "corrected", "known"),
        (SURE, known("2540", "2541", "2545"), None, "abstained", "rules"),
        (digits_at((0, 1, 0.95), (20, 1, 0.95), (20, 4, 0.006)), known("14"), "14", "corrected", "known"),
        (NOISE, Rules(length=3), None, "accepted", "nothing"),
        (NOISE, known("216"), None, "accepted", "nothing"),
        (digits_at(), Rules(length=3), None, "accepted", "nothing"),
    ],
)
def test_what_is_read(
    detections: Detections, rules: Rules, text: str | None, decision: str, reason: str
) -> None:
    reading = read_number(detections, PRIOR, rules)
    assert (reading.text, reading.decision, reading.reason) == (text, decision, reason)
    seen = read_number(detections, PRIOR)
    assert reading.corrected_from == (seen.text if decision == "corrected" else None)
    assert (seen.text or "no number") in reading.explanation
    assert 0 <= reading.probability <= 1


def test_probabilities_are_given_the_rules() -> None:
    free, two = read_number(UNSURE, PRIOR), read_number(UNSURE, PRIOR, Rules(length=2))
    only = read_number(UNSURE, PRIOR, known("14", "555"))
    assert free.probability < two.probability < only.probability
    assert two.digits == free.digits


def test_a_correction_that_is_not_sure_enough_is_no_answer() -> None:
    corrected = read_number(UNSURE, PRIOR, Rules(pattern="7.*"))
    turned_down = abstain(corrected, 0.9999)
    assert (turned_down.text, turned_down.number, turned_down.decision) == (None, None, "abstained")
    unsure = abstain(read_number(UNSURE, PRIOR), 0.9999)
    assert (unsure.text, unsure.number, unsure.reason) == (None, "14", "unsure")


@pytest.mark.parametrize(
    ("text", "decimals", "shown"), [("01234", 2, "012.34"), ("7", 2, "0.07"), ("12", 0, "12"), (None, 2, "")]
)
def test_the_decimal_point(text: str | None, decimals: int, shown: str) -> None:
    rows = [(15.0 * place, int(digit), 0.99) for place, digit in enumerate(text or "")]
    assert str(read_number(digits_at(*rows), PRIOR, Rules(decimals=decimals))) == shown


TEXTS = st.text("0123456789", min_size=1, max_size=6)


@given(TEXTS, TEXTS)
def test_a_misreading_is_less_probable_than_reading_it_right(text: str, seen: str) -> None:
    assert 0 < misread(text, seen) <= 1
    assert misread(text, seen) <= misread(text, text) or text == seen


def test_misreadings_by_hand() -> None:
    right = misread("27", "27")
    assert misread("274", "27") == pytest.approx(right * MISSED)
    assert misread("27", "274") == pytest.approx(right * EXTRA)
    assert misread("3", "5") > misread("3", "1")


def _rules_for(number: str, random: np.random.Generator) -> Rules:
    """Return rules that a number meets."""
    others = {str(each) for each in random.integers(0, 10 ** len(number), 20)}
    return [
        Rules(length=len(number)),
        Rules(known=frozenset({number, *others})),
        Rules(at_least=max(0, int(number) - 50), at_most=int(number) + 50),
        Rules(previous=max(0, int(number) - 5), max_change=10),
    ][int(random.integers(4))]


@pytest.mark.parametrize("below", [0.0, 0.5, 0.8])
def test_what_is_accepted_with_rules_is_never_less_accurate(below: float) -> None:
    """On noisy digits, under true rules of every kind: more answers are right, and a larger share of them."""
    random = np.random.default_rng(5)
    right: dict[bool, list[bool]] = {False: [], True: []}
    for _ in range(400):
        number, clean = found_in(random, "straight", num_false=1)
        scores = clean.scores * random.uniform(0.7, 1, len(clean)).astype(np.float32)
        other = random.random(len(clean)) < 0.08
        labels = np.where(other, random.integers(1, 11, len(clean)), clean.labels)
        noisy = Detections(boxes=clean.boxes, labels=labels, scores=scores)
        rules = _rules_for(number, random)
        for with_rules in (False, True):
            reading = abstain(read_number(noisy, PRIOR, rules if with_rules else None), below)
            if reading.decision != "abstained":
                right[with_rules].append(reading.text == number)
                if with_rules:
                    assert rules.allows(reading.text or "")
    without, given_rules = (float(np.mean(right[each])) for each in (False, True))
    assert given_rules >= without
    assert sum(right[True]) > sum(right[False])
    assert 0.2 < without < 0.99
    assert not math.isclose(without, given_rules)


@pytest.mark.parametrize("name", ["at_least", "at_most", "previous", "max_change"])
def test_values_that_no_number_has(name: str) -> None:
    """They would overflow."""
    rest = {"previous": Decimal(1)} if name == "max_change" else {}
    for value in ("1e30", "9e999999", "nan", "-1"):
        with pytest.raises(ConfigError, match=name):
            Rules(length=5, **{**rest, name: Decimal(value)})

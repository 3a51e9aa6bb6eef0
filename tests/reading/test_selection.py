"""Abstaining: the bound against its definition, and that the guarantee holds as often as it says."""

import math

import numpy as np
import pytest

from digitspot.reading.selection import RiskTable, binomial_upper_bound, select, tabulate_risk


@pytest.mark.parametrize(("wrong", "num"), [(0, 50), (3, 50), (20, 50), (1, 2), (40, 1000)])
def test_bound_is_where_so_few_mistakes_are_improbable(wrong: int, num: int) -> None:
    risk = binomial_upper_bound(wrong, num, 0.05)
    tail = sum(math.comb(num, k) * risk**k * (1 - risk) ** (num - k) for k in range(wrong + 1))
    assert tail == pytest.approx(0.05, rel=1e-6)


def test_bound_of_no_trial_says_nothing() -> None:
    assert binomial_upper_bound(0, 0, 0.05) == 1
    assert binomial_upper_bound(5, 5, 0.05) == 1


def test_fractions_count_against_the_reader() -> None:
    assert binomial_upper_bound(2.5, 99.5, 0.05) == binomial_upper_bound(3, 99, 0.05)


def test_table_counts_what_is_answered_and_wrong() -> None:
    table = tabulate_risk(np.array([0.9, 0.2, 0.6, 0.6]), np.array([True, False, False, True]))
    assert table == RiskTable(thresholds=(0.2, 0.6, 0.9), answered=(4, 3, 1), wrong=(2, 1, 0))
    assert tabulate_risk(np.zeros(0), np.zeros(0, bool)) == RiskTable()


def test_views_count_once() -> None:
    table = tabulate_risk(np.array([0.9, 0.9, 0.2, 0.2]), np.array([True, True, False, True]), num_views=2)
    assert (table.answered, table.wrong) == ((2, 1), (0.5, 0))


def test_selection_answers_more_where_less_is_wanted() -> None:
    random = np.random.default_rng(0)
    probabilities = random.random(4000)
    table = tabulate_risk(probabilities, random.random(4000) < probabilities)
    loose, strict = select(table, 0.7), select(table, 0.9)
    assert loose is not None
    assert strict is not None
    assert loose.min_probability < strict.min_probability
    assert loose.coverage > strict.coverage > 0.05
    assert strict.accuracy >= strict.guaranteed_accuracy >= 0.9


def test_too_few_images_guarantee_less() -> None:
    """All right, of which nothing follows for 98 %: the lowest threshold, with what can be guaranteed."""
    selection = select(tabulate_risk(np.linspace(0, 1, 20), np.ones(20, bool)), 0.98)
    assert selection is not None
    assert (selection.min_probability, selection.coverage, selection.accuracy) == (0, 1, 1)
    assert 0.5 < selection.guaranteed_accuracy < 0.95


def test_an_accuracy_that_was_never_reached_is_not_selected() -> None:
    assert select(tabulate_risk(np.linspace(0, 1, 20), np.arange(20) % 2 == 0), 0.98) is None
    assert select(RiskTable(), 0.5) is None


def test_the_guarantee_holds_at_least_as_often_as_it_says() -> None:
    """Right with the probability said: the true accuracy above a threshold is known."""
    random = np.random.default_rng(1)
    failed, selected = 0, 0
    for _ in range(200):
        probabilities = random.random(1500)
        selection = select(tabulate_risk(probabilities, random.random(1500) < probabilities), 0.85)
        if selection is not None:
            selected += selection.guaranteed_accuracy >= 0.85
            failed += (1 + selection.min_probability) / 2 < min(0.85, selection.guaranteed_accuracy)
    assert selected > 150
    assert failed <= 0.05 * selected

"""Ranks are intervals: what the errors cannot tell apart shares them, and chance alone tells little apart."""

from __future__ import annotations

import random

import pytest

from genbench.leaderboard.ranks import holm, ranks


def test_ranks_count_those_that_are_significantly_better_and_worse():
    # Two of three pairs are clear, so that Holm tests the last at 5 % (z = 1.96), where Bonferroni would ask for 2.39.
    assert ranks([0.0, 1.9, 9.0], [1.0, 0.0, 0.0], "lower") == [(1, 2), (1, 2), (3, 3)]
    assert ranks([0.0, 2.1, 9.0], [1.0, 0.0, 0.0], "lower") == [(1, 1), (2, 2), (3, 3)]
    assert ranks([0.0, 2.1, 9.0], [1.0, 0.0, 0.0], "higher") == [(3, 3), (2, 2), (1, 1)]
    # Of two pairs of which neither is clear the first is tested at 2.5 %.
    assert ranks([0.0, 2.1, 2.1], [1.0, 0.0, 0.0], "lower") == [(1, 3), (1, 3), (1, 3)]
    assert ranks([-5.0, 0.1, 3.0], [0.1] * 3, "zero") == [(3, 3), (1, 1), (2, 2)], "both sides of 0 are worse"
    assert ranks([1.0, 1.0], [None, None], "lower") == [(1, 2), (1, 2)]


def test_unknown_errors_count_as_none():
    assert ranks([1.0, 1.5, 2.0], [None, None, None], "lower") == [(1, 1), (2, 2), (3, 3)]
    assert ranks([1.0, 1.5], [None, 1.0], "lower") == [(1, 2), (1, 2)]
    assert ranks([], [], "lower") == []
    assert ranks([3.0], [1.0], "lower") == [(1, 1)]


def test_holm_goes_on_where_bonferroni_stops():
    assert holm([0.04, 0.01, 0.02]) == [True, True, True]
    assert holm([0.03, 0.01, 0.03]) == [False, True, False]
    assert holm([0.2, 0.04, 0.2]) == [False, False, False]
    assert holm([]) == []


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_equal_models_are_seldom_told_apart(better):
    draw = random.Random(1)
    wrong = 0
    for _ in range(200):
        intervals = ranks([draw.gauss(0, 1) for _ in range(6)], [1.0] * 6, better)
        wrong += any(interval != (1, 6) for interval in intervals)
    assert wrong <= 20, "5 % of boards, and room for the draw"


def test_every_true_rank_is_within_its_interval():
    draw = random.Random(2)
    truth = [0.0, 1.0, 2.0, 6.0, 6.5, 12.0]
    missed = 0
    for _ in range(200):
        intervals = ranks([value + draw.gauss(0, 1) for value in truth], [1.0] * 6, "lower")
        missed += any(not low <= rank <= high for rank, (low, high) in enumerate(intervals, 1))
    assert missed <= 20
    assert intervals[-1] == (6, 6), "what is clear is told apart"

"""Likelihoods compared in pairs: the luck of the held-out items is shared, and tells no models apart."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from rows import ROW

from genbench.leaderboard.boards import Board
from genbench.leaderboard.comparison import compare
from genbench.leaderboard.pairs import error_of, paired_error
from genbench.leaderboard.ranks import ranks
from genbench.storage.items import Column, Items, Lookup

N = 800
BITS = 64 * math.log(2)


def model(name, values, error=0.0, **changes):
    """A model's rows `nll` and `bpd`, and the items behind them."""
    value, spread = -values.mean(), values.std(ddof=1) / math.sqrt(len(values))
    stderr = math.hypot(spread, error)
    kind = changes.pop("kind", "exact")
    rows = [
        replace(
            ROW, model=name, column=column, value=value / unit, stderr=stderr / unit, kind=kind, place=place, **changes
        )
        for place, (column, unit) in enumerate({"nll": 1.0, "bpd": BITS}.items())
    ]
    columns = {row.column: Column(row.protocol, row.value, unit) for row, unit in zip(rows, (1.0, BITS), strict=True)}
    return rows, Items("digits", name, "x", rows[0].seed, error, columns, values)


def test_means_over_seeds_are_compared_by_the_means_of_their_items():
    (rows, of_rows), (others, of_others) = model("a", hard_items(0)), model("a", hard_items(1), seed=1)
    (single, of_single) = model("b", hard_items(2))
    lookup = Lookup([of_rows, of_others, of_single])
    board = Board.of([*rows, *others, *single], sort="nll", items=lookup)
    mean = board.means["a", 0]["nll"]
    error = error_of(mean, single[0], lookup, lookup)
    items = (of_rows.values + of_others.values) / 2 - of_single.values
    spread = abs(rows[0].value - others[0].value) / 2
    assert mean.spread == pytest.approx(spread)
    assert error == pytest.approx(math.hypot(items.std(ddof=1) / math.sqrt(N), spread))
    assert error_of(mean, single[0], Lookup([of_rows, of_single]), lookup) is None, "items of one seed are missing"


def hard_items(seed=0):
    return np.random.default_rng(seed).normal(-100, 20, N)


def alike(better_by, seed=1):
    """Two models that find the same items hard, of which one is a little better."""
    noise = np.random.default_rng(seed).normal(0, 1, (2, N))
    return hard_items() + noise[0], hard_items() + better_by + noise[1]


@pytest.mark.parametrize("column", ["nll", "bpd"])
def test_ranks_compare_likelihoods_in_pairs_where_the_items_are_kept(column):
    worse, better = alike(0.3)
    (first, of_first), (second, of_second) = model("a", worse), model("b", better)
    alone = Board.of([*first, *second], sort=column)
    assert set(alone.ranks.values()) == {(1, 2)}, "0.3 nats are little beside errors of 0.7 nats each"
    paired = Board.of([*first, *second], sort=column, items=Lookup([of_first, of_second]))
    assert paired.ranks == {("b", 0): (1, 1), ("a", 0): (2, 2)}, "and six errors of the paired difference"
    assert any("in pairs" in note for note in paired.notes)
    assert not any("in pairs" in note for note in alone.notes)
    half = Board.of([*first, *second], sort=column, items=Lookup([of_first]))
    assert half.ranks == alone.ranks


def test_the_paired_error_is_that_of_the_difference_and_keeps_errors_that_items_share():
    worse, better = alike(0.3)
    (_, first), (_, second) = model("a", worse), model("b", better, error=0.4)
    spread = (better - worse).std(ddof=1) / math.sqrt(N)
    assert paired_error(first, second, 1.0) == pytest.approx(math.hypot(spread, 0.4))
    assert paired_error(first, second, BITS) == pytest.approx(math.hypot(spread, 0.4) / BITS)
    assert paired_error(first, model("c", better[:-1])[1], 1.0) is None
    single = replace(first, values=better[:1])
    assert paired_error(single, single, 1.0) is None


def test_equal_models_are_seldom_told_apart_in_pairs():
    wrong = 0
    for seed in range(200):
        (first, of_first), (second, of_second) = (model(n, v) for n, v in zip("ab", alike(0.0, seed), strict=True))
        wrong += (1, 1) in Board.of([*first, *second], sort="nll", items=Lookup([of_first, of_second])).ranks.values()
    assert wrong <= 22, "5 % of 200, and three deviations"


def test_diff_compares_likelihoods_in_pairs():
    worse, better = alike(0.3)
    (old, of_old), (new, of_new) = model("a", better), model("a", worse)
    assert {change.verdict for change in compare(old, new)} == {"noise"}
    changes = compare(old, new, Lookup([of_old]), Lookup([of_new]))
    assert {change.verdict for change in changes} == {"worse"}
    assert changes[0].error == pytest.approx(paired_error(of_old, of_new, 1.0))
    other = [replace(row, protocol="p2") for row in new]
    assert {change.verdict for change in compare(old, other, Lookup([of_old]), Lookup([of_new]))} == {
        "another protocol"
    }


def test_estimates_stand_by_the_unfavourable_end_of_their_interval():
    values = hard_items()
    exact, _ = model("exact", values)
    estimate = [
        replace(
            row,
            model="rbm",
            kind="estimate",
            value=row.value - 1 / unit,
            low=row.value - 1 / unit,
            high=row.value + 9 / unit,
        )
        for row, unit in zip(exact, (1.0, BITS), strict=True)
    ]
    board = Board.of([*estimate, *exact], sort="nll")
    assert [key[0] for key in board.cells] == ["exact", "rbm"], "its value flatters it"
    assert set(board.ranks.values()) == {(1, 2)}, "the interval holds the other's value"
    assert any("unfavourable end" in note and note.endswith("rbm") for note in board.notes)
    share = [replace(row, kind="", low=0.0, high=200.0) for row in exact]
    assert not any("unfavourable" in note for note in Board.of(share, sort="nll").notes), (
        "an error bar is no such interval"
    )


def test_intervals_are_apart_by_the_gap_between_them():
    spans = [(0.0, 4.0), (6.0, 7.0), (5.0, 20.0)]
    assert ranks(spans, [0.1, 0.1, 0.1], "lower") == [(1, 1), (2, 3), (2, 3)]
    assert ranks(spans, [0.1, 0.1, 0.1], "higher") == [(3, 3), (1, 2), (1, 2)]
    assert ranks([(0.0, 4.0), 5.0], [1.0, 1.0], "lower") == [(1, 2), (1, 2)]
    assert ranks([(0.0, 4.0), 5.0], [1.0, 1.0], "lower", {(0, 1): 0.1}) == [(1, 1), (2, 2)]
    assert ranks([(-3.0, 1.0), 2.0], [0.1, 0.1], "zero") == [(1, 2), (1, 2)]
    assert ranks([(-3.0, -2.5), 2.0], [0.1, 0.1], "zero") == [(2, 2), (1, 1)]

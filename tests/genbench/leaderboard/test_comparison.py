"""Two results folders compared: a loss is told from noise, and nothing is compared that must not be."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from rows import ROW

from genbench.leaderboard.comparison import compare


def row(model, column, value, **changes):
    status = "ok" if value is not None else changes.pop("status", "unsupported")
    better = changes.pop("better", "higher" if column == "is" else "lower")
    stderr = changes.pop("stderr", 0.5) if value is not None else None
    return replace(ROW, model=model, column=column, value=value, stderr=stderr, status=status, better=better, **changes)


def verdicts(before, after):
    return {(change.model, change.column): change.verdict for change in compare(before, after)}


def test_a_comparison_tells_loss_from_noise():
    before = [
        row("a", "fid", 10.0),
        row("a", "is", 3.0),
        row("b", "fid", 2.0),
        row("c", "fid", 1.0),
        row("d", "fid", 1),
    ]
    after = [row("a", "fid", 10.5), row("a", "is", 6.0), row("b", "fid", 9.0), row("d", "fid", 1.0 + 1e-9)]
    after += [row("e", "fid", 1.0)]
    assert verdicts(before, after) == {
        ("a", "fid"): "noise",
        ("a", "is"): "better",
        ("b", "fid"): "worse",
        ("c", "fid"): "missing",
        ("d", "fid"): "same",
        ("e", "fid"): "new",
    }
    other = [row("a", "fid", 99.0, protocol="p2")]
    assert [change.verdict for change in compare(before[:1], other)] == ["another protocol"]


def test_many_numbers_drawn_anew_cry_no_loss():
    draw = random.Random(3)
    before = [row(f"m{i}", "fid", draw.gauss(10, 0.5)) for i in range(500)]
    after = [row(f"m{i}", "fid", draw.gauss(10, 0.5)) for i in range(500)]
    changes = compare(before, after)
    apart = sum(abs(change.difference) > 1.96 * change.error for change in changes)
    assert apart > 5, "tested one by one, some would"
    assert {change.verdict for change in changes} <= {"noise"}
    assert verdicts(before, [*after[:-1], row("m499", "fid", 20.0)])["m499", "fid"] == "worse"


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [(-5.0, 0.1, "better"), (0.1, -5.0, "worse"), (5.0, -5.0, "noise"), (0.0, 1e-13, "same")],
)
def test_where_zero_is_best_both_sides_of_it_are_worse(before, after, verdict):
    old, new = (row("a", "gap", value, better="zero", stderr=0.1) for value in (before, after))
    assert verdicts([old], [new])["a", "gap"] == verdict


def test_a_failure_where_there_was_a_number_is_told():
    failed = row("a", "fid", None, status="failed", model_version="y")
    assert verdicts([row("a", "fid", 1.0)], [row("a", "fid", 1.0), failed])["a", "fid"] == "failed"
    assert verdicts([failed], [row("a", "fid", 1.0)])["a", "fid"] == "new"
    assert verdicts([failed], [failed])["a", "fid"] == "same"
    assert verdicts([failed], [])["a", "fid"] == "same", "that a failure is gone is no loss"
    assert verdicts([row("a", "nll", None)], [row("a", "nll", None)]) == {}, "what a model does not define is no number"


def test_the_newest_rows_of_equal_protocol_are_compared():
    old = [row("a", "fid", 9.0, protocol="p0"), row("a", "fid", 1.0)]
    new = [row("a", "fid", 5.0, protocol="p2"), row("a", "fid", 7.0), row("a", "fid", 1.0)]
    (change,) = compare(old, new)
    assert (change.before, change.after, change.verdict) == (1.0, 1.0, "same")
    again = [row("a", "fid", 3.0), row("a", "fid", 9.0, protocol="p0"), row("a", "fid", 1.0)]
    (change,) = compare(again, [row("a", "fid", 1.0)])
    assert change.before == 1.0, "the newest row counts, wherever its key was written first"
    (change,) = compare([row("a", "fid", 1.0)], [row("a", "fid", 99.0, protocol="p2")])
    assert (change.difference, change.verdict) == (None, "another protocol")


def test_seeds_are_compared_with_their_like():
    old = [row("a", "fid", 1.0), row("a", "fid", 5.0, seed=1)]
    assert [change.verdict for change in compare(old, list(reversed(old)))] == ["same", "same"]

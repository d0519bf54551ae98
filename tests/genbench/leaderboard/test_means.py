"""Rows of another n beside those that are ranked, and several seeds and trainings as one row."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from rows import formatted, order, row

from genbench.leaderboard import boards

N_ALONE = {"p1": {"metric": "fid", "n": 10_000}, "few": {"metric": "fid", "n": 1000}}


def test_rows_of_another_n_are_shown_and_not_ranked():
    many = [row(model, "fid", value, n=10_000) for model, value in (("a", 1.0), ("b", 5.0), ("c", 9.0))]
    slow = row("slow", "fid", 0.1, protocol="few", n=1000)
    likely = [row("slow", "nll", 60.0, features=""), row("a", "nll", 90.0, features="")]
    rows = [*many, slow, replace(slow, model="real"), *likely, row("old", "fid", 0.2, protocol="p0", n=1000)]
    board = boards.Board.of(rows, records=N_ALONE)
    assert order(board) == ["real", "a", "b", "c", "slow"], "behind what is ranked, but for the anchor"
    assert [line[:3] for line in formatted(board)[1]] == [
        ["", "real", "1,000"],
        ["1", "a", "10,000"],
        ["2", "b", "10,000"],
        ["3", "c", "10,000"],
        ["", "slow", "1,000"],
    ]
    assert board.title.startswith("digits: 10,000 samples (1,000 where n says so) against 797 real items")
    assert board.notes[0].startswith("n: 1,000 samples of real, slow, whose numbers are shown")
    assert board.left_out == ("left out, another protocol (p0, n = 1000): old, seed 0: fid",), "its record is unknown"
    assert board.table.set_index("model").loc["slow", ["n", "fid", "rank_low"]].tolist() == [1000, 0.1, pd.NA]
    by_likelihood = board.sorted("nll")
    assert by_likelihood.rank_text(("slow", 0)) == "1", "a likelihood does not depend on n"
    assert "slow" in boards.Board.of(rows).left_out[0], "without their records, protocols are just different ones"


def test_a_row_of_an_earlier_version_of_a_model_does_not_stand_for_its_last():
    many = [row(model, "fid", value, n=10_000) for model, value in (("a", 1.0), ("b", 5.0))]
    few = row("b", "fid", 7.0, protocol="few", n=1000, model_version="next")
    board = boards.Board.of([*many, few], records=N_ALONE)
    assert (board.cells["b", 0]["fid"], board.rank_text(("b", 0))) == (few, "")
    broken = replace(few, value=None, stderr=None, status="failed", detail="it broke")
    assert boards.Board.of([*many, broken], records=N_ALONE).cells["b", 0]["fid"].value == 5.0


def test_seeds_and_trainings_become_one_row_with_the_error_of_their_mean():
    rows = [row("a", "fid", 10.0), row("a", "fid", 14.0, seed=1), row("b", "fid", 12.0)]
    rows += [row("a", "nll", 90.0, features=""), row("a", "nll", 90.0, features="", seed=1)]
    rows += [row("c", "fid", 10.0), row("c", "fid", 12.0, seed=1), row("c@1", "fid", 15.0)]
    rows += [row("d", "fid", 30.0, seed=seed) for seed in range(4)]
    board = boards.Board.of(rows)
    table = board.table.set_index("model")
    assert table.loc["d", "fid_stderr"] == pytest.approx(0.25), "no spread: what four draws give their mean"
    assert table.loc["a", ["seed", "seeds", "trainings"]].tolist() == [0, 2, 1]
    # Of two numbers the standard deviation is their distance over the root of 2.
    assert table.loc["a", ["fid", "fid_between"]].tolist() == pytest.approx([12, 8**0.5])
    assert table.loc["a", "fid_within"] == pytest.approx(0.5 / 2**0.5)
    assert table.loc["a", "fid_stderr"] == pytest.approx(2.0), "that of the spread, which is larger"
    assert table.loc["a", "nll_stderr"] == 0.5, "one draw of held-out items, however many seeds"
    assert table.loc["b", "fid_stderr"] == 0.5
    assert pd.isna(table.loc["b", "fid_between"])
    assert table.loc["c", ["fid", "fid_between", "trainings"]].tolist() == pytest.approx([13.0, 8**0.5, 2])
    assert table.loc["c", "fid_within"] == pytest.approx((2 * 0.125**2 + 0.25**2) ** 0.5), "trainings count alike"
    assert board.title.endswith("; means over up to 4 seeds and up to 2 trainings")
    assert "c: trainings c, c@1" in board.notes
    heads, lines = formatted(board)
    assert heads[:4] == ["#", "model", "seeds", "trainings"]
    assert {line[1]: line[2:4] for line in lines} == {
        "a": ["0, 1", "1"],
        "b": ["0", "1"],
        "c": ["0, 1", "2"],
        "d": ["0-3", "1"],
    }
    assert [board.ranks[name, 0] for name in "abcd"] == [(1, 3)] * 3 + [(4, 4)], "ranks rest on the spread of seeds"


def test_seeds_of_an_earlier_version_of_a_model_are_not_in_its_mean():
    rows = [row("a", "fid", 1.0, seed=1, model_version="old"), row("a", "fid", 10.0), row("a", "fid", 12.0, seed=2)]
    rows += [row("a", "fid", None, status="failed", detail="it broke", seed=3)]
    board = boards.Board.of(rows)
    assert board.cells["a", 0]["fid"].value == 11.0
    assert board.left_out == (
        "left out of a mean: a, seed 1: another version of the model",
        "left out of a mean: a, seed 3 failed: it broke",
    )

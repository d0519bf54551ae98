"""Boards: direction belongs to the column, protocols never mix, and every format shows the same."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pandas as pd
import pytest

from genbench.errors import RegistryError, ResultsError
from genbench.leaderboard import boards
from genbench.storage import results
from genbench.storage.results import Result

BASE = Result(1, "a", "digits", "fid", 10.0, 0.5, "ok", "", "", 1000, 0, "p1", 1.0, "model=x")


def row(model, column, value, **changes):
    status = "ok" if value is not None else changes.pop("status", "unsupported")
    stderr = 0.5 if value is not None else None
    return replace(BASE, model=model, column=column, value=value, stderr=stderr, status=status, **changes)


ROWS = [
    row("a", "fid", 10.0),
    row("a", "is", 3.0),
    row("a", "nll", 90.0, kind="lower_bound"),
    row("b", "fid", 2.0),
    row("b", "is", 9.0),
    row("b", "nll", None, detail="the model defines no log_prob"),
    row("c", "fid", None, status="failed", detail="it broke"),
    row("c", "is", 5.0),
    row("c", "nll", 80.0, kind="estimate"),
]


def order(board):
    return [model for model, _ in board.cells]


def test_direction_belongs_to_the_column():
    assert order(boards.Board.of(ROWS)) == ["b", "a", "c"], "lower FID is better, no FID comes last"
    assert order(boards.Board.of(ROWS, sort="is")) == ["b", "c", "a"], "higher IS is better"
    assert order(boards.Board.of(ROWS, sort="nll")) == ["c", "a", "b"]
    with pytest.raises(RegistryError, match="did you mean fid"):
        boards.Board.of(ROWS, sort="fidd")


def test_cells_show_errors_bounds_estimates_and_absence():
    heads, lines = boards.Board.of(ROWS).formatted()
    assert heads == ["#", "model", "FID ↓", "IS ↑", "NLL ↓ (nats)", "likelihood"]
    assert lines == [
        ["1", "b", "2.00 ± 0.50", "9.00 ± 0.50", "—", ""],
        ["2", "a", "10.00 ± 0.50", "3.00 ± 0.50", "<= 90.00 ± 0.50", "bound"],
        ["", "c", "failed", "5.00 ± 0.50", "~ 80.00 ± 0.50", "estimate"],
    ]
    assert boards.Board.of(ROWS).notes == ["c failed: it broke (fid)"]


def test_only_rows_of_one_protocol_meet_and_the_others_are_named():
    rows = [*ROWS, row("d", "fid", 0.1, protocol="p2", n=50), row("a", "fid", 0.2, protocol="p2", n=50)]
    board = boards.Board.of(rows)
    assert order(board)[0] == "b", "a better number of another protocol does not win"
    assert board.left_out == ("left out, another protocol (p2, n = 50): d, seed 0: fid",)
    assert "p2, n = 50" in board.to_markdown()
    chosen = boards.Board.of(rows, protocols={"fid": "p2"})
    assert chosen.cells["a", 0]["fid"].value == 0.2
    assert order(chosen)[:2] == ["d", "a"]
    assert [column.name for column in chosen.columns] == ["fid", "is", "nll"], "other columns stay as they are"
    assert "p1, n = 1000): b, seed 0: fid" in chosen.left_out[0]


def test_undecided_protocols_go_to_the_newest():
    rows = [row("a", "fid", 1.0), row("b", "fid", 2.0, protocol="p2")]
    assert order(boards.Board.of(rows)) == ["b"]
    assert order(boards.Board.of(reversed(rows))) == ["a"]


def test_newer_rows_replace_and_seeds_stand_apart():
    rows = [*ROWS, row("b", "fid", 20.0), row("a", "fid", 9.0, seed=1)]
    board = boards.Board.of(rows)
    assert list(board.cells)[:3] == [("a", 1), ("a", 0), ("b", 0)]
    assert board.formatted()[0][2] == "seed"


def test_the_table_is_numeric_and_all_formats_agree(tmp_path):
    board = boards.Board.of(ROWS)
    frame = board.table
    assert frame.loc[1, "model"] == "b"
    assert frame["fid"].dtype == frame["nll_stderr"].dtype == "float64"
    assert frame["nll"].isna().tolist() == [True, False, False]
    board.save(tmp_path)
    again = pd.read_csv(tmp_path / "leaderboard.csv", index_col="rank", keep_default_na=False, na_values=[""])
    pd.testing.assert_frame_equal(again.fillna({"kind": ""}), frame, check_dtype=False)
    for text in ((tmp_path / "leaderboard.md").read_text(), board.to_text(), board.to_html()):
        assert "2.00 ± 0.50" in text
        assert "c failed: it broke" in text


def test_folders_without_results_or_with_several_boards_are_named(tmp_path):
    with pytest.raises(ResultsError, match="holds no results; make some with"):
        boards.leaderboard(tmp_path)
    results.append(tmp_path / "results.jsonl", [*ROWS, replace(BASE, benchmark="weather")])
    with pytest.raises(ResultsError, match="several benchmarks: digits, weather"):
        boards.leaderboard(tmp_path)
    assert [board.benchmark for board in boards.boards([tmp_path])] == ["digits", "weather"]
    assert json.loads(boards.boards([tmp_path])[0].table.to_json())["model"]["1"] == "b"


def test_an_estimate_shows_between_which_values_it_lies():
    ends = row("rbm", "nll", 24.0, kind="estimate", low=23.9, high=24.25)
    board = boards.Board.of([ends, row("exact", "nll", 25.0, kind="exact")])
    assert boards.cell_text(boards.describe("nll"), ends) == "~ 24.00 [23.90, 24.25] ± 0.50"
    assert board.table.set_index("model").loc["rbm", ["nll_low", "nll_high"]].tolist() == [23.9, 24.25]
    assert board.table.set_index("model").loc["exact", "nll_low"] != 25.0
    assert "nll_low" not in boards.Board.of(ROWS).table


def test_columns_that_no_model_defines_are_not_shown():
    board = boards.Board.of([row("a", "fid", 1.0), row("a", "is", None)])
    heads, lines = board.formatted()
    assert not any(head.startswith("IS") for head in heads)
    assert len(lines[0]) == len(heads)
    assert "is" in board.table


def test_a_board_wider_than_the_terminal_is_shown_in_parts():
    from rich.console import Console

    board, text = boards.Board.of(ROWS), io.StringIO()
    board.show(Console(file=text, width=40))
    shown = text.getvalue()
    assert "…" not in shown
    assert max(map(len, shown.splitlines()[:20])) <= 40
    for line in board.formatted()[1]:
        assert all(cell in shown for cell in line)
    assert shown.count("model") == 3, "every part says whose numbers it shows"

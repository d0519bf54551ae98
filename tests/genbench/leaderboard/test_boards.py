"""Boards: direction belongs to the column, protocols never mix, and every format shows the same."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest
from rich.cells import cell_len
from rich.console import Console
from rows import COLUMNS, ROW, formatted, order, row

from genbench.errors import RegistryError, ResultsError
from genbench.leaderboard import boards, tables
from genbench.storage import results
from genbench.storage.formatting import cell_text


def printed(board, width=120, **options):
    text = io.StringIO()
    board.show(Console(file=text, width=width), **options)
    return text.getvalue()


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


def test_direction_belongs_to_the_column():
    assert order(boards.Board.of(ROWS)) == ["b", "a", "c"], "lower FID is better, no FID comes last"
    assert order(boards.Board.of(ROWS, sort="is")) == ["b", "c", "a"], "higher IS is better"
    assert order(boards.Board.of(ROWS, sort="nll")) == ["c", "a", "b"]
    with pytest.raises(RegistryError, match="it has fid, is, nll"):
        boards.Board.of(ROWS, sort="fidd")


def test_cells_show_errors_bounds_estimates_and_absence():
    heads, lines = formatted(boards.Board.of(ROWS))
    assert heads == ["#", "model", "FID ↓", "IS ↑", "NLL ↓ (nats)", "likelihood"]
    assert lines == [
        ["1", "b", "2.00 ± 0.50", "9.00 ± 0.50", "—", ""],
        ["2", "a", "10.00 ± 0.50", "3.00 ± 0.50", "<= 90.00 ± 0.50", "bound"],
        ["", "c", "failed", "5.00 ± 0.50", "~ 80.00 ± 0.50", "estimate"],
    ]
    assert boards.Board.of(ROWS).notes == ["c failed: it broke (fid)"]


def test_only_rows_of_one_protocol_meet_and_the_others_are_named():
    rows = [row("a", "fid", 0.2, protocol="p2", n=50), *ROWS, row("d", "fid", 0.1, protocol="p2", n=50)]
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


def test_newer_rows_replace_and_a_models_newest_row_says_what_its_protocol_is():
    board = boards.Board.of([*ROWS, row("b", "fid", 20.0)])
    assert order(board)[:2] == ["a", "b"]
    newer = [row(model, "fid", value, protocol="p2") for model, value in (("a", 7.0), ("b", 8.0))]
    board = boards.Board.of([*ROWS, row("d", "fid", 1.0), *newer])
    assert board.cells["a", 0]["fid"].value == 7.0, "four rows of p1 are left behind, two of them replaced"


def test_the_table_is_numeric_and_all_formats_agree(tmp_path):
    board = boards.Board.of(ROWS)
    frame = board.table
    assert frame.loc[1, "model"] == "b"
    assert frame["fid"].dtype == frame["nll_stderr"].dtype == "float64"
    assert frame["nll"].isna().tolist() == [True, False, False]
    board.save(tmp_path)
    again = pd.read_csv(tmp_path / "leaderboard.csv", index_col="rank", keep_default_na=False, na_values=[""])
    pd.testing.assert_frame_equal(again.fillna({"kind": ""}), frame, check_dtype=False)
    for text in ((tmp_path / "leaderboard.md").read_text(), printed(board), board.to_html()):
        assert "2.00 ± 0.50" in text
        assert "c failed: it broke" in text


def test_folders_without_results_or_with_several_boards_are_named(tmp_path):
    with pytest.raises(ResultsError, match="holds no results yet; make some with"):
        boards.leaderboard(tmp_path)
    results.append(tmp_path / "results.jsonl", [*ROWS, replace(ROW, benchmark="weather")])
    with pytest.raises(ResultsError, match="several benchmarks: digits, weather"):
        boards.leaderboard(tmp_path)
    assert [board.benchmark for board in boards.boards([tmp_path])] == ["digits", "weather"]
    assert json.loads(boards.boards([tmp_path])[0].table.to_json())["model"]["1"] == "b"


def test_an_estimate_shows_between_which_values_it_lies():
    ends = row("rbm", "nll", 24.0, kind="estimate", low=23.9, high=24.25)
    board = boards.Board.of([ends, row("exact", "nll", 25.0, kind="exact")])
    assert cell_text(ends) == "~ 24.00 [23.90, 24.25] ± 0.50"
    assert board.table.set_index("model").loc["rbm", ["nll_low", "nll_high"]].tolist() == [23.9, 24.25]
    assert board.table.set_index("model").loc["exact", "nll_low"] != 25.0
    assert "nll_low" not in boards.Board.of(ROWS).table


def test_columns_that_no_model_defines_are_not_shown():
    board = boards.Board.of([row("a", "fid", 1.0), row("a", "is", None)])
    heads, lines = formatted(board)
    assert not any(head.startswith("IS") for head in heads)
    assert len(lines[0]) == len(heads)
    assert "is" in board.table


def test_a_board_wider_than_the_terminal_is_shown_in_parts():
    board = boards.Board.of(ROWS)
    shown = printed(board, width=40, columns=["all"])
    assert "…" not in shown
    assert max(map(len, shown.splitlines()[:20])) <= 40
    for line in formatted(board)[1]:
        assert all(cell in shown for cell in line)
    assert shown.count("model") == 3, "every part says whose numbers it shows"


def test_a_newcomer_sees_the_best_rows_in_one_table_that_fits_and_how_to_see_the_rest():
    more = {f"column{i}": {"title": f"column {i}", "better": "lower", "place": 3 + i} for i in range(9)}
    COLUMNS.update(more)
    rows = [row(f"m{i:02}", column, float(i)) for i in range(30) for column in ("fid", "is", "nll", *more)]
    shown = printed(boards.Board.of(rows), width=60, always=["m29"])
    assert max(map(len, shown.splitlines()[:25])) <= 60
    assert "m19" in shown
    assert "m20" not in shown
    assert "m29" in shown, "a model that was asked for is shown wherever it stands"
    hidden = ",".join(more)
    assert f"not shown: 9 more models (--top 30) and 9 more columns (--columns all or NAMES: {hidden})" in shown
    assert shown.count("model ") == 1
    assert "m25" in printed(boards.Board.of(rows), top=26)
    assert "column 8" in printed(boards.Board.of(rows), columns=["column8"])


def test_every_format_says_what_its_numbers_are(tmp_path):
    board = boards.Board.of(ROWS)
    title = "digits: 1,000 samples against 797 real items, features digits-cnn"
    assert board.title == title
    for text in (board.to_markdown(), board.to_html(), printed(board)):
        assert title in text
    assert "n" not in board.table
    board.save(tmp_path)
    about = json.loads((tmp_path / "leaderboard.json").read_text())
    assert about == {"benchmark": "digits", "features": "digits-cnn", "n": 1000, "reference": 797}
    mixed = boards.Board.of([*ROWS, row("d", "fid", 3.0, n=10_000)])
    assert "1,000 samples (10,000 where n says so)" in mixed.title
    assert ["d", "10,000"] in [line[1:3] for line in formatted(mixed)[1]], "then every row says its own"
    assert mixed.table.set_index("model")["n"].to_dict() == {"a": 1000, "b": 1000, "c": 1000, "d": 10_000}


def test_models_that_the_error_cannot_tell_apart_share_ranks():
    board = boards.Board.of([row("a", "fid", 1.0), row("b", "fid", 1.5), row("c", "fid", 9.0), row("real", "fid", 0.1)])
    assert [line[:2] for line in formatted(board)[1]] == [["", "real"], ["1-2", "a"], ["1-2", "b"], ["3", "c"]]
    assert board.table["rank_low"].tolist()[1:] == [1, 1, 3]
    assert board.table["rank_high"].tolist()[1:] == [2, 2, 3]
    assert pd.isna(board.table["rank_low"].iloc[0]), "anchors are not ranked"


def test_names_and_remarks_are_no_markup():
    evil = row("=cmd|[bold]x[/bold]<b>`\x1b[31m", "fid", None, status="failed", detail="[red]a|b <script>\x1b")
    board = boards.Board.of([row("a", "fid", 1.0), evil])
    assert "<b>" not in board.to_html()
    assert "<script>" not in board.to_html()
    for text in (board.to_html(), board.to_markdown(), printed(board)):
        assert "\x1b" not in text
    assert "[bold]x[/bold]" in printed(board), "shown as it is, not as bold"
    table_lines = [line for line in board.to_markdown().splitlines() if line.startswith("| ")]
    assert {len(line.replace("\\|", "").split("|")) for line in table_lines} == {5}
    assert "'=cmd" in board.to_csv(), "no spreadsheet takes it for a formula"
    bound = row("b", "nll", 1.0, kind="lower_bound", stderr=None)
    assert " <= 1.00 |" in boards.Board.of([bound]).to_markdown(), "numbers are written as they are"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a|b", r"a\|b"),
        ("[x](http://y)", r"\[x\](http://y)"),
        ("*b* `c` ~d~", r"\*b\* \`c\` \~d\~"),
        ("<img src=x>&amp;", "&lt;img src=x&gt;&amp;amp;"),
        ("_x_ f_gan", r"\_x\_ f\_gan"),
        ("back\\slash", r"back\\slash"),
        ("two\nlines\x1b", r"two\\nlines\\x1b"),
        ("\u202egnp", r"\\u202egnp"),
    ],
)
def test_markdown_shows_names_as_they_are(name, shown):
    text = boards.Board.of([row(name, "fid", 1.0)]).to_markdown()
    assert f"| {shown} " in text
    assert len(text.splitlines()) == 5, "title, empty line, head, rule and one row"


@pytest.mark.parametrize("detail", ["# no heading", "- no list", "1. no list either", "+ nor this", "=== no rule"])
def test_notes_begin_no_markdown_block(detail):
    note = boards.Board.of([row("", "fid", None, status="failed", detail=detail)]).to_markdown().splitlines()[-1]
    assert detail.split()[0] in note.replace("\\", "")
    notes = tables.markdown(tables.Sheet("", ["a"], [["1"]], [detail])).splitlines()[-1]
    assert notes.startswith(("\\", "1\\")), notes


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\t=1", " =1", "\r=1"])
def test_spreadsheets_take_no_name_for_a_formula(name, tmp_path):
    board = boards.Board.of([row(name, "fid", -1.0)])
    board.save(tmp_path)
    with (tmp_path / "leaderboard.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert line["model"].startswith("'") or line["model"][0] == "\\"
    assert line["fid"] == "-1.0", "a negative number is no formula"
    assert board.table["model"].tolist() == [name], "to compute with, names are as they are"


def test_long_and_wide_names_are_folded_and_lose_nothing():
    name = "package.module.with.many.parts:" + "make_generator" * 5
    text = printed(boards.Board.of([row(name, "fid", 1.0), row("数字模型", "fid", 2.0)]), width=60)
    assert max(cell_len(line) for line in text.splitlines()) <= 60
    assert "…" not in text
    cells = [line[6:27].strip() for line in text.splitlines() if line]
    assert name in "".join(cells)


def test_a_terminal_shows_the_notes_of_what_it_shows():
    broken = [row(f"m{i}", "is", None, status="failed", detail=f"fault {i}") for i in range(12)]
    rows = [row(f"m{i}", "fid", float(i)) for i in range(12)] + broken
    text = printed(boards.Board.of(rows))
    assert "m7 failed: fault 7 (is)" in text
    assert "m8 failed" not in text
    assert "and 4 more notes (--columns all)" in text
    assert "m11 failed: fault 11 (is)" in printed(boards.Board.of(rows), columns=["all"])
    assert "failed:" not in printed(boards.Board.of(rows), columns=["fid"])


def test_columns_that_follow_others_fill_the_room():
    rows = [row("a", name, 1.0) for name in ("nll", "x1", "x2", "fid")]
    rows = [replace(each, place=place, title=each.column, unit="") for place, each in enumerate(rows)]
    board = boards.Board.of(rows, sort="x2")

    def heads(width):
        (line,) = [line for line in printed(board, width=width).splitlines() if "model " in line]
        return line.replace(" ↓", "").split()[2:]

    assert heads(120) == ["nll", "x1", "x2", "fid"], "in the board's order"
    assert heads(55) == ["nll", "x2", "fid"], "the column that ranks and the main ones first"
    assert heads(30) == ["x2"]


def test_a_column_of_the_newest_row_describes_itself():
    old, new = row("a", "fid", 1.0), replace(row("b", "fid", 2.0), title="FID, renamed", better="higher", digits=5)
    board = boards.Board.of([old, new])
    assert str(board.columns[0]) == "FID, renamed ↑"
    assert order(board) == ["b", "a"]


def test_near_zero_is_best_where_the_column_says_so():
    rows = [replace(row(name, "gap", value), better="zero") for name, value in (("a", -3.0), ("b", 0.2), ("c", 1.0))]
    board = boards.Board.of(rows)
    assert order(board) == ["b", "c", "a"]
    assert "→0" in str(board.columns[0])


def test_a_column_without_errors_ranks_as_if_exact_and_says_so():
    board = boards.Board.of([row("a", "fid", 1.0, stderr=None), row("b", "fid", 1.1, stderr=None)])
    assert [line[0] for line in formatted(board)[1]] == ["1", "2"]
    assert board.notes == ["FID: ranked as if exact, for want of an error: a, b"]


def test_what_is_biased_is_told_by_a_field():
    board = boards.Board.of([row("a", "fid", 1.0, biased=True, detail="few samples"), row("b", "fid", 2.0)])
    assert board.notes == ["a: few samples (fid)"]
    assert boards.Board.of([row("a", "fid", 1.0, detail="this is not biased")]).notes == []


def test_a_board_goes_by_a_column_that_some_model_defines():
    assert boards.Board.of([row("a", "fid", None), row("a", "is", 2.0)]).sorted_by == "is"


def test_several_folders_meet_on_one_board_where_the_newest_rows_count(tmp_path):
    late = replace(row("a", "fid", 5.0), time="2026-11-02T00:00:00+00:00")
    for name, rows in (("x", [late]), ("y", [row("a", "fid", 7.0), row("b", "fid", 6.0)])):
        results.append(tmp_path / name / "results.jsonl", rows)
    for folders in (["x", "y"], ["y", "x"]):
        (board,) = boards.boards([tmp_path / folder for folder in folders])
        assert {key[0]: cells["fid"].value for key, cells in board.cells.items()} == {"a": 5.0, "b": 6.0}
    (board,) = boards.boards([tmp_path / "x", tmp_path / "y"], as_of="2026-11-01")
    assert board.cells["a", 0]["fid"].value == 7.0


def test_boards_need_neither_torch_nor_any_metric_nor_pandas(tmp_path):
    results.append(tmp_path / "results.jsonl", ROWS)
    script = (
        "import sys; from genbench.cli.entry import main; main(['leaderboard', sys.argv[1]], standalone_mode=False);"
        "heavy = {'torch', 'pandas', 'numpy', 'scipy', 'matplotlib', 'genbench.metrics', 'genbench.data'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2.00 ± 0.50" in done.stdout

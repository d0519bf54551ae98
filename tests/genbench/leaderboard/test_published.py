"""Published numbers beside a board's own: the gap, the source, and a dash where nothing stands."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console
from rows import ROW

from genbench.leaderboard import published, tables
from genbench.leaderboard.boards import Board
from genbench.plugins import registry
from genbench.plugins.cards import ModelCard, Published

NLL = replace(ROW, benchmark="b", column="nll", title="NLL", unit="nats", stderr=0.25)
BOARD = Board.of([replace(NLL, model="mine", value=86.71), replace(NLL, model="other", value=80.0)])
CARDS = {
    "mine": ModelCard("mine", "m:f", published=(Published("b", 86.34, "A 2008", "5 steps"), Published("c", 1.0, "B"))),
    "absent": ModelCard("absent", "m:f", published=(Published("b", 79.2, "C 2016"),)),
    "other": ModelCard("other", "m:f"),
}


def test_lines_have_the_gap_and_the_source_by_published_value():
    sheet = published.sheet(BOARD, CARDS)
    assert [dict(zip(sheet.heads, line, strict=True)) for line in sheet.lines] == [
        {
            **{"model": "absent", "number": "nll", "here": "—", "published": "79.20"},
            **{"gap": "—", "training here": "", "published by": "C 2016"},
        },
        {
            **{"model": "mine", "number": "nll", "here": "86.71 ± 0.25", "published": "86.34"},
            **{"gap": "+0.37", "training here": "5 steps", "published by": "A 2008"},
        },
    ]


def test_a_failed_row_has_no_gap_and_a_board_without_claims_no_table():
    failed = replace(NLL, model="mine", value=None, stderr=None, status="failed", detail="it broke")
    sheet = published.sheet(Board.of([failed]), CARDS)
    assert [line[2:5] for line in sheet.lines if line[0] == "mine"] == [["failed", "86.34", "—"]]
    assert published.sheet(Board.of([replace(NLL, benchmark="elsewhere", model="mine")]), CARDS) is None


def test_every_format_shows_them(monkeypatch):
    monkeypatch.setattr(registry, "models", lambda: CARDS)
    text = io.StringIO()
    BOARD.show(Console(file=text, width=150))
    for shown in (text.getvalue(), BOARD.to_markdown(), BOARD.to_html()):
        assert "+0.37" in shown
        assert "A 2008" in shown
    assert tables.markdown(published.sheet(BOARD, CARDS)) in BOARD.to_markdown()


@pytest.mark.parametrize("value", [float("nan"), "86", True])
def test_what_is_published_is_a_number(value):
    with pytest.raises(ValueError, match="finite number"):
        Published("b", value, "A 2008")
    with pytest.raises(ValueError, match="tuple of Published"):
        ModelCard("mine", "m:f", published=(86.34,))

"""Result rows for tests of storage and boards, and what a board shows of them."""

from __future__ import annotations

from dataclasses import replace

from genbench.leaderboard.rendering import sheet
from genbench.storage.results import Result

ROW = Result(
    model="vae",
    benchmark="digits",
    column="fid",
    title="FID",
    unit="",
    digits=2,
    better="lower",
    note="",
    place=0,
    value=10.0,
    stderr=0.5,
    total_stderr=None,
    low=None,
    high=None,
    biased=False,
    status="ok",
    detail="",
    kind="",
    n=1000,
    reference=797,
    seed=0,
    features="digits-cnn",
    device="cpu",
    protocol="p1",
    model_version="x",
    software="genbench=0.1.0",
    time="2026-11-01T12:00:00+00:00",
    seconds=1.0,
    model_seconds=2.0,
    features_seconds=0.5,
)

COLUMNS = {
    "fid": {"title": "FID", "better": "lower", "place": 0},
    "is": {"title": "IS", "better": "higher", "place": 1},
    "nll": {"title": "NLL", "better": "lower", "place": 2, "unit": "nats"},
}


def row(model, column, value, **changes):
    status = "ok" if value is not None else changes.pop("status", "unsupported")
    stderr = changes.pop("stderr", 0.5) if value is not None else None
    about = COLUMNS.get(column, {})
    return replace(ROW, model=model, column=column, value=value, stderr=stderr, status=status, **about, **changes)


def formatted(board):
    shown = sheet(board)
    return shown.heads, shown.lines


def order(board):
    return [model for model, _ in board.cells]

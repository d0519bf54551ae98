"""What papers report beside what stands on a board, with the gap between them and the training behind it."""

from __future__ import annotations

from collections.abc import Mapping

from genbench.leaderboard.ranking import Ranking
from genbench.leaderboard.tables import Sheet
from genbench.plugins.cards import ModelCard, Published
from genbench.storage.formatting import ABSENT, cell_text
from genbench.storage.results import Result

HEADS = ("model", "number", "here", "published", "gap", "training here", "published by")


def sheet(board: Ranking, cards: Mapping[str, ModelCard]) -> Sheet | None:
    """A line for every published number on the board's benchmark, by value; None where there is none.

    A model that does not stand on the board has a dash for its own number. The gap is that number less the published
    one, in the column's unit.
    """
    claims = [
        (card.name, published)
        for card in cards.values()
        for published in card.published
        if published.benchmark == board.benchmark
    ]
    if not claims:
        return None
    lines = []
    for model, published in sorted(claims, key=lambda claim: (claim[1].column, claim[1].value, claim[0])):
        rows = [
            cells[published.column]
            for key, cells in board.cells.items()
            if key[0] == model and published.column in cells
        ]
        lines += [_line(model, published, row) for row in rows] or [_line(model, published, None)]
    title = f"{board.benchmark}: what papers report on the same data"
    return Sheet(title, HEADS, lines, named=frozenset({0, 1, 5, 6}), fixed=1)


def _line(model: str, published: Published, row: Result | None) -> list[str]:
    here = ABSENT if row is None else cell_text(row)
    gap = ABSENT if row is None or row.value is None else f"{row.value - published.value:+.2f}"
    return [model, published.column, here, f"{published.value:.2f}", gap, published.budget, published.source]

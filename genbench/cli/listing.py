"""`genbench list`: what can be named."""

from __future__ import annotations

from collections.abc import Callable

import click

from genbench.plugins import registry
from genbench.plugins.cards import Benchmark, Card


@click.command("list", epilog="Example: genbench list models")
@click.argument("what", type=click.Choice(["models", "benchmarks", "metrics", "features"]))
@click.option("--format", "form", type=click.Choice(["table", "md"]), default="table", show_default=True)
def list_command(what: str, form: str) -> None:
    """List what can be named, with a line on each.

    Markdown also shows the models' papers, capabilities and deviations from the papers, and the benchmarks' metrics.
    """
    heads, rows = LISTS[what]()
    if form == "table":
        shown = [heads.index(head) for head in SHOWN.get(what, heads)]
        heads, rows = tuple(heads[i] for i in shown), [tuple(row[i] for i in shown) for row in rows]
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    if form == "md":
        rows = [tuple("-" * width for width in widths), *rows]
    for row in (heads, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo(f"| {' | '.join(cells)} |" if form == "md" else "  ".join(cells).rstrip())


SHOWN = {  # in a terminal, where the rest is what `genbench show NAME` prints
    "models": ("model", "family", "year", "what it is", "boards"),
    "benchmarks": ("benchmark", "what it is", "features", "n"),
}
Listing = tuple[tuple[str, ...], list[tuple[str, ...]]]


def _list_models() -> Listing:
    heads = ("model", "family", "year", "defined by", "what it is", "capabilities", "deviations", "boards")
    return heads, [
        (
            card.name,
            card.family,
            str(card.year or ""),
            card.reference,
            card.summary,
            ", ".join(card.capabilities),
            "; ".join(card.deviations) or "none",
            "every board" if card.benchmarks == ("*",) else ", ".join(card.benchmarks),
        )
        for card in registry.models().values()
    ]


def _list_benchmarks() -> Listing:
    cards = [card for card in registry.cards("benchmarks").values() if isinstance(card, Benchmark)]
    rows = [(card.name, ", ".join(card.metrics), card.features, str(card.n), card.summary) for card in cards]
    return ("benchmark", "metrics", "features", "n", "what it is"), [tuple(row) for row in rows]


def _list_cards(group: registry.Group) -> Listing:
    return ("name", "what it is"), [
        (card.name, card.summary) for card in registry.cards(group).values() if isinstance(card, Card)
    ]


LISTS: dict[str, Callable[[], Listing]] = {
    "models": _list_models,
    "benchmarks": _list_benchmarks,
    "metrics": lambda: _list_cards("metrics"),
    "features": lambda: _list_cards("features"),
}

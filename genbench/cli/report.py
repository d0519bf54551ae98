"""`genbench report`: boards, samples, curves, protocols and cards as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genbench.cli.leaderboard import homes
from genbench.errors import GenbenchError, InputError, ResultsError

if TYPE_CHECKING:
    from genbench.leaderboard.page import Part
    from genbench.plugins.cards import ModelCard


@click.command(epilog="Example: genbench report leaderboards/digits leaderboards/digits-binary -o report.html")
@click.argument("folders", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The file to write.",
)
@click.option("--title", default="genbench", show_default=True, help="What stands above the boards.")
def report(folders: tuple[Path, ...], output: Path, title: str) -> None:
    """Write the boards of results FOLDERS (default: every one in leaderboards/) as one HTML file that needs no network.

    Tables sort by any column, fold and filter, and copy as CSV or Markdown; samples, truncation curves, protocols,
    versions and the models' cards stand in the file.
    """
    from genbench.leaderboard import page
    from genbench.plugins import registry
    from genbench.storage import atomic
    from genbench.storage.formatting import counted

    parts = [part for folder in folders or homes() for part in _parts(folder, required=bool(folders))]
    if not parts:
        raise InputError("no folder in leaderboards/ has results; name one, or make one with: genbench run")
    cards = registry.models()
    shown = dict.fromkeys(model for part in parts for model, _ in part.board.cells)
    records = {name: _records(cards[name]) for name in shown if name in cards}
    atomic.write_text(output, page.render(parts, cards, records, title), "name another file with -o")
    size = output.stat().st_size / 2**20
    click.echo(f"{output}: {counted(len(parts), 'board')}, {counted(len(shown), 'model')}, {size:.1f} MB")


def _records(card: ModelCard) -> Mapping[str, Mapping[str, Any]]:
    """How a model was trained; a provider that fails at that costs the page no more than this."""
    from genbench.plugins import registry

    try:
        return registry.records(card)
    except GenbenchError as error:
        click.echo(f"warning: {error}", err=True)
        return {}


def _parts(folder: Path, required: bool) -> Sequence[Part]:
    """The boards of a folder; one that was not asked for by name may be broken, and a warning says so."""
    from genbench.leaderboard import boards
    from genbench.leaderboard.page import Part

    try:
        own = boards.boards([folder])
    except ResultsError as error:
        if required:
            raise
        click.echo(f"warning: {error}", err=True)
        return []
    name = folder.resolve().name
    return [Part(name if len(own) == 1 else f"{name}/{board.benchmark}", board, [folder]) for board in own]

"""`genbench leaderboard` and `genbench diff`: boards of results, their history, and what changed between two."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genbench.errors import InputError, ResultsError
from genbench.leaderboard.comparison import Change, Verdict
from genbench.storage.formatting import decimals_of, number_text, printable
from genbench.storage.results import Result

if TYPE_CHECKING:
    from genbench.leaderboard.boards import Board

HOME = Path("leaderboards")
LOSSES: tuple[Verdict, ...] = ("worse", "missing", "failed")  # of which a nightly run must hear


@click.command("leaderboard", epilog="Example: genbench leaderboard leaderboards/digits --sort nll --format md")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--sort", help="Column to rank by.  [default: the benchmark's first]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "md", "json", "html", "eee"]),
    default="table",
    show_default=True,
)
@click.option("--columns", help="Columns to print: all, or names separated by commas.  [default: the main ones]")
@click.option("--top", type=click.IntRange(min=1), help="Print so many of the best models.  [default: 20]")
@click.option("--as-of", metavar="TIME", help="Only rows made until then, as 2026-11-24 or 2026-11-24T12:00.")
@click.option("--history", metavar="MODEL", help="Every row that was ever kept of a model, oldest first.")
def leaderboard(
    folders: tuple[Path, ...],
    sort: str | None,
    form: str,
    columns: str | None,
    top: int | None,
    as_of: str | None,
    history: str | None,
) -> None:
    """Print the ranked boards of results FOLDERS (default: every one in leaderboards/).

    Rows of FOLDERS that are named meet on one board for each benchmark. Ranks are intervals: models that the error
    cannot tell apart share them. Rows computed by another protocol than the rest are left out of the ranking and named
    below it. --columns and --top are for the table alone. The format eee is that of Every Eval Ever: a line of JSON for
    each model.
    """
    from genbench.cli.console import output
    from genbench.leaderboard import every_eval

    if history is not None and form == "eee":
        raise InputError("--history has no format eee, which holds current rows; choose another")
    if history is not None:
        _print_history(folders, as_of, history, form)
        return
    shown = _boards(folders, sort, as_of)
    if form == "json":
        records = {
            name: {**board.about, "rows": json.loads(board.table.reset_index().to_json(orient="records"))}
            for name, board in shown.items()
        }
        click.echo(json.dumps(records, indent=2))
    elif form == "csv":
        _print_csv(shown)
    elif form == "eee":
        for record in (record for board in shown.values() for record in every_eval.records(board)):
            click.echo(json.dumps(record, allow_nan=False))
    else:
        for board in shown.values():
            if form == "table":
                board.show(output(), columns=None if columns is None else columns.split(","), top=top)
            else:
                click.echo(board.to_markdown() if form == "md" else board.to_html(), nl=False)


def _boards(folders: Sequence[Path], sort: str | None, as_of: str | None) -> dict[str, Board]:
    """Boards by name: one of each benchmark of folders that are named, else those of each folder on its own.

    A folder in leaderboards/ that is broken, empty, or had no results yet blocks no other: a warning says so.
    """
    from genbench.leaderboard import boards

    if folders:
        return {board.benchmark: board for board in boards.boards(folders, sort, _time(as_of))}
    shown: dict[str, Board] = {}
    for folder in homes():
        try:
            own = boards.boards([folder], sort, _time(as_of))
        except ResultsError as error:
            click.echo(f"warning: {printable(str(error))}", err=True)
            continue
        for board in own:
            shown[folder.name if len(own) == 1 else f"{folder.name}/{board.benchmark}"] = board
    if not shown:
        raise InputError("no folder in leaderboards/ has results; name one, or make one with: genbench run")
    return shown


def homes() -> list[Path]:
    return sorted(path.parent for path in HOME.glob("*/results.jsonl"))


def _time(as_of: str | None) -> str | None:
    """The time that --as-of names, if any. Raises InputError where it names none."""
    from genbench.storage import results

    if as_of is not None:
        try:
            results.as_of([], as_of)
        except ValueError as error:
            raise InputError(f"--as-of {as_of} is no time; write it as 2026-11-24 or 2026-11-24T12:00") from error
    return as_of


def _print_csv(shown: Mapping[str, Board]) -> None:
    """One table; of several boards, one after the other, their names in its first column. Titles go to stderr."""
    import pandas as pd

    from genbench.leaderboard.tables import csv_text

    for board in shown.values():
        click.echo(printable(board.title), err=True)
    if len(shown) == 1:
        click.echo(next(iter(shown.values())).to_csv(), nl=False)
        return
    frames = []
    for name, board in shown.items():
        frame = board.table.reset_index()
        frame["model"] = [csv_text(model) for model in frame["model"]]
        frame.insert(0, "board", csv_text(name))
        frames.append(frame)
    click.echo(pd.concat(frames).to_csv(index=False, lineterminator="\n"), nl=False)


def _print_history(folders: Sequence[Path], as_of: str | None, model: str, form: str) -> None:
    from genbench.leaderboard import boards, history, tables
    from genbench.storage import results

    rows = [row for folder in folders or boards.readable(homes()) for row in boards.read(folder)]
    own = history.of_model(rows if (time := _time(as_of)) is None else results.as_of(rows, time), model)
    if form == "json":
        click.echo(json.dumps([asdict(row) for row in own], indent=2))
    elif form == "csv":
        click.echo(history.to_csv(own), nl=False)
    elif form == "table":
        click.echo(history.to_text(own))
    else:
        sheet = history.sheet(own, model)
        click.echo(tables.markdown(sheet) if form == "md" else tables.to_html(sheet), nl=False)


@click.command(epilog="Example: genbench diff leaderboards/digits@2026-11-01 leaderboards/digits")
@click.argument("before")
@click.argument("after")
@click.option("--json", "as_json", is_flag=True, help="Print every number of either side as JSON lines.")
def diff(before: str, after: str, as_json: bool) -> None:
    """Compare two results folders, or two dates of one (FOLDER@DATE): what changed, what is noise, what is missing.

    Exit code 1 where something is significantly worse, missing or failed in AFTER.
    """
    from genbench.leaderboard import boards
    from genbench.leaderboard.comparison import compare

    changes = compare(_rows(before), _rows(after), boards.items(_folder(before)), boards.items(_folder(after)))
    counts = Counter(change.verdict for change in changes)
    if as_json:
        for change in changes:
            click.echo(json.dumps(asdict(change)))
    else:
        for change in changes:
            if change.verdict not in ("same", "noise"):
                click.echo(printable(_line(change)))
        summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
        click.echo(f"{len(changes)} numbers: {summary}" if changes else "there is nothing to compare")
    if any(counts[verdict] for verdict in LOSSES):
        sys.exit(1)


def _line(change: Change) -> str:
    """What became of a number, with as many digits as the error of the difference allows."""
    decimals = decimals_of(change.error or 0.0, 4)
    numbers = ["-" if value is None else number_text(value, decimals) for value in (change.before, change.after)]
    line = f"{change.verdict.ljust(16)}  {change.benchmark}  {change.model}  {change.column}"
    line += f"  seed {change.seed}" if change.seed else ""
    line += f"  {numbers[0]} -> {numbers[1]}"
    if change.difference is None or change.error is None:
        return line
    sign = "+" if change.difference > 0 else ""
    difference, error = number_text(change.difference, decimals), number_text(change.error, decimals)
    return f"{line} (difference {sign}{difference} ± {error})"


def _folder(place: str) -> str:
    """The folder of FOLDER or FOLDER@DATE."""
    folder, at, _ = place.rpartition("@")
    return place if not at or Path(place).exists() else folder


def _rows(place: str) -> list[Result]:
    """The rows of a folder, or of FOLDER@DATE those until that date."""
    from genbench.leaderboard import boards
    from genbench.storage import results

    folder = _folder(place)
    if folder == place:
        return boards.read(place)
    date = place.rpartition("@")[2]
    try:
        rows = results.as_of(boards.read(folder), date)
    except ValueError as error:
        raise InputError(f"{date} in {place} is no date; write it as {folder}@2026-11-24") from error
    if not rows:
        raise InputError(f"{folder} has no results from {date} or before")
    return rows

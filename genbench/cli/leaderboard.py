"""`genbench leaderboard` and `genbench diff`: boards of results, and what changed between two of them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click

from genbench.errors import InputError
from genbench.leaderboard.comparison import Verdict
from genbench.storage.results import Result

HOME = Path("leaderboards")
LOSSES: tuple[Verdict, ...] = ("worse", "missing", "failed")  # of which a nightly run must hear


@click.command("leaderboard", epilog="Example: genbench leaderboard leaderboards/digits --sort nll --format md")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--sort", help="Column to rank by.  [default: the benchmark's first]")
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "md", "json", "html"]), default="table", show_default=True
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

    Ranks are intervals: models that the error cannot tell apart share them. Rows computed by another protocol than the
    rest are left out of the ranking and named below it. --columns and --top are for the table alone.
    """
    from genbench.cli.console import output
    from genbench.leaderboard import boards

    known = folders or tuple(boards.readable(sorted(path.parent for path in HOME.glob("*/results.jsonl"))))
    if not known:
        raise InputError("there is no results folder in leaderboards/; name one, or make one with: genbench run")
    if history is not None:
        _print_history([row for folder in known for row in boards.read(folder) if row.model == history], history)
        return
    try:
        tables = boards.boards(known, sort, as_of)
    except ValueError as error:
        raise InputError(f"--as-of {as_of} is no time; write it as 2026-11-24 or 2026-11-24T12:00") from error
    if form == "json":
        records = {
            board.benchmark: {**board.about, "rows": json.loads(board.table.reset_index().to_json(orient="records"))}
            for board in tables
        }
        click.echo(json.dumps(records, indent=2))
        return
    for table in tables:
        if form == "table":
            table.show(output(), columns=None if columns is None else columns.split(","), top=top)
        else:
            click.echo({"csv": table.to_csv, "md": table.to_markdown, "html": table.to_html}[form](), nl=False)


def _print_history(rows: list[Result], model: str) -> None:
    from genbench.cli.console import printable
    from genbench.storage.formatting import cell_text

    if not rows:
        raise InputError(f"no row of {model} was ever kept there; see genbench leaderboard for the models")
    for row in rows:
        parts = (row.time, row.benchmark, row.column, cell_text(row), f"n={row.n}", f"seed={row.seed}", row.protocol)
        click.echo(printable("  ".join((*parts, f"model={row.model_version}", row.detail))).rstrip())


@click.command(epilog="Example: genbench diff leaderboards/digits@2026-11-01 leaderboards/digits")
@click.argument("before")
@click.argument("after")
@click.option("--json", "as_json", is_flag=True, help="Print every number of either side as JSON lines.")
def diff(before: str, after: str, as_json: bool) -> None:
    """Compare two results folders, or two dates of one (FOLDER@DATE): what changed, what is noise, what is missing.

    Exit code 1 where something is significantly worse, missing or failed in AFTER.
    """
    from genbench.leaderboard.comparison import compare

    changes = compare(_rows(before), _rows(after))
    counts = Counter(change.verdict for change in changes)
    if as_json:
        for change in changes:
            click.echo(json.dumps(asdict(change)))
    else:
        for change in changes:
            if change.verdict in ("same", "noise"):
                continue
            numbers = ["-" if value is None else f"{value:.6g}" for value in (change.before, change.after)]
            error = "" if change.error is None else f" (difference {change.difference:+.3g} ± {change.error:.2g})"
            where = f"{change.benchmark}  {change.model}  {change.column}"
            click.echo(f"{change.verdict.ljust(16)}  {where}  {numbers[0]} -> {numbers[1]}{error}")
        summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
        click.echo(f"{len(changes)} numbers: {summary}" if changes else "there is nothing to compare")
    if any(counts[verdict] for verdict in LOSSES):
        sys.exit(1)


def _rows(place: str) -> list[Result]:
    """The rows of a folder, or of FOLDER@DATE those until that date."""
    from genbench.leaderboard import boards
    from genbench.storage import results

    folder, at, date = place.rpartition("@")
    if at and not Path(place).exists():
        try:
            return results.as_of(boards.read(folder), date)
        except ValueError as error:
            raise InputError(f"{date} in {place} is no date; write it as {folder}@2026-11-24") from error
    return boards.read(place)

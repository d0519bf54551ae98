"""Tables of text for the terminal, Markdown and HTML. Whatever a stranger called a model stays text in each of them."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genbench.storage.formatting import printable

if TYPE_CHECKING:
    from rich.console import Console

MARKDOWN_WIDTH = 200  # characters of a table's line, beyond which a table goes on in another one
GAP, EDGES = 3, 2  # characters between columns and around them
SHORTEST_NAME = 16  # characters of a name in the first line of its cell, however narrow the terminal


@dataclass(frozen=True)
class Sheet:
    """A table of text: a title, headings, lines of as many cells, and notes below.

    The columns in `named` hold names, which are escaped and stand to the left; the others hold numbers. The first
    `fixed` columns are repeated where a table goes on in another one.
    """

    title: str
    heads: Sequence[str]
    lines: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    named: frozenset[int] = frozenset()
    fixed: int = 0


def markdown(sheet: Sheet) -> str:
    """Title, table and notes; a wide table in several parts."""
    heads = [_markdown_text(head) for head in sheet.heads]
    lines = [
        [_markdown_text(cell) if i in sheet.named else cell for i, cell in enumerate(line)] for line in sheet.lines
    ]
    widths = [max(len(line[i]) for line in [heads, *lines]) for i in range(len(heads))]
    parts = [f"{_markdown_paragraph(sheet.title)}\n"] if sheet.title else []
    for block in blocks(widths, MARKDOWN_WIDTH, sheet.fixed):
        rule = [("-" * (widths[i] + 1)) + ("-" if i in sheet.named else ":") for i in block]
        rows = [
            [line[i].ljust(widths[i]) if i in sheet.named else line[i].rjust(widths[i]) for i in block]
            for line in [heads, *lines]
        ]
        text = [f"| {' | '.join(row)} |" for row in rows]
        parts.append("\n".join([text[0], f"|{'|'.join(rule)}|", *text[1:]]) + "\n")
    return "\n".join([*parts, *(f"{_markdown_paragraph(note)}\n" for note in sheet.notes)])


def to_html(sheet: Sheet) -> str:
    """A fragment of HTML: the title as the table's caption, notes as paragraphs."""

    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{_html_text(cell)}</{tag}>" for cell in cells) + "</tr>"

    parts = [
        "<table>",
        f"<caption>{_html_text(sheet.title)}</caption>",
        f"<thead>{row(sheet.heads, 'th')}</thead>",
        "<tbody>",
        *(row(line, "td") for line in sheet.lines),
        "</tbody>",
        "</table>",
        *(f"<p>{_html_text(note)}</p>" for note in sheet.notes),
    ]
    return "\n".join(parts) + "\n"


def show(sheet: Sheet, console: Console, gaps: Sequence[int] = ()) -> None:
    """Print title, table and notes, the table in several parts where it is wider than the console.

    A line is drawn after each of the lines whose numbers are in `gaps`.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    longest = name_width(console.width)
    widths = text_widths(sheet, console.width)
    console.print(Text(printable(sheet.title), style="bold"))
    for block in blocks(widths, console.width, sheet.fixed):
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for i in block:
            if i in sheet.named:
                table.add_column(Text(printable(sheet.heads[i])), max_width=longest, overflow="fold")
            else:
                table.add_column(Text(printable(sheet.heads[i])), justify="right", no_wrap=True)
        for number, line in enumerate(sheet.lines):
            table.add_row(*(Text(printable(line[i])) for i in block), end_section=number in gaps)
        console.print(table)
    for note in sheet.notes:
        console.print(printable(note), markup=False, highlight=False, soft_wrap=True)


def name_width(width: int) -> int:
    """How many characters of a name stand in one line of a table, on a console of that width."""
    return max(SHORTEST_NAME, width // 3)


def text_widths(sheet: Sheet, width: int) -> list[int]:
    """The characters that each column takes on a console of that width."""
    from rich.cells import cell_len

    taken = [max(cell_len(printable(line[i])) for line in [sheet.heads, *sheet.lines]) for i in range(len(sheet.heads))]
    return [min(cells, name_width(width)) if i in sheet.named else cells for i, cells in enumerate(taken)]


def blocks(widths: Sequence[int], room: int, fixed: int) -> list[list[int]]:
    """The columns of each part of a table, such that a part fits; all parts begin with the fixed columns."""
    parts: list[list[int]] = [list(range(fixed))]
    for i in range(fixed, len(widths)):
        if not fits(widths, [*parts[-1], i], room) and len(parts[-1]) > fixed:
            parts.append(list(range(fixed)))
        parts[-1].append(i)
    return parts


def fits(widths: Sequence[int], columns: Sequence[int], room: int) -> bool:
    """Whether these columns stand beside each other in a line of that many characters."""
    return sum(widths[i] + GAP for i in columns) - GAP + EDGES <= room


def csv_text(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    plain = printable(text)
    return f"'{plain}" if plain.lstrip()[:1] in ("=", "+", "-", "@") else plain


def _html_text(text: str) -> str:
    return html.escape(printable(text))


def _markdown_text(text: str) -> str:
    escaped = re.sub(r"([\\`*_\[\]|~])", r"\\\1", printable(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _markdown_paragraph(text: str) -> str:
    """Text that begins no heading, list or rule."""
    return re.sub(r"^(\d*)([#+.)=-])", r"\1\\\2", _markdown_text(text))

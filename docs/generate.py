"""What the documentation takes from the catalogue: tables of models, metrics, boards, features; commands; the API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

import genbench
import genbench.metrics
from genbench.cli.entry import Commands, main
from genbench.leaderboard import boards
from genbench.plugins import registry
from genbench.plugins.metrics import metric_named
from genbench.storage.formatting import ARROWS

LEADERBOARDS = Path(__file__).parents[1] / "leaderboards"
# Public names whose own place is not where Sphinx would look for it.
HOMES = {"adapt": "genbench.adapt", "leaderboard": "genbench.leaderboard.boards.leaderboard"}
MODULES = ("adapters", "likelihood", "linalg", "metrics")
LINALG = ("sqrtm", "trace_sqrt_product")  # the rest of it is for metrics


def write(folder: Path) -> None:
    """Write every page of what is generated into a folder."""
    folder.mkdir(exist_ok=True)
    pages = {"models": models, "metrics": metrics, "boards": benchmarks, "features": features, "commands": commands}
    for name, page in {**pages, "api": api}.items():
        text = page()
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def models() -> str:
    """A section for each family: the models with year, boards and paper, and below each its deviations."""
    families: dict[str, list[str]] = {}
    for card in registry.models().values():
        families.setdefault(card.family or "others", []).append(card.name)
    cards = registry.models()
    parts = []
    for family, names in families.items():
        parts.append(section(family, "-"))
        rows = []
        for card in (cards[name] for name in names):
            standing = "every board" if card.benchmarks == ("*",) else ", ".join(card.benchmarks)
            about = [card.summary, f"offers {', '.join(card.capabilities)}" if card.capabilities else ""]
            about += [f"stands on {standing}" if standing else "stands on no board by itself"]
            paper = card.reference + (f" ({card.year})" if card.year else "")
            said = "; ".join(part for part in about if part), paper, "; ".join(card.deviations) or "none"
            rows.append((f"``{card.name}``", *map(plain, said)))
        heads = ("model", "what it is", "defined by", "deviations from that")
        parts.append(table(heads, rows, "14 30 28 28"))
    return "\n".join(parts)


def metrics() -> str:
    """Every metric with its columns and their directions."""
    rows = []
    for card in registry.cards("metrics").values():
        columns = metric_named(card.name).columns
        shown = "; ".join(f"{c.title} {ARROWS[c.better]}" + (f" ({c.unit})" if c.unit else "") for c in columns)
        rows.append(
            (f"``{card.name}``", plain(card.summary), plain(shown), ", ".join(f"``{c.name}``" for c in columns))
        )
    return table(("metric", "what it is", "columns", "their names"), rows, "18 42 24 16")


def benchmarks() -> str:
    """Every benchmark, with the best of its committed board."""
    rows = []
    for card in registry.cards("benchmarks").values():
        measures = ", ".join(f"``{name}``" for name in card.metrics)
        what = plain(card.summary), f"``{card.features}``", f"{card.n:,}"
        rows.append((f"``{card.name}``", *what, measures, best(card.name)))
    heads = ("benchmark", "what it is", "features", "n", "metrics", "first ranks")
    return table(heads, rows, "14 20 10 6 28 22")


def best(benchmark: str) -> str:
    """The models that may be the best of a board, as it lies in the repository."""
    if not (LEADERBOARDS / benchmark / "results.jsonl").exists():
        return "no board yet"
    board = boards.boards([LEADERBOARDS / benchmark])[0]
    first = [f"``{key[0]}``" for key, ranks in board.ranks.items() if ranks[0] == 1]
    title = plain(board.heading(board.sorted_by).title)
    return f"by {title}: {', '.join(first)}"


def features() -> str:
    rows = [(f"``{card.name}``", plain(card.summary)) for card in registry.cards("features").values()]
    return table(("features", "what they are"), rows, "30 70")


def commands() -> str:
    """What every command says of itself."""
    assert isinstance(main, Commands)
    context = click.Context(main, info_name="genbench", max_content_width=96, terminal_width=96)
    parts = []
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        own = click.Context(command, info_name=name, parent=context, max_content_width=96, terminal_width=96)
        text = command.get_help(own)
        parts += [section(f"genbench {name}", "-"), ".. code-block:: text\n", indented(text)]
    return "\n".join(parts)


def api() -> str:
    """The public names, each with its docstring."""
    names = [name for name in genbench.__all__ if name not in MODULES]
    parts = [section("genbench", "-"), ".. currentmodule:: genbench\n"]
    for name in names:
        value = getattr(genbench, name)
        parts.append(entry(HOMES.get(name, ""), value))
    for module in MODULES:
        whole = getattr(genbench, module)
        parts.append(section(f"genbench.{module}", "-"))
        public = LINALG if module == "linalg" else whole.__all__
        parts += [entry(HOMES.get(name, ""), getattr(whole, name)) for name in sorted(public)]
    return "\n".join(dict.fromkeys(parts))  # a name may be public in two places


def entry(home: str, value: object) -> str:
    """The directive for a function, for what is called like one, or a class, which lies at `home` or where it says."""
    kind = "autofunction"
    if isinstance(value, type):
        kind = "autoexception" if issubclass(value, Exception) else "autoclass"
    place = home or f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
    return f".. {kind}:: {place}\n"


def as_markup(lines: list[str]) -> None:
    """Turn a docstring's plain sentences into markup, in place: names as code, and no sign of mathematics as a mark."""
    for number, line in enumerate(lines):
        if line.lstrip().startswith((">>>", "...")):
            continue
        pieces = re.split(r"(``[^`]+``|`[^`]+`)", line)
        lines[number] = "".join(piece if piece.startswith("``") else _piece(piece) for piece in pieces)


def _piece(text: str) -> str:
    return f"`{text}`" if text.startswith("`") else escaped(text)


def escaped(text: str) -> str:
    return re.sub(r"(?<=\w)_(?!\w)|[*|]", lambda sign: f"\\{sign[0]}", text)


def plain(text: str) -> str:
    """Text of a card, as it is."""
    return re.sub(r"([\\*`|_])", r"\\\1", text)


def section(title: str, line: str) -> str:
    return f"{title}\n{line * len(title)}\n"


def indented(text: str) -> str:
    return "\n".join(f"   {line}".rstrip() for line in text.splitlines()) + "\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], widths: str) -> str:
    """A list-table."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in (heads, *rows):
        lines += [f"   {'*' if not number else ' '} - {cell}".rstrip() for number, cell in enumerate(row)]
    return "\n".join(lines) + "\n"

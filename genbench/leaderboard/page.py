"""One page that holds everything of several boards: no request leaves it, and it asks nothing of a server.

Tables, pictures, protocols and cards stand in the file, with a script of our own that sorts, filters, folds and copies.
Without the script everything is there to be read.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.leaderboard import pictures, published, views
from genbench.leaderboard.ranking import Ranking
from genbench.leaderboard.tables import Sheet
from genbench.plugins.cards import ModelCard
from genbench.storage import results
from genbench.storage.formatting import printable
from genbench.storage.names import file_name

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
FIGURES = ("tradeoff*", "sanity*")


@dataclass(frozen=True, eq=False)
class Part:
    """A board, the name that it goes by, and the folders that its rows, pictures and protocols lie in."""

    name: str
    board: Ranking
    folders: Sequence[Path]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture inside the page: its name, and its content as a data URI."""

    name: str
    uri: str


@dataclass(frozen=True, eq=False)
class Shown:
    """Everything of a part that the template reads."""

    name: str
    title: str
    sorted_by: views.Head | None
    seeds: bool
    sizes: bool
    groups: Sequence[tuple[str, int]]
    heads: Sequence[views.Head]
    lines: Sequence[views.Line]
    notes: Sequence[str]
    samples: Sequence[Picture] = ()
    curves: Sequence[Picture] = ()
    protocols: Sequence[views.Protocol] = ()
    versions: Sequence[tuple[str, str]] = ()
    claims: Sheet | None = None


def render(
    parts: Sequence[Part],
    cards: Mapping[str, ModelCard],
    records: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
    title: str = "genbench",
) -> str:
    """The page of these boards as HTML, with a card of each model of which `cards` has one.

    `records` holds the records of trainings, by model and benchmark. Raises ResultsError where protocols cannot be
    read.
    """
    shown = [_shown(part, cards) for part in parts]
    names = dict.fromkeys(line.model for each in shown for line in each.lines)
    models = [(name, cards.get(name), _standings(parts, name), (records or {}).get(name, {})) for name in names]
    families = list(dict.fromkeys(card.family for _, card, _, _ in models if card is not None and card.family))
    template = _environment().get_template("page.html.j2")
    named = {name: _family(cards, name) for name in names}
    return str(template.render(title=title, parts=shown, models=models, families=named, all=families))


def fragment(board: Ranking) -> str:
    """The table of a board as a fragment of HTML, its title as the caption, notes as paragraphs: that of the page."""
    return str(_environment().get_template("fragment.html.j2").render(part=_table(board, board.benchmark), families={}))


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["j2"], default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters["loss_curves"] = loss_curves
    return environment


def _family(cards: Mapping[str, ModelCard], name: str) -> str:
    return cards[name].family if name in cards else ""


def _table(board: Ranking, name: str) -> Shown:
    groups = views.grouped(board)
    heads = views.heads(groups)
    return Shown(
        name,
        board.title,
        next((head for head in heads if head.name == board.sorted_by), None),
        len({board.seeds_of(key) for key in board.cells}) > 1,
        isinstance(board.about["n"], list),
        [(group, len(columns)) for group, columns in groups],
        heads,
        views.lines(board, heads),
        board.notes,
    )


def _shown(part: Part, cards: Mapping[str, ModelCard]) -> Shown:
    readable: dict[str, dict[str, object]] = {}
    for folder in part.folders:
        readable |= results.protocols(folder / "results.jsonl")
    names = dict.fromkeys(model for model, _ in part.board.cells)
    samples = [(name, f"samples/{file_name(name)}.png") for name in names]
    return replace(
        _table(part.board, part.name),
        samples=[
            Picture(name, embedded(path))
            for name, place in samples
            if (path := _newest(part.folders, place)) is not None
        ],
        curves=list(_curves(part.folders)),
        protocols=views.protocols(part.board, readable),
        versions=views.versions(part.board),
        claims=published.sheet(part.board, cards),
    )


def _newest(folders: Iterable[Path], place: str) -> Path | None:
    """A file below one of several folders, the newest."""
    paths = [path for folder in folders if (path := folder / place).is_file()]
    return max(paths, key=lambda path: path.stat().st_mtime, default=None)


def _curves(folders: Iterable[Path]) -> Iterable[Picture]:
    """The pictures of truncation curves, and of what the columns see, as SVG where there is one."""
    for folder in folders:
        kinds = [f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")]
        stems = {path.stem: path for kind in kinds for path in sorted(folder.glob(kind))}
        for stem, path in stems.items():
            yield Picture(stem, embedded(path))


def embedded(path: Path) -> str:
    """A picture as a data URI, PNG packed tighter where that loses nothing. Raises ResultsError for what is none."""
    with pictures.drawing(path, "embed"):
        content, kind = path.read_bytes(), "svg+xml" if path.suffix == ".svg" else "png"
        if kind == "png":
            packed = _packed(path)
            content, kind = (packed, "webp") if len(packed) < len(content) else (content, kind)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _packed(path: Path) -> bytes:
    from PIL import Image

    packed = io.BytesIO()
    with Image.open(path) as image:
        image.save(packed, "WEBP", lossless=True, method=1, quality=50)
    return packed.getvalue()


def _standings(parts: Sequence[Part], model: str) -> list[tuple[int, str, str, str]]:
    """On which boards a model stands: their numbers and names, its ranks, and the column that ranks."""
    standings = []
    for number, part in enumerate(parts, 1):
        board = part.board
        own = [key for key in board.cells if key[0] == model]
        ranks = views.standing(board, own)
        if own:
            title = board.heading(board.sorted_by).title if board.sorted_by else ""
            standings.append((number, part.name, ", ".join(ranks), title))
    return standings


def loss_curves(record: Mapping[str, Any]) -> list[list[tuple[str, str, float, float]]]:
    """The curves that a training's record keeps, as the points of polylines in a box of 100 by 40, phase by phase.

    Each with its name, its lowest and its highest value; nothing for a record without curves.
    """
    phases = []
    for phase in record.get("curve", []):
        steps = phase.get("step", [])
        figures = {name: values for name, values in phase.items() if name != "step"}
        phases.append([drawn for name, values in figures.items() if (drawn := _polyline(name, steps, values))])
    return [phase for phase in phases if phase]


def _polyline(
    name: str, steps: Sequence[float], values: Sequence[float | None]
) -> tuple[str, str, float, float] | None:
    pairs = [(step, value) for step, value in zip(steps, values, strict=False) if value is not None]
    if len(pairs) < 2:
        return None
    low, high = min(value for _, value in pairs), max(value for _, value in pairs)
    across, height = max(steps) or 1, (high - low) or 1
    points = " ".join(f"{100 * step / across:.1f},{38 - 36 * (value - low) / height:.1f}" for step, value in pairs)
    return name, points, low, high

"""Truncation curves as figures for a paper: 7 inches wide, letters of at least 8 points, SVG and PNG.

A curve's colour and marker say which model it is, and the colours are so far apart in lightness that they stay apart in
grey; its line says what psi is: solid a threshold on z, dashed an interpolation in w, dotted a temperature. Bands hold
95 % of what another draw of samples would give.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from genbench.leaderboard.pictures import drawing
from genbench.numerics.intervals import Z
from genbench.storage import atomic

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

WIDTH, LETTERS = 7.0, 8  # inches and points
# The lightness L* of each is 11 or more above the one before.
COLOURS = ("#000000", "#5c1a78", "#b02a2a", "#2f8f5b", "#d98a1f", "#8fbfe0")
MARKERS = ("o", "s", "^", "D", "v", "P")
FEW = len(COLOURS)  # curves in one panel; more have a panel each
LINES: Mapping[str, Any] = {"threshold": "-", "interpolation": (0, (5, 2)), "temperature": (0, (1, 1.2))}
MEANINGS = {"threshold": "a threshold on z", "interpolation": "an interpolation in w", "temperature": "a temperature"}
STROKES = {"threshold": "Solid", "interpolation": "Dashed", "temperature": "Dotted"}
TITLES = {"precision": "precision ↑", "recall": "recall ↑", "fid": "FID ↓", "is": "Inception Score ↑"}
TITLES |= {"fid_infinity": "FID∞ ↓", "psi": "psi"}
REFERENCE = "real"
OTHERS = "#c8c8c8"  # the curves behind a panel's own


class View(NamedTuple):
    """One figure: what it is called at the end of its file's name, and the columns across and upwards."""

    name: str
    x: str
    y: str


VIEWS = (
    View("precision-recall", "recall", "precision"),
    View("fid-is", "is", "fid"),
    View("fid-infinity-psi", "psi", "fid_infinity"),
)


@dataclass(frozen=True, slots=True)
class Curve:
    """One row per psi, rising, `table`; and what psi is, `truncation`: a key of LINES, or empty for a single point."""

    table: pd.DataFrame
    truncation: str = ""


def save(curves: Mapping[str, Curve], stem: Path, features: str) -> list[Path]:
    """Write a figure for every view whose columns there are, as STEM-VIEW.svg and .png; returns the paths.

    `curves` by model; the model `real` is the reference, a star in every panel. Up to FEW others share a panel, more
    have a panel each, on the same axes and before the others in grey. Infinite psi stands at the right edge. Raises
    ResultsError where a figure cannot be drawn or written.
    """
    paths = []
    for view in VIEWS:
        drawable = {model: part for model, curve in curves.items() if len((part := _of(curve, view)).table)}
        if not any(len(curve.table) > 1 for curve in drawable.values()):
            continue
        for kind in ("svg", "png"):
            path = stem.with_name(f"{stem.name}-{view.name}.{kind}")
            with drawing(path), _style():
                figure = _figure(drawable, view, features)
                atomic.write(path, partial(_write, figure, kind))
            paths.append(path)
    return paths


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib

    style: dict[Any, Any] = {"svg.hashsalt": "genbench", "axes.linewidth": 0.6}
    style |= dict.fromkeys(("font.size", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"), LETTERS)
    style |= dict.fromkeys(("axes.labelsize", "axes.titlesize"), LETTERS + 1)
    with matplotlib.rc_context(style):
        yield


def _write(figure: Figure, kind: str, part: Path) -> None:
    metadata = {"Date": None} if kind == "svg" else None  # the same curves make the same file
    figure.savefig(part, format=kind, dpi=200, metadata=metadata)


def _of(curve: Curve, view: View) -> Curve:
    """The rows that a view can show; the reference and other single points have no psi to stand at."""
    columns = [column for column in (view.x, view.y) if column != "psi"]
    if not set(columns) <= set(curve.table):
        return Curve(curve.table.iloc[:0], curve.truncation)
    return Curve(curve.table.dropna(subset=columns), curve.truncation)


def _figure(curves: Mapping[str, Curve], view: View, features: str) -> Figure:
    from matplotlib.figure import Figure

    models = {model: curve for model, curve in curves.items() if model != REFERENCE}
    reference = curves.get(REFERENCE)
    across = _places(models)
    if len(models) <= FEW:
        figure = Figure(figsize=(WIDTH, 5.0), layout="constrained")
        panels = [figure.subplots()]
        for (model, curve), colour, marker in zip(models.items(), COLOURS, MARKERS, strict=False):
            _draw(panels[0], curve, view, across, {"color": colour, "marker": marker, "label": model})
    else:
        rows = math.ceil(len(models) / 3)
        figure = Figure(figsize=(WIDTH, 1.9 * rows + 0.9), layout="constrained")
        panels = list(figure.subplots(rows, 3, sharex=True, sharey=True).flat)
        for panel, model in zip(panels, models, strict=False):
            for curve in models.values():
                _draw(panel, curve, view, across, {"color": OTHERS, "lw": 0.7}, bare=True)
            style = {"color": COLOURS[0], "marker": "o", "lw": 1.4, "ms": 2.5}
            _draw(panel, models[model], view, across, style)
            panel.set_title(model)
        for panel in panels[len(models) :]:
            panel.remove()
        panels = panels[: len(models)]
    for panel in panels:
        _refer(panel, reference, view, across)
        _axes(panel, models, view, across)
    _name_axes(figure, panels, view, alone=len(models) <= FEW)
    figure.supxlabel(_caption(curves, features), fontsize=LETTERS, x=0.01, ha="left", linespacing=1.3)
    if len(models) <= FEW:
        _label_ends(figure, panels[0], models, view, across)
    return figure


def _places(models: Mapping[str, Curve]) -> float:
    """Where on psi's axis infinity stands: a little beyond the largest finite psi."""
    finite = [psi for curve in models.values() for psi in curve.table["psi"] if math.isfinite(psi)]
    return 1.15 * max(finite, default=1.0)


def _values(table: pd.DataFrame, column: str, infinity: float) -> np.ndarray:
    values = table[column].to_numpy(dtype=float)
    return np.where(np.isinf(values), infinity, values) if column == "psi" else values


def _errors(table: pd.DataFrame, column: str) -> np.ndarray:
    name = f"{column}_stderr"
    return Z * np.nan_to_num(table[name].to_numpy(dtype=float)) if name in table else np.zeros(len(table))


def _draw(panel: Any, curve: Curve, view: View, infinity: float, style: Mapping[str, Any], bare: bool = False) -> None:
    x, y = (_values(curve.table, column, infinity) for column in (view.x, view.y))
    here = ~np.isnan(x)
    if not bare and here.sum() > 1:
        errors = (_errors(curve.table, column)[here] for column in (view.x, view.y))
        upper, lower = band(x[here], y[here], *errors)
        outline = np.concatenate([upper, lower[::-1]])
        outline[:, 1] = np.maximum(outline[:, 1], 1e-3 * y[here].max()) if _logarithmic(view) else outline[:, 1]
        panel.fill(*outline.T, color=style["color"], alpha=0.18, lw=0)
    line = {"ls": LINES.get(curve.truncation, "none"), "ms": 3.5, "lw": 1.2, **style}
    panel.plot(x[here], y[here], **line)


def band(x: np.ndarray, y: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both edges (n, 2) of the strip that ellipses of half axes dx, dy sweep out along the curve x, y (n,), n >= 2.

    An edge passes where the tangent of each ellipse is the curve's, which does not depend on the scale of either axis.
    """
    along = np.stack([np.gradient(x), np.gradient(y)], 1)
    normal = np.stack([-along[:, 1], along[:, 0]], 1)
    normal[(normal == 0).all(1)] = (0.0, 1.0)
    axes = np.stack([dx, dy], 1)
    reach = np.linalg.norm(axes * normal, axis=1, keepdims=True)
    offset = np.divide(axes**2 * normal, reach, out=np.zeros_like(normal), where=reach > 0)
    points = np.stack([x, y], 1)
    return points + offset, points - offset


def _refer(panel: Any, reference: Curve | None, view: View, infinity: float) -> None:
    if reference is None or not len(reference.table):
        return
    y = float(reference.table[view.y].iloc[-1])
    x = infinity if view.x == "psi" else float(reference.table[view.x].iloc[-1])
    if _logarithmic(view) and y <= 0:
        return
    if view.x == "psi":
        panel.axhline(y, color="black", lw=0.6, ls=(0, (1, 3)))
    style = {"marker": "*", "ms": 11, "mfc": "white", "mec": "black", "ls": "none", "label": REFERENCE, "zorder": 5}
    panel.plot([x], [y], **style)


def _logarithmic(view: View) -> bool:
    return view.y == "fid"


def _axes(panel: Any, models: Mapping[str, Curve], view: View, infinity: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

    panel.margins(0.08)
    panel.grid(alpha=0.3, lw=0.5)
    if _logarithmic(view):
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.yaxis.set_minor_formatter(NullFormatter())
    if view.y == "fid_infinity":  # around 0, below which errors may lead, no logarithm
        panel.set_yscale("symlog", linthresh=10)
        panel.yaxis.set_major_locator(FixedLocator([0, 5, *(m * 10.0**k for k in range(1, 6) for m in (1, 2, 5))]))
        panel.yaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if view.x == "psi" and any(np.isinf(curve.table["psi"]).any() for curve in models.values()):
        step = 0.5 if infinity > 1.2 else 0.25
        finite = np.arange(0, infinity / 1.15 + 1e-9, step)
        panel.set_xticks([*finite, infinity], [*(f"{value:g}" for value in finite), "∞"])


def _name_axes(figure: Figure, panels: Sequence[Any], view: View, alone: bool) -> None:
    if alone:
        panels[0].set_xlabel(TITLES[view.x])
        panels[0].set_ylabel(TITLES[view.y])
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False)
        return
    figure.supylabel(TITLES[view.y], fontsize=LETTERS + 1)
    for index, panel in enumerate(panels):
        if index + 3 >= len(panels):  # nothing is below it
            panel.set_xlabel(TITLES[view.x])
            panel.tick_params(labelbottom=True)


def _caption(curves: Mapping[str, Curve], features: str) -> str:
    tables = [curve.table for curve in curves.values()]
    counts = _counts([curve for model, curve in curves.items() if model != REFERENCE])
    real = ", ".join(_counts([curves[REFERENCE]] if REFERENCE in curves else []))
    seeds = sorted({int(seed) for table in tables if "seed" in table for seed in table["seed"]})
    kinds = [kind for kind in LINES if any(curve.truncation == kind for curve in curves.values())]
    sentences = [
        f"n = {', '.join(counts)} samples at each psi, seed {', '.join(map(str, seeds))}, features {features}.",
        *(f"{STROKES[kind]}: psi is {MEANINGS[kind]}." for kind in kinds),
        "Bands: 95 % over the draw of samples.",
        *([f"Star: {real} real images."] if real else []),
    ]
    return textwrap.fill(" ".join(sentences), 112)


def _counts(curves: Sequence[Curve]) -> list[str]:
    """The numbers of samples behind curves, in rising order."""
    return [f"{n:,}" for n in sorted({int(n) for curve in curves if "n" in curve.table for n in curve.table["n"]})]


def _label_ends(figure: Figure, panel: Any, models: Mapping[str, Curve], view: View, infinity: float) -> None:
    """Write psi at the first and last point of each curve where it covers neither a label nor a line, or not at all."""
    if view.x == "psi":
        return
    figure.canvas.draw()  # type: ignore[no-untyped-call]
    lines = {
        model: np.stack([_values(curve.table, column, infinity) for column in (view.x, view.y)], 1)
        for model, curve in models.items()
    }
    covered = [panel.transData.transform(points) for points in lines.values()]
    covered = [np.concatenate([_dense(points), points]) for points in covered]
    taken: list[Any] = []
    for (model, curve), colour in zip(models.items(), COLOURS, strict=False):
        for index in (0, len(curve.table) - 1) if len(curve.table) > 1 else ():
            psi = curve.table["psi"].iloc[index]
            style = {"text": "∞" if math.isinf(psi) else f"{psi:g}", "color": colour}
            box = _placed(panel, style, tuple(lines[model][index]), taken, np.concatenate(covered))
            taken += [box] if box is not None else []


def _dense(points: np.ndarray) -> np.ndarray:
    """Many points on the lines between points (n, 2)."""
    share = np.linspace(0, 1, 50)[:, None, None]
    return (points[:-1] + share * np.diff(points, axis=0)).reshape(-1, 2)


def _placed(
    panel: Any, style: Mapping[str, str], at: tuple[float, ...], taken: Sequence[Any], covered: np.ndarray
) -> Any:
    """The box of a label beside a point, on the first side where it is free and within the panel; None for none.

    `covered` are points (n, 2) in pixels that no label may lie on, `taken` the boxes of other labels.
    """
    for distance in (5, 10):
        for dx, ha in ((1, "left"), (-1, "right"), (0, "center")):
            for dy, va in ((1, "bottom"), (-1, "top")):
                label = panel.annotate(
                    xy=at,
                    textcoords="offset points",
                    xytext=(distance * dx, distance * dy),
                    fontsize=LETTERS,
                    ha=ha,
                    va=va,
                    **style,
                )
                box = label.get_window_extent()
                frame = panel.get_window_extent()
                inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
                free = not any(box.overlaps(other) for other in taken) and not box.count_contains(covered)
                if inside and free:
                    return box
                label.remove()
    return None

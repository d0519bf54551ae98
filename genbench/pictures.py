"""Pictures of samples and of truncation curves, as PNG files written atomically."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from genbench import atomic
from genbench.contracts import SampleSpec

if TYPE_CHECKING:
    import pandas as pd

GRID_ITEMS = 100
PALETTE = np.array([[250, 190, 60], [70, 120, 190], [170, 170, 170], [60, 160, 110], [200, 80, 80]], dtype=np.uint8)


def file_name(model: str) -> str:
    """A model's name as a file name: ``package.module:make`` becomes ``package.module-make``."""
    return re.sub(r"[^\w.+-]+", "-", model).strip(".-") or "model"


def save_grid(samples: Tensor, spec: SampleSpec, path: Path) -> None:
    """A grid of images, or sequences as rows of coloured cells; at least 400 pixels wide. Other shapes: no picture."""
    from PIL import Image

    if spec.is_image and spec.shape[0] in (1, 3):
        pixels = _image_grid(samples, spec)
    elif len(spec.shape) == 1 and spec.levels is not None:
        pixels = _sequence_rows(samples, spec.levels)
    else:
        return
    scale = max(1, math.ceil(400 / pixels.shape[1]))
    image = Image.fromarray(pixels.repeat(scale, 0).repeat(scale, 1))
    atomic.write(path, lambda part: image.save(part, format="PNG"))


def _image_grid(samples: Tensor, spec: SampleSpec) -> np.ndarray:
    values = samples.float().numpy()
    low, high = (values.min(), values.max()) if spec.levels is None else (0, spec.levels - 1)
    images = np.round(255 * (values - low) / max(high - low, 1e-12)).astype(np.uint8).transpose(0, 2, 3, 1)
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    height, width = spec.shape[1:]
    grid = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, 3), 90, dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = 1 + index // columns * (height + 1), 1 + index % columns * (width + 1)
        grid[top : top + height, left : left + width] = image
    return grid


def _sequence_rows(samples: Tensor, levels: int) -> np.ndarray:
    colours = PALETTE if levels <= len(PALETTE) else np.linspace(0, 255, levels).astype(np.uint8)[:, None].repeat(3, 1)
    return colours[samples[:40].numpy()]


def save_tradeoff(curves: Mapping[str, pd.DataFrame], path: Path, quality: str = "fid", variety: str = "is") -> None:
    """Truncation curves of several models: precision against recall, and FID against IS, points labelled with psi."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    titles = {"precision": "precision ↑", "recall": "recall ↑", "fid": "FID ↓", "is": "Inception Score ↑"}
    for panel, (x, y) in zip(panels, (("recall", "precision"), (variety, quality)), strict=True):
        for number, (model, curve) in enumerate(curves.items()):
            if x in curve and y in curve:
                _curve(panel, curve.dropna(subset=[x, y]), x, y, model, f"C{number}")
        panel.set_xlabel(titles.get(x, x))
        panel.set_ylabel(titles.get(y, y))
        panel.grid(alpha=0.3)
        if panel.lines:
            panel.legend()
    atomic.write(path, lambda part: figure.savefig(part, format="png", dpi=110))
    pyplot.close(figure)


def _curve(panel: Any, curve: pd.DataFrame, x: str, y: str, model: str, colour: str) -> None:
    errors = {axis: curve[f"{name}_stderr"] for axis, name in (("xerr", x), ("yerr", y)) if f"{name}_stderr" in curve}
    panel.errorbar(curve[x], curve[y], **errors, fmt="o-", ms=4, lw=1.2, elinewidth=0.7, label=model, color=colour)
    for psi, across, up in zip(curve["psi"], curve[x], curve[y], strict=True):
        label = "∞" if math.isinf(psi) else f"{psi:g}"
        panel.annotate(label, (across, up), textcoords="offset points", xytext=(5, 5), fontsize=8, color=colour)

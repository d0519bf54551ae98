"""Authenticity: the share of samples that are no copies of training items.

References: A. Alaa et al., "How Faithful is your Synthetic Data? Sample-level Metrics for Evaluating and Auditing
Generative Models" (2022); G. Stein et al., "Exposing flaws of generative model evaluation metrics and their unfair
treatment of diffusion models" (2023), whose AuthPct is 100 times this share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from genbench.contracts import Column, Evidence, Score
from genbench.numerics.blocks import mean_of, paired_features
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array
from genbench.numerics.nearest import exact_distances

ROWS, COLUMNS = 512, 4096
CANDIDATES = 8  # nearest by a matrix product, among which exact distances decide


def authenticity(train: Array, fake: Array) -> Estimate:
    """The share of fake features (m, D) farther from their nearest training item than that is from its own nearest.

    Training features are (n, D). Within 0..1; of samples of the training distribution a third (in one dimension) to a
    half (in many) are authentic, of copies none, and of samples far from all data every one. The standard error is that
    over the draw of the samples. Raises InputError for different dimensions, values that are not finite and fewer than
    2 on either side.
    """
    t, f = paired_features(train, fake, 2)
    centre = mean_of(t).to(t.dtype)
    t, f = t - centre, f - centre
    distances, places = _nearest(f, t)
    hit, which = places.unique(return_inverse=True)
    alone = _nearest(t[hit], t, hit)[0]
    authentic = (alone[which] < distances).double()
    return Estimate(float(authentic.mean()), float(authentic.std()) / len(f) ** 0.5)


def _nearest(queries: Tensor, points: Tensor, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The distance (m,), float64, and place (m,) of the nearest point; `own` (m,) names one that does not count."""
    distances, places = [], []
    sizes = points.square().sum(1)
    count = min(CANDIDATES, len(points))
    for start in range(0, len(queries), ROWS):
        x = queries[start : start + ROWS]
        values = x.new_full((len(x), 0), torch.inf)
        columns = torch.empty(len(x), 0, dtype=torch.long, device=x.device)
        for first in range(0, len(points), COLUMNS):
            part = slice(first, first + COLUMNS)
            tile = sizes[part] - 2 * x @ points[part].T  # the square, less what the row has in common
            if own is not None:
                mine = own[start : start + ROWS] - first
                here = ((mine >= 0) & (mine < tile.shape[1])).nonzero()[:, 0]
                tile[here, mine[here]] = torch.inf
            least = tile.topk(min(count, tile.shape[1]), dim=1, largest=False)
            columns = torch.cat([columns, least.indices + first], 1)
            values, order = torch.cat([values, least.values], 1).sort(dim=1)
            values, columns = values[:, :count], columns.gather(1, order)[:, :count]
        exact = exact_distances(x.double()[:, None], points[columns].double())[:, 0]
        exact = torch.where(values == torch.inf, torch.inf, exact)
        nearest = exact.min(1)
        distances.append(nearest.values)
        places.append(columns.gather(1, nearest.indices[:, None])[:, 0])
    return torch.cat(distances), torch.cat(places)


@dataclass(frozen=True, slots=True)
class Authenticity:
    """The column `authenticity`, of the samples' features against those of the train split."""

    name = "authenticity"
    columns = (
        Column(
            "authenticity",
            "authenticity",
            "higher",
            note="authenticity: samples far from all data are authentic too; real items have a third to a half",
        ),
    )
    reads: ClassVar[tuple[Literal["samples", "train"], ...]] = ("samples", "train")
    min_samples = 2

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        estimate = authenticity(evidence.train.embeddings, evidence.fake.embeddings)
        return {"authenticity": Score(estimate.value, estimate.stderr)}

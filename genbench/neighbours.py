"""Exact k-nearest-neighbour radii and ball membership, tile by tile, in memory that does not grow with the square of n.

Distances are float64 differences, never expanded squares, so that duplicates are at distance zero and comparisons at
the border of a ball are exact.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

TILE_ELEMENTS = 2**23  # distances held at once: 64 MB of float64


def _tiles(rows: Tensor, columns: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Euclidean distances of a block of rows to all columns, with the rows that the block stands for."""
    step = max(1, TILE_ELEMENTS // max(1, len(columns)))
    for start in range(0, len(rows), step):
        block = slice(start, min(start + step, len(rows)))
        yield block, torch.cdist(rows[block], columns, compute_mode="donot_use_mm_for_euclid_dist")


def nearest(points: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Distances and indices, each (n, k) and nearest first, of the k nearest other points of each; needs n > k."""
    distances = points.new_empty(len(points), k)
    indices = torch.empty(len(points), k, dtype=torch.int64, device=points.device)
    for block, tile in _tiles(points, points):
        rows = torch.arange(len(tile), device=points.device)
        tile[rows, rows + block.start] = torch.inf
        distances[block], indices[block] = tile.topk(k, largest=False)
    return distances, indices


def radii(points: Tensor, k: int) -> Tensor:
    """The distance (n,) of each of `points` (n, D) to its k-th nearest other point; needs n > k."""
    return nearest(points, k)[0][:, -1]


def covered(queries: Tensor, centres: Tensor, radius: Tensor) -> Tensor:
    """Whether each query (m, D) lies in the closed ball of any centre (n, D).

    `radius` holds one radius per centre, (n,), and the answer is bool (m,); or several sets of radii at once, (s, n),
    for an answer (s, m). A negative radius takes its centre away.
    """
    sets = radius.reshape(-1, len(centres))
    found = torch.empty(len(sets), len(queries), dtype=torch.bool, device=queries.device)
    for block, tile in _tiles(queries, centres):
        for row, one in enumerate(sets):
            found[row, block] = (tile <= one).any(1)
    return found.reshape(*radius.shape[:-1], len(queries))

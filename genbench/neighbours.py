"""Exact k-nearest-neighbour radii and ball membership, tile by tile, in memory that does not grow with the square of n.

Most comparisons are far from undecided: they are made on squared distances from one matrix product, whose rounding
error has a known bound. The few within that bound are made again on plain differences, so that every answer is that of
float64 brute force, for duplicates, constant features and data far from the origin too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

TILE_ELEMENTS = 2**23  # distances held at once: 64 MB of float64
SPARE = 4  # candidates beyond the k-th neighbour, among which near ties are settled
EPSILON = torch.finfo(torch.float64).eps


def exact_distances(rows: Tensor, columns: Tensor) -> Tensor:
    """Euclidean distances (..., n, m) by differences, never by expanded squares: duplicates are at distance zero."""
    return torch.cdist(rows, columns, compute_mode="donot_use_mm_for_euclid_dist")


def _tiles(rows: Tensor, columns: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Squared distances (b, m) of blocks of rows to all columns, and a bound (b,) on their absolute error."""
    centre = columns.mean(0)
    x, y = rows - centre, columns - centre
    x_squares, y_squares = x.square().sum(1), y.square().sum(1)
    dim, largest = rows.shape[1], y_squares.max()
    # The matrix product, and the shift to the centre, which rounds as the largest coordinate does.
    shift = EPSILON * math.sqrt(dim) * torch.maximum(rows.abs().max(), columns.abs().max())
    errors = 4 * (dim + 16) * EPSILON * (x_squares + largest)
    errors += 8 * shift * (x_squares.sqrt() + largest.sqrt() + shift)
    step = max(1, TILE_ELEMENTS // len(columns))
    for start in range(0, len(rows), step):
        block = slice(start, min(start + step, len(rows)))
        squares = torch.addmm(y_squares, x[block], y.T, alpha=-2)
        yield block, squares.add_(x_squares[block, None]), errors[block]


def _without_itself(tile: Tensor, start: int) -> Tensor:
    """The tile of a set against itself, with every point infinitely far from itself."""
    rows = torch.arange(len(tile), device=tile.device)
    tile[rows, rows + start] = torch.inf
    return tile


def nearest(points: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Distances and indices, each (n, k) and nearest first, of the k nearest other points of each; needs n > k.

    Near ties may be in either order, and distances carry the rounding of the matrix product; `radii` are exact.
    """
    found = [_without_itself(tile, block.start).topk(k, largest=False) for block, tile, _ in _tiles(points, points)]
    distances = torch.cat([part.values for part in found]).clamp(min=0).sqrt()
    return distances, torch.cat([part.indices for part in found])


def radii(points: Tensor, k: int) -> Tensor:
    """The distance (n,) of each of `points` (n, D) to its k-th nearest other point; needs n > k."""
    wanted = min(k + SPARE, len(points) - 1)
    found = points.new_empty(len(points))
    for block, tile, errors in _tiles(points, points):
        squares, candidates = _without_itself(tile, block.start).topk(wanted, largest=False)
        chunk = max(1, TILE_ELEMENTS // (wanted * points.shape[1]))
        found[block] = torch.cat(
            [
                exact_distances(rows[:, None], points[near])[:, 0].kthvalue(k, dim=1).values
                for rows, near in zip(points[block].split(chunk), candidates.split(chunk), strict=True)
            ]
        )
        if wanted < len(points) - 1:
            # Where the last candidate may be no farther than the k-th, others may be nearer than either.
            for row in (block.start + (squares[:, -1] - squares[:, k - 1] <= 2 * errors).nonzero()[:, 0]).tolist():
                distances = exact_distances(points[row : row + 1], points)
                found[row] = _without_itself(distances, row).kthvalue(k).values
    return found


def covered(queries: Tensor, centres: Tensor, radius: Tensor) -> Tensor:
    """Whether each query (m, D) lies in the closed ball of any centre (n, D).

    `radius` holds one radius per centre, (n,), and the answer is bool (m,); or several sets of radii at once, (s, n),
    for an answer (s, m). A negative radius takes its centre away.
    """
    sets = radius.reshape(-1, len(centres))
    reach = torch.where(sets < 0, -torch.inf, sets.square())
    found = torch.empty(len(sets), len(queries), dtype=torch.bool, device=queries.device)
    for block, tile, errors in _tiles(queries, centres):
        for number, squares in enumerate(reach):
            margin = (tile - squares).amin(1)
            found[number, block] = margin < 0
            undecided = block.start + (margin.abs() <= 2 * errors).nonzero()[:, 0]
            for rows in undecided.split(max(1, TILE_ELEMENTS // len(centres))):
                inside = exact_distances(queries[rows], centres) <= sets[number]
                found[number, rows] = inside.any(1)
    return found.reshape(*radius.shape[:-1], len(queries))

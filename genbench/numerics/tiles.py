"""The tiles of products that k-NN and memberships look at: whole ones, or of the pairs that a sieve leaves."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.numerics.distance_products import GROUP, Points, Products, Route
from genbench.numerics.places import places
from genbench.numerics.sieve import sparse_products


class Tiles:
    """Products of the rows of one set with the rows of another, tile by tile, each in the same memory.

    A tile takes no more than `elements` values. Where the points were projected, pairs whose squares are sure to be
    above the limits are left out, as if they were infinitely far away.
    """

    def __init__(self, first: Points, second: Points, elements: int) -> None:
        self.first, self.second, self.route = first, second, first.route
        device = first.low.device
        self.factor = Products(first.route, 0, device).factor
        self._product = Products(first.route, elements + GROUP**2, device)
        self._coarse = None
        if first.projected is not None and second.projected is not None:
            self._coarse = Products(Route("float32"), elements + GROUP**2, device)

    def whole(self, a: slice, b: slice) -> Tensor:
        """x.y / factor of all pairs of a tile: float32, until the next call."""
        codes = self.first.codes(a)
        if self.first is self.second and a == b:
            return self._product.square(codes)
        return self._product(codes, self.second.codes(b))

    def bounds(self, a: slice, b: slice) -> Tensor | None:
        """Lower bounds of the squares of a tile, until the next call; None without a sieve."""
        left, right = self.first.projected, self.second.projected
        if self._coarse is None or left is None or right is None:
            return None
        low = self._coarse(left.coordinates[a], right.coordinates[b])
        return torch.add(right.low[b], low, alpha=-2, out=low).add_(left.low[a, None])

    def some(self, a: slice, b: slice, wanted: Tensor) -> Tensor:
        """As `whole`, with minus infinity for pairs that are not `wanted` (a, b), which may be made all the same."""
        row, column = places(wanted)
        if len(row) > self.route.crowded * wanted.numel():
            return self.whole(a, b)
        tile = self._product.memory[: wanted.numel()].view(wanted.shape).fill_(-torch.inf)
        if len(row):
            tile[row, column] = sparse_products(self.first.codes(a), self.second.codes(b), row, column)
        return tile

    def chosen(self, a: slice, b: slice, column: Tensor) -> Tensor:
        """Lower bounds (a, c) of the squares of some pairs of a tile, `column` (a, c) being their places in it."""
        row = torch.arange(len(column), device=column.device).repeat_interleave(column.shape[1])
        products = sparse_products(self.first.codes(a), self.second.codes(b), row, column.flatten()).view(column.shape)
        low = self.first.low[a, None] + self.second.low[b][column]
        return low + self.factor * products

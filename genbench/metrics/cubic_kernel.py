"""The cubic kernel of KID, (x.y/D + 1)^3, in tiles: sums over all pairs of two sets, in memory that does not grow.

References: M. Bińkowski et al., "Demystifying MMD GANs" (2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genbench.errors import InputError
from genbench.numerics.blocks import mean_of, parts_of

TILE = 1024  # rows and columns of the kernel matrix held at once
# Of x.y/D + 1: in float32 its cube multiplies errors, and features of Inception stay far below; in float64 the square
# of the cube, which the variances are made of, would overflow.
LIMITS = {torch.float32: 100.0, torch.float64: 1e48}


@dataclass(frozen=True, eq=False, slots=True)
class KernelPoints:
    """Features x (n, D) and their `lift`: of each row, once centred, its product with the centre over D, float64 (n,).

    `members` (n, S) is 1 where a row belongs to a subset and 0 elsewhere.
    """

    x: Tensor
    lift: Tensor
    members: Tensor

    def of(self, rows: Tensor) -> KernelPoints:
        return KernelPoints(self.x[rows], self.lift[rows], self.members[rows])

    def blocks(self, sums: Tensor, step: int) -> list[tuple[KernelPoints, Tensor]]:
        parts = zip(self.x.split(step), self.lift.split(step), self.members.split(step), strict=True)
        return list(zip((KernelPoints(*part) for part in parts), sums.split(step), strict=True))


@dataclass(frozen=True, eq=False, slots=True)
class KernelTable:
    """Of a table of kernel values (n, m), in float64: the sums of its rows (n,), of its columns (m,), of its squared
    entries, and of the entries whose row and column belong to one subset (S,)."""

    rows: Tensor
    columns: Tensor
    squares: Tensor
    subsets: Tensor

    @property
    def all(self) -> float:
        return float(self.rows.sum())


@dataclass(frozen=True, eq=False, slots=True)
class CubicKernel:
    """(x.y/D + 1)^3 less its value at the centre, which cancels in the distance and would only cost digits."""

    centre: Tensor  # (D,)
    base: float  # |centre|^2 / D + 1

    @classmethod
    def around(cls, real: Tensor, *others: Tensor) -> tuple[CubicKernel, list[KernelPoints]]:
        """The kernel centred amid the real features, in float64 where a set is or float32 does not reach far enough.

        The centre is that of the real side alone, so that its own table serves every comparison. Raises InputError for
        features whose kernel not even float64 can hold.
        """
        sets, mean = (real, *others), mean_of(real)
        wider = [dtype for dtype in LIMITS if all(torch.promote_types(x.dtype, dtype) == dtype for x in sets)]
        for dtype in wider:
            centre = mean.to(dtype)
            kernel = cls(centre, float(centre.double().square().mean()) + 1)
            members = [kernel.points(x) for x in sets]
            if max(kernel.largest(points) for points in members) <= LIMITS[dtype]:
                return kernel, members
        widest = max(float(x.abs().max()) for x in sets)
        raise InputError(
            f"features as large as {widest:.0e} have no cubic kernel in float64; divide both sides by a constant"
        )

    def points(self, x: Tensor) -> KernelPoints:
        """Features (n, D) with what the kernel needs of each."""
        lift = torch.empty(len(x), dtype=torch.float64, device=x.device)
        for part in parts_of(x):
            lift[part] = (x[part].to(self.centre.dtype) - self.centre) @ self.centre / len(self.centre)
        return KernelPoints(x, lift, self.centre.new_empty(len(x), 0))

    def largest(self, points: KernelPoints) -> float:
        """The largest x.x/D + 1, up to twice itself; infinite where it overflows."""
        largest = 0.0
        for part in parts_of(points.x):
            rows = points.x[part].to(self.centre.dtype) - self.centre
            squares = torch.linalg.vector_norm(rows, dim=1).square() / len(self.centre)
            here = float((squares + 2 * points.lift[part].abs()).max())
            largest = max(largest, here if here == here else math.inf)
        return self.base + largest

    def centred(self, points: KernelPoints) -> Tensor:
        return points.x.to(self.centre.dtype) - self.centre

    def marked(self, points: KernelPoints, rows: Tensor) -> KernelPoints:
        """The points as members of the subsets that have the indices `rows` (S, size)."""
        members = torch.zeros(len(rows), len(points.x), dtype=self.centre.dtype, device=points.x.device)
        return replace(points, members=members.scatter_(1, rows.to(members.device), 1).T.contiguous())

    def tile(self, left: Tensor, first: KernelPoints, second: KernelPoints) -> Tensor:
        """The kernel (b, c) of two blocks of points, of which the first has already been centred: left (b, D)."""
        right = left if second is first else self.centred(second)
        # x.y/D above its value at the centre: the difference of the two cubes has it as a factor.
        above = torch.addmm(second.lift.to(left.dtype), left, right.T, alpha=1 / left.shape[1])
        above += first.lift.to(left.dtype)[:, None]
        return (above + 3 * self.base).mul_(above).add_(3 * self.base**2).mul_(above)

    def within(self, points: KernelPoints) -> KernelTable:
        """The sums over all pairs of two different points of one set, in which every pair is evaluated once."""
        rows, squares, subsets = _zeros(points)
        # Only what lies between blocks is spared, so there are at least two.
        blocks = points.blocks(rows, min(TILE, -(-len(points.x) // 2)))
        for i, (first, first_sums) in enumerate(blocks):
            left = self.centred(first)
            for second, second_sums in blocks[i:]:
                tile = self.tile(left, first, second)
                twice = 1 if second is first else 2
                if second is first:
                    tile.fill_diagonal_(0)
                else:
                    second_sums += tile.sum(0)
                first_sums += tile.sum(1)
                squares += twice * _sum_of_squares(tile)
                subsets += twice * _subset_sums(tile, first, second)
        return KernelTable(rows, rows, squares, subsets)

    def between(self, rows: KernelPoints, columns: KernelPoints) -> KernelTable:
        """The sums over all pairs of a point of one set and a point of another."""
        row_sums, squares, subsets = _zeros(rows)
        column_sums = torch.zeros_like(columns.lift)
        for first, first_sums in rows.blocks(row_sums, TILE):
            left = self.centred(first)
            for second, second_sums in columns.blocks(column_sums, TILE):
                tile = self.tile(left, first, second)
                first_sums += tile.sum(1)
                second_sums += tile.sum(0)
                squares += _sum_of_squares(tile)
                subsets += _subset_sums(tile, first, second)
        return KernelTable(row_sums, column_sums, squares, subsets)


def _zeros(points: KernelPoints) -> tuple[Tensor, Tensor, Tensor]:
    zeros = torch.zeros_like(points.lift)
    return zeros, zeros.new_zeros(()), zeros.new_zeros(points.members.shape[1])


def _sum_of_squares(tile: Tensor) -> Tensor:
    return torch.linalg.vector_norm(tile).double().square()


def _subset_sums(tile: Tensor, first: KernelPoints, second: KernelPoints) -> Tensor:
    return (first.members * (tile @ second.members)).sum(0, dtype=torch.float64)

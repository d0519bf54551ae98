"""Exact k-NN radii and ball membership, tile by tile, in memory that does not grow with the square of n.

Most comparisons are far from undecided: they are made on squared distances from a matrix product, whose error has a
known bound (`distance_products`). Pairs within that bound are looked at one by one, first by differences in float32,
then in float64, so that every answer is that of float64 brute force, for duplicates, constant features and data far
from the origin too.

The few neighbours of a point are found in a tile by the minima of small groups: the k-th smallest minimum of a row is
at least its k-th smallest value, and only groups whose minimum is within the limit are opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from genbench.errors import InputError
from genbench.numerics import distance_products
from genbench.numerics.distance_products import GROUP, UNIT, Frame, Points, Route
from genbench.numerics.linalg import Array, as_matrix
from genbench.numerics.places import at_most, places
from genbench.numerics.tiles import Tiles

BUDGET = 2**29  # bytes that a run may hold beside its inputs
TILE_ELEMENTS = 2**20  # distances held at once, in three arrays at worst
PAIR_ELEMENTS = 2**20  # coordinates of single pairs held at once, twice
FARTHEST = 3e38  # below the infinity that pads sets


def exact_distances(rows: Tensor, columns: Tensor) -> Tensor:
    """Euclidean distances (..., n, m) by differences, never by expanded squares: duplicates are at distance zero."""
    return torch.cdist(rows, columns, compute_mode="donot_use_mm_for_euclid_dist")


def prepared(
    first: Tensor, second: Tensor, k: int, route: Route | None = None, reach: int = 0
) -> tuple[Points, Points]:
    """Two sets of points (n, D) in one frame and encoded for one route.

    If None, the fastest for k neighbours, and for as many as `reach` where an error is to come.
    """
    if first.shape[1] != second.shape[1]:
        raise InputError(f"real has {first.shape[1]} features and fake {second.shape[1]}; they must be the same")
    if first.dtype != second.dtype:
        first, second = first.double(), second.double()
    frame = Frame.around(first, second)
    route = route or distance_products.choose(frame, first, second, k, reach)
    points = Points(first, frame, route, BUDGET // 4)
    return points, points if second is first else Points(second, frame, route, BUDGET // 4)


def blocks(points: Points) -> list[slice]:
    step = max(GROUP, int(TILE_ELEMENTS**0.5) // GROUP * GROUP)
    return [slice(start, min(start + step, points.padded)) for start in range(0, points.padded, step)]


def group_minima(tile: Tensor, by_column: bool, size: int = GROUP) -> Tensor:
    """The least of each group of a tile (a, b): (a, b / size) where rows own groups, or (b, a / size) by column."""
    if by_column:
        return tile.view(size, -1, tile.shape[1]).amin(0).T
    return tile.view(len(tile), size, -1).amin(1)


def hits(tile: Tensor, limits: Tensor, minima: Tensor, by_column: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The elements of a tile (a, b) that are at most the limit of their row, or of their column, chunk by chunk.

    Gives what owns the limit, the place along the other axis, and the value; `minima` are those of `group_minima`.
    """
    count = minima.shape[1]
    groups = tile.view(-1, count, tile.shape[1]) if by_column else tile.view(len(tile), -1, count)
    owners, group_numbers = places(at_most(minima, limits[:, None]))
    for owner, group in zip(owners.split(2**16), group_numbers.split(2**16), strict=True):
        values = groups[:, group, owner].T if by_column else groups[owner, :, group]
        pair, member = places(at_most(values, limits[owner, None]))
        yield owner[pair], member * count + group[pair], values[pair, member]


def _pairs(x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """The pairs x[i], y[j] chunk by chunk, always in the same memory."""
    chunk = max(1, min(len(i), PAIR_ELEMENTS // x.shape[1]))
    left, right = (torch.empty(chunk, x.shape[1], dtype=x.dtype, device=x.device) for _ in range(2))
    for start in range(0, len(i), chunk):
        part = slice(start, min(start + chunk, len(i)))
        some = part.stop - start
        torch.index_select(x, 0, i[part], out=left[:some])
        torch.index_select(y, 0, j[part], out=right[:some])
        yield part, left[:some], right[:some]


def pair_distances(x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """The distances (p,), float64, of the pairs x[i], y[j], as `exact_distances` finds them."""
    distances = torch.empty(len(i), dtype=torch.float64, device=x.device)
    for part, left, right in _pairs(x, y, i, j):
        distances[part] = exact_distances(left.double()[:, None], right.double()[:, None])[:, 0, 0]
    return distances


def bracket(x: Points, y: Points, i: Tensor, j: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds, float64 (p,), on the distances of pairs: by float32 differences unless these over- or underflow."""
    if x.x.dtype != torch.float32 or not 2.0**-30 < x.frame.scale < 2.0**30:
        distances = pair_distances(x.x, y.x, i, j)
        return distances, distances
    squares = torch.empty(len(i), device=i.device)
    for part, left, right in _pairs(x.x, y.x, i, j):
        torch.sum(left.sub_(right).square_(), 1, out=squares[part])
    distances = squares.double().sqrt()
    # A sum of D squares of differences, each rounded, in any order; halved by the root.
    error = (x.x.shape[1] + 8) * UNIT
    tiny = 2.0**-60 / x.frame.scale
    return distances * (1 - error) - tiny, distances * (1 + error) + tiny


def refined(x: Points, y: Points, i: Tensor, j: Tensor, squares: Tensor) -> Tensor:
    """Squared distances (p,), float32, of pairs in the frame's units, to within the rounding of float32.

    `squares` are those of the products, which float32 ones leave as they are: what other routes round is looked up.
    """
    if x.route.name == "float32":
        return squares
    low, high = bracket(x, y, i, j)
    return ((low + high) * (x.frame.scale / 2)).square().clamp(max=FARTHEST).float()


def scaled(distances: Tensor, frame: Frame, up: bool) -> Tensor:
    """Squares of distances in the frame's units, float32, up or down by more than any rounding."""
    squares = (distances * frame.scale).square() * (1 + (1 if up else -1) * 2.0**-18)
    return (squares + (distance_products.TINY if up else -distance_products.TINY)).clamp(max=FARTHEST).float()


class Nearest:
    """Candidates for the nearest columns of each row: pairs with the lower bounds of their squared distances.

    `smallest` (n, reach) holds upper bounds on the smallest lower bounds of each row, `limits` (n,) what is listed.
    No row keeps more than `cap` pairs in the long run, and `dropped` (n,) is the least that was not kept.
    """

    def __init__(self, rows: Points, columns: Points, k: int, reach: int) -> None:
        device = rows.low.device
        self.k, self.reach, self.gap, self.plain = k, max(k, reach), rows.gap, rows.route.name == "float32"
        self.smallest = torch.full((rows.padded, self.reach), torch.inf, device=device)
        self.limits = torch.full((rows.padded,), FARTHEST, device=device)
        self.dropped = torch.full((rows.padded,), torch.inf, device=device)
        # Lower bounds are below the distances by about half of both gaps. Where the k-th nearest turns out to be
        # farther than the window supposes, `kth_distances` notices and looks again.
        gaps = columns.gap[: len(columns) : -(-len(columns) // 4096)]
        self.window = 0.6 * (rows.gap + torch.maximum(rows.gap, gaps.quantile(0.98)))
        # Groups so small that the nearest mostly lie in different ones.
        self.size = next(size for size in (32, 16, 8, 4, 2, 1) if size == 1 or columns.padded >= 8 * self.reach * size)
        self.room = self.full = BUDGET // 256
        self.cap = max(4 * self.reach, self.room // (2 * len(rows)))
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self._held = 0

    def take(self, tile: Tensor, rows: slice, first: int, by_column: bool = False) -> None:
        """List what counts in a tile of lower bounds of `rows` against the columns from `first` on, or transposed."""
        minima = group_minima(tile, by_column, self.size)
        known = torch.cat([self.smallest[rows], minima], 1).topk(self.reach, dim=1, largest=False).values
        self.smallest[rows] = known
        # The others need no window where bounds are as near as rounding.
        beyond = known[:, -1] if self.plain else known[:, -1] + self.window[rows]
        wanted = torch.maximum(known[:, self.k - 1] + self.window[rows], beyond)
        self.limits[rows] = limits = torch.minimum(wanted, self.limits[rows])
        for row, column, value in hits(tile, limits, minima, by_column):
            # A lower bound below zero says no more than zero; floats above zero sort as their bits do.
            bits = value.clamp(min=0).view(torch.int32).long()
            self._pairs.append(((row + rows.start << 32) + bits, (column + first).to(torch.int32)))
            self._held += len(row)
            if self._held > self.full:
                self.compact()

    def at_first_sight(self, tiles: Tiles, rows: slice, columns: slice, bounds: Tensor) -> None:
        """Limit rows of which no tile was taken by those columns of a tile (a, b) that a sieve puts nearest.

        `bounds` are the sieve's. However far away these turn out to be, no more than what they reach can count.
        """
        size = max(1, self.size // 4)  # of one tile the nearest are more crowded than of all
        minima, member = bounds.view(len(bounds), -1, size).min(2)
        if minima.shape[1] < self.reach:
            return
        nearest, group = minima.topk(self.reach, dim=1, largest=False, sorted=False)
        column = group * size + member.gather(1, group)
        least = torch.where(nearest.isinf(), torch.inf, tiles.chosen(rows, columns, column))
        self.limits[rows] = (least.amax(1) + self.window[rows]).clamp(max=FARTHEST)

    def compact(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, columns and lower bounds of the pairs that still count, by row and then by lower bound."""
        if not self._pairs:
            none = torch.empty(0, dtype=torch.long, device=self.gap.device)
            return none, none, none.float()
        keys, columns = (torch.cat(part) for part in zip(*self._pairs, strict=True))
        self._pairs = []  # the lists are long: what is done with is let go
        keys, order = keys.sort()
        columns = columns[order]
        del order
        rows = (keys >> 32).to(torch.int32)
        values = (keys & 0xFFFFFFFF).to(torch.int32).view(torch.float32)
        counts = torch.bincount(rows, minlength=len(self.limits))
        rank = torch.arange(len(rows), dtype=torch.int32, device=rows.device)
        rank -= (counts.cumsum(0) - counts).to(torch.int32)[rows]
        crowded = rank >= self.cap
        del rank
        self.dropped.scatter_reduce_(0, rows[crowded].long(), values[crowded], "amin")
        counts_still = ~crowded & (values <= self.limits.clamp(min=0)[rows])
        keys, columns = keys[counts_still], columns[counts_still]
        self._pairs = [(keys, columns)]
        self._held = int(counts_still.sum())
        # Sets whose neighbours alone fill the room would be compacted for every few pairs.
        self.full = max(self.room, 2 * self._held)
        return rows[counts_still].long(), columns.long(), values[counts_still]


def _search(rows: Points, columns: Points, own: Tensor | None, k: int, reach: int) -> Nearest:
    """The candidates of each row; `own` (n,) is the column that is the row itself; a set against itself takes half."""
    candidates = Nearest(rows, columns, k, reach)
    same = rows is columns
    tiles = Tiles(rows, columns, TILE_ELEMENTS)
    for a, b in _half_of_tiles(rows) if same else all_tiles(rows, columns):
        bounds = tiles.bounds(a, b)
        if bounds is None:
            tile = tiles.whole(a, b)
        else:
            _leave_out(own, a, b, bounds)
            if candidates.limits[a][: len(rows) - a.start].amax() >= FARTHEST:
                candidates.at_first_sight(tiles, a, b, bounds)
            limits = candidates.limits[a, None]
            if same and a != b:
                limits = torch.maximum(limits, candidates.limits[b])
            tile = tiles.some(a, b, at_most(bounds, limits))
        torch.add(columns.low[b], tile, alpha=tiles.factor, out=tile)
        tile.add_(rows.low[a, None])
        _leave_out(own, a, b, tile)
        candidates.take(tile, a, b.start)
        if same and b.start > a.start:
            candidates.take(tile, b, a.start, by_column=True)
    return candidates


def all_tiles(rows: Points, columns: Points) -> Iterator[tuple[slice, slice]]:
    """The tiles, of so many columns after another as have their codes at hand."""
    across, down = blocks(columns), blocks(rows)
    some = columns.at_hand(across[0].stop) - 1
    for start in range(0, len(across), some):
        yield from product(down, across[start : start + some])


def _half_of_tiles(points: Points) -> Iterator[tuple[slice, slice]]:
    """Those of a set against itself: first the ones on the diagonal, which give every row its limit."""
    yield from ((a, a) for a in blocks(points))
    yield from ((a, b) for a, b in all_tiles(points, points) if a.start < b.start)


def _leave_out(own: Tensor | None, a: slice, b: slice, tile: Tensor) -> None:
    """Put the pairs of a row with itself infinitely far apart."""
    if own is not None:
        mine = own[a]
        here = ((mine >= b.start) & (mine < b.stop)).nonzero()[:, 0]
        tile[here, mine[here] - b.start] = torch.inf


def _settle(rows: Points, columns: Points, candidates: Nearest, ks: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Exact distances (len(ks), n) to the k-th nearest columns, and whether (n,) they are beyond doubt."""
    row, column, value = candidates.compact()
    counts = torch.bincount(row, minlength=len(rows))[: len(rows)]
    starts, most = counts.cumsum(0) - counts, max(ks)
    result = torch.full((len(ks), len(rows)), torch.inf, dtype=torch.float64, device=row.device)
    widest = max(most, int(counts.max()) if len(row) else most)
    for part in torch.arange(len(rows), device=row.device).split(max(1, 2**18 // widest)):
        width = max(most, int(counts[part].max()))
        place = starts[part, None] + torch.arange(width, device=row.device)
        there = torch.arange(width, device=row.device) < counts[part, None]
        place = torch.where(there, place, 0)
        low = torch.full(place.shape, torch.inf, dtype=torch.float64, device=row.device)
        high = low.clone()

        def look(wanted: Tensor, part=part, place=place, low=low, high=high) -> None:  # type: ignore[no-untyped-def]
            which = wanted.nonzero()[:, 0]
            low[wanted], high[wanted] = bracket(rows, columns, part[which], column[place[wanted]])

        first = there.clone()
        first[:, most:] = False
        look(first)
        # Nothing is nearer than zero: among duplicates the others need no look.
        touching = ((low[:, :most] <= 0) & there[:, :most]).all(1).nonzero()[:, 0]
        near = column[place[touching, :most]].flatten()
        apart = pair_distances(rows.x, columns.x, part[touching].repeat_interleave(most), near)
        there[touching[(apart.view(-1, most) == 0).all(1)], most:] = False
        limit = scaled(high[:, :most].amax(1), rows.frame, up=True)
        look(there & ~first & (value[place] <= limit[:, None]))
        windows = [(low.kthvalue(k, dim=1).values[:, None], high.kthvalue(k, dim=1).values[:, None]) for k in ks]
        open_ = torch.stack([(low <= above) & (high >= below) for below, above in windows]).any(0) & there
        exact = torch.full_like(low, torch.inf)
        exact[open_] = pair_distances(rows.x, columns.x, part[open_.nonzero()[:, 0]], column[place[open_]])
        for number, (k, (below, above)) in enumerate(zip(ks, windows, strict=True)):
            inside = torch.where((low <= above) & (high >= below), exact, torch.inf)
            rank = k - 1 - (high < below).sum(1)
            result[number, part] = inside.sort(dim=1).values.gather(1, rank[:, None])[:, 0]
    farthest = scaled(result.amax(0), rows.frame, up=True)
    beyond = torch.minimum(candidates.limits, candidates.dropped)[: len(rows)]
    # Nothing is nearer than zero, however many points lie there.
    return result, (result.amax(0) == 0) | (result.amax(0).isfinite() & (farthest < beyond))


def _by_brute_force(rows: Tensor, columns: Tensor, own: Tensor | None, ks: Sequence[int]) -> Tensor:
    """Distances (len(ks), n) to the k-th nearest columns, where ties are too many for anything else."""
    nearest = []
    step = max(1, distance_products.CHUNK // columns.shape[1])
    some = max(1, min(step, TILE_ELEMENTS // len(columns)))
    for part in torch.arange(len(rows), device=rows.device).split(some):
        x = rows[part].double()
        distances = torch.cat([exact_distances(x, y.double()) for y in columns.split(step)], 1)
        if own is not None:
            distances[torch.arange(len(part), device=rows.device), own[part]] = torch.inf
        nearest.append(torch.stack([distances.kthvalue(k, dim=1).values for k in ks]))
    return torch.cat(nearest, 1)


def kth_distances(
    rows: Points, columns: Points, ks: Sequence[int], own: Tensor | None = None, reach: int = 0
) -> tuple[Tensor, Nearest]:
    """The exact distance of each row to its k-th nearest column, float64 (len(ks), n), and the candidates behind it.

    `own` (n,) names the column that is a row itself and no neighbour of its own; the candidates are also the (about)
    `reach` nearest.
    """
    candidates = _search(rows, columns, _padded(own, rows), max(ks), reach)
    distances, sure = _settle(rows, columns, candidates, ks)
    doubtful = (~sure).nonzero()[:, 0]
    for part in doubtful.split(4096) if len(doubtful) else ():
        mine = part if own is None else own[part]
        if rows.route.name == "float32":
            distances[:, part] = _by_brute_force(rows.x[part], columns.x, None if own is None else mine, ks)
            continue
        # A second look with tighter bounds.
        plain = Route("float32")
        some = Points(rows.x[part], rows.frame, plain, 0)
        others = Points(columns.x, rows.frame, plain, 0)
        distances[:, part] = kth_distances(some, others, ks, None if own is None else mine)[0]
    return distances, candidates


def neighbours(points: Points, candidates: Nearest, reach: int) -> tuple[Tensor, Tensor]:
    """The `reach` nearest others of each point, nearest first: their indices and squared distances, both (n, reach).

    The squares are float32, in the frame's units, and to within its rounding, whatever the route; `candidates` are
    those of `kth_distances` of the points against themselves, with that `reach`.
    """
    indices, squares = _listed(points, points, candidates, reach)
    if points.route.name == "float32":
        return indices, squares
    # What was not listed is beyond the limits; where these are too near, a second look.
    doubtful = (squares[:, -1] >= torch.minimum(candidates.limits, candidates.dropped)[: len(points)]).nonzero()[:, 0]
    if len(doubtful):
        plain = Route("float32")
        others = Points(points.x, points.frame, plain, BUDGET // 4)
        for part in doubtful.split(4096):
            some = Points(points.x[part], points.frame, plain, 0)
            again = _search(some, others, _padded(part, some), 1, reach)
            indices[part], squares[part] = _listed(some, others, again, reach)
    return indices, squares


def _listed(rows: Points, columns: Points, candidates: Nearest, reach: int) -> tuple[Tensor, Tensor]:
    """The `reach` nearest columns among the candidates of each row, and their squares."""
    row, column, least = candidates.compact()
    values = refined(rows, columns, row, column, least + (rows.gap[row] + columns.gap[column]) / 2)
    order = values.argsort(stable=True)
    order = order[row[order].argsort(stable=True)]
    counts = torch.bincount(row, minlength=len(rows))[: len(rows)]
    place = order[(counts.cumsum(0) - counts)[:, None] + torch.arange(reach, device=row.device)]
    return column[place], values[place]


def _padded(own: Tensor | None, rows: Points) -> Tensor | None:
    """`own` with a column that is nowhere for the rows that pad a set."""
    return None if own is None else torch.cat([own, own.new_full((rows.padded - len(rows),), -1)])


def radii(points: Tensor, k: int) -> Tensor:
    """The distance (n,), float64, of each of `points` (n, D) to its k-th nearest other point; needs n > k."""
    both = prepared(points, points, k)[0]
    return kth_distances(both, both, [k], torch.arange(len(points), device=points.device))[0][0]


def nearest_distances(queries: Array, points: Array, k: int = 1) -> Tensor:
    """The distance (m,), float64, of each query (m, D) to its k-th nearest point (n, D); equal to brute force.

    A query that is also a point is at distance zero from it. Raises InputError for fewer than k points.
    """
    x, y = as_matrix("queries", queries), as_matrix("points", points)
    if not 1 <= k <= len(y):
        raise InputError(f"the nearest of k = {k} points need at least as many points, got {len(y)}")
    rows, columns = prepared(x, y, k)
    return kth_distances(rows, columns, [k])[0][0]

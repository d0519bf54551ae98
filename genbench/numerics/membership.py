"""Which points lie in which balls: the memberships behind precision, recall, density and coverage, exact.

The rectangle of distances between two sets is computed once, for the balls around either. A pair whose bounds leave no
doubt is settled in its tile; the others are looked at one by one, and only while an answer hangs on them: whether any
ball holds a point is settled by the first that does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genbench import seeding
from genbench.numerics import nearest
from genbench.numerics.distance_products import GROUP, Points
from genbench.numerics.nearest import all_tiles, bracket, group_minima, hits, pair_distances, prepared, refined, scaled
from genbench.numerics.places import at_most
from genbench.numerics.tiles import Tiles

ENOUGH = 48  # balls around a point of which, in a random half, one is left but once in 2^48


class Balls:
    """Balls of `radius` (n,), float64, around `centres`, and what `queries` they hold; a negative radius holds nothing.

    `inside` (m,) says of each query whether any ball holds it. With `counted`, `counts` (m,) says how many, `held` (n,)
    how many queries each ball holds, and `members` (n,) is a number that balls of the same queries share, and others
    not but by chance, once in 2^62.
    """

    def __init__(self, radius: Tensor, closed: bool = True, counted: bool = False) -> None:
        self.radius, self.closed, self.counted = radius, closed, counted

    def _begin(self, centres: Points, queries: Points) -> None:
        device = self.radius.device
        self.centres, self.queries = centres, queries
        nothing = self.radius < 0 if self.closed else self.radius <= 0
        self.low = torch.where(nothing, -torch.inf, scaled(self.radius, centres.frame, up=False))
        self.high = torch.where(nothing, -torch.inf, scaled(self.radius, centres.frame, up=True))
        self.inside = torch.zeros(len(queries), dtype=torch.bool, device=device)
        self.held = torch.zeros(len(centres), dtype=torch.long, device=device)
        self.members = torch.zeros_like(self.held)
        rng = seeding.generator("members", len(queries))
        self.keys = torch.randint(-(2**62), 2**62, (len(queries),), generator=rng).to(device)
        self.counts = torch.zeros(len(queries), dtype=torch.long, device=device)
        self._open: list[tuple[Tensor, Tensor, Tensor]] = []
        self._waiting = 0

    def _take(self, centre: Tensor, query: Tensor, least: Tensor) -> None:
        """Settle pairs by the lower bounds (p,) of their squared distances, or keep them for later."""
        most = least + self.centres.gap[centre] + self.queries.gap[query]
        sure = most < self.low[centre]
        self._mark(centre[sure], query[sure])
        unsure = ~sure & (least <= self.high[centre])
        if not self.counted:
            unsure &= ~self.inside[query]
        where = unsure.nonzero()[:, 0]
        c, q = centre[where], query[where]
        self._open.append((c.to(torch.int32), q.to(torch.int32), least[where] - self.high[c]))
        self._waiting += len(where)
        if self._waiting > nearest.BUDGET // 128:
            self._settle()

    def _mark(self, centre: Tensor, query: Tensor) -> None:
        self.inside[query] = True
        if self.counted:
            self.held += torch.bincount(centre, minlength=len(self.held))
            self.members.index_add_(0, centre, self.keys[query])  # sums wrap around, which does no harm
            self.counts += torch.bincount(query, minlength=len(self.counts))

    def _settle(self) -> None:
        """Look at every pair that is kept and still matters."""
        if not self._open:
            return
        centre, query, margin = (torch.cat(part) for part in zip(*self._open, strict=True))
        self._open, self._waiting = [], 0
        if self.counted:
            self._look(centre.long(), query.long())
            return
        order = margin.argsort()
        centre, query = centre[order].long(), query[order].long()
        by_query = query.argsort(stable=True)
        centre, query = centre[by_query], query[by_query]
        # The likeliest ball of each query first: mostly it settles the matter.
        while len(query):
            wanted = ~self.inside[query]
            centre, query = centre[wanted], query[wanted]
            counts = torch.bincount(query, minlength=len(self.inside))
            rank = torch.arange(len(query), device=query.device) - (counts.cumsum(0) - counts)[query]
            now = rank < 4
            self._look(centre[now], query[now])
            centre, query = centre[~now], query[~now]

    def _look(self, centre: Tensor, query: Tensor) -> None:
        low, high = bracket(self.centres, self.queries, centre, query)
        radius = self.radius[centre]
        sure = high < radius
        self._mark(centre[sure], query[sure])
        rest = (~sure & (low <= radius)).nonzero()[:, 0]
        c, q, radius = centre[rest], query[rest], radius[rest]
        exact = pair_distances(self.centres.x, self.queries.x, c, q)
        holds = exact <= radius if self.closed else exact < radius
        self._mark(c[holds], q[holds])


class Reached:
    """The pairs of which a squared distance, to within the rounding of float32, is at most a limit (n,) of the centre.

    They serve standard errors, which need no more. Of each of the things counted, the centres or the queries,
    about ENOUGH pairs of at most `sure` (n,) are enough to know that a random half keeps one: later ones are left out.
    """

    def __init__(self, limit: Tensor, sure: Tensor, by: str) -> None:
        self.limit, self.sure, self.by = limit, sure, by
        self._pairs: list[tuple[Tensor, Tensor, Tensor]] = []

    def _begin(self, centres: Points, queries: Points) -> None:
        self.centres, self.queries = centres, queries
        counted = centres if self.by == "centres" else queries
        self.counts = torch.zeros(len(counted), dtype=torch.long, device=self.limit.device)

    def _take(self, centre: Tensor, query: Tensor, least: Tensor) -> None:
        item = centre if self.by == "centres" else query
        wanted = ((least <= self.limit[centre]) & (self.counts[item] < ENOUGH)).nonzero()[:, 0]
        centre, query, least, item = centre[wanted], query[wanted], least[wanted], item[wanted]
        middle = least + (self.centres.gap[centre] + self.queries.gap[query]) / 2
        value = refined(self.centres, self.queries, centre, query, middle)
        near = (value <= self.limit[centre]).nonzero()[:, 0]
        centre, query, value, item = centre[near], query[near], value[near], item[near]
        self._pairs.append((centre.to(torch.int32), query.to(torch.int32), value))
        self.counts += torch.bincount(item[value <= self.sure[centre]], minlength=len(self.counts))

    def pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Centres, queries and squared distances in the frame's units, (p,) each."""
        centre, query, value = (torch.cat(part) for part in zip(*self._pairs, strict=True))
        return centre.long(), query.long(), value


class _Side:
    """The balls around one set, of which a tile takes its limits: one for each centre, and none for a settled query."""

    def __init__(self, centres: Points, queries: Points, asked: Sequence[Balls | Reached]) -> None:
        self.centres, self.queries, self.asked = centres, queries, asked
        for balls in asked:
            balls._begin(centres, queries)
        highest = torch.stack([balls.high if isinstance(balls, Balls) else balls.limit for balls in asked]).amax(0)
        pad = centres.padded - len(centres)
        self.limit = torch.cat([highest.clamp(min=-nearest.FARTHEST), highest.new_full((pad,), -nearest.FARTHEST)])

    def wanted(self, queries: slice) -> Tensor:
        """Which of some queries (q,) an answer still hangs on."""
        open_ = torch.zeros(queries.stop - queries.start, dtype=torch.bool, device=self.limit.device)
        real = slice(queries.start, min(queries.stop, len(self.queries)))
        open_[: real.stop - real.start] = True
        if all(isinstance(balls, Balls) and not balls.counted for balls in self.asked):
            done = torch.stack([balls.inside[real] for balls in self.asked if isinstance(balls, Balls)]).all(0)
            open_[: len(done)] = ~done
        return open_

    def take(self, margins: Tensor, queries: slice, first: int, by_column: bool) -> None:
        """Pass on the pairs of a tile of lower bounds, less the centres' limits: queries by centres, or transposed."""
        limits = torch.where(self.wanted(queries), 0.0, -torch.inf)
        for query, centre, margin in hits(margins, limits, group_minima(margins, by_column), by_column):
            query, centre = query + queries.start, centre + first
            least = margin + self.limit[centre]
            for balls in self.asked:
                balls._take(centre, query, least)


def memberships(
    first: Points, second: Points, around_first: Sequence[Balls | Reached], around_second: Sequence[Balls | Reached]
) -> None:
    """Fill in the balls around the first set with the second, and those around the second with the first."""
    inner = _Side(first, second, around_first) if around_first else None
    outer = _Side(second, first, around_second) if around_second else None
    tiles = Tiles(first, second, nearest.TILE_ELEMENTS)
    spare = torch.empty(nearest.TILE_ELEMENTS + GROUP**2, device=first.low.device)
    for a, b in all_tiles(first, second):
        bounds = tiles.bounds(a, b)
        tile = tiles.whole(a, b) if bounds is None else tiles.some(a, b, _near(bounds, a, b, inner, outer))
        if inner is not None:
            margins = spare[: tile.numel()].view_as(tile)
            torch.add((first.low[a] - inner.limit[a])[:, None], tile, alpha=tiles.factor, out=margins)
            inner.take(margins.add_(second.low[b]), b, a.start, by_column=True)
        if outer is not None:
            torch.add(second.low[b] - outer.limit[b], tile, alpha=tiles.factor, out=tile)
            outer.take(tile.add_(first.low[a, None]), a, b.start, by_column=False)
    for balls in (*around_first, *around_second):
        if isinstance(balls, Balls):
            balls._settle()


def _near(bounds: Tensor, a: slice, b: slice, inner: _Side | None, outer: _Side | None) -> Tensor:
    """The pairs of a tile of lower bounds (a, b) that are within the limit of either, where a query is still open."""
    near = torch.zeros(bounds.shape, dtype=torch.bool, device=bounds.device)
    if inner is not None:
        near |= at_most(bounds, inner.limit[a, None]) & inner.wanted(b)
    if outer is not None:
        near |= at_most(bounds, outer.limit[b]) & outer.wanted(a)[:, None]
    return near


def covered(queries: Tensor, centres: Tensor, radius: Tensor) -> Tensor:
    """Whether each query (m, D) lies in the closed ball of any centre (n, D).

    `radius` holds one radius per centre, (n,), and the answer is bool (m,); or several sets of radii at once, (s, n),
    for an answer (s, m). A negative radius takes its centre away.
    """
    around, points = prepared(centres, queries, 1)
    sets = [Balls(radii.double()) for radii in radius.reshape(-1, len(centres))]
    memberships(around, points, sets, [])
    return torch.stack([balls.inside for balls in sets]).reshape(*radius.shape[:-1], len(queries))

"""One run of the neighbour engine for precision, recall, density and coverage, with their standard errors.

Precision and density are means over independent fake samples, recall is one over independent real ones: so far their
errors are those of means. Over the draw of the other side, whose balls are then other ones, the error is the deviation
between random halves of that side. A linear statistic varies between halves of a sample, given the sample, as much as
it does between samples; and unions of balls keep their shape in a half, as the k-th neighbour is farther away. (Leaving
out few, or drawing with replacement, overstates such errors by half and more.)

Coverage counts the balls of the real samples that hold any fake one. Were the number of samples random, two balls would
be empty together with a covariance of exp(-u) (1 - exp(-b)), where u and b are the expected numbers of samples in the
union of both and in both. The number of pairs of balls that hold the same q samples and no others has the expectation
exp(-u) b^q / q!, so that their alternating sum over q is the variance, without bias; as for species (I. Good and G.
Toulmin, 1956) it is smoothed by binomial weights (B. Efron and R. Thisted, 1976) for the sake of its own error. The
first term alone is the jackknife, which is above the variance on average (B. Efron and C. Stein, 1981): the interval is
made of it. The errors work on neighbours and members that the run finds anyway.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genbench import seeding
from genbench.errors import InputError
from genbench.numerics import nearest
from genbench.numerics.distance_products import Frame, Points
from genbench.numerics.estimate import Estimate
from genbench.numerics.intervals import share_with_error, wilson
from genbench.numerics.linalg import Array, as_matrix
from genbench.numerics.membership import Balls, Reached, memberships
from genbench.numerics.nearest import Nearest

HALF_SAMPLES = 32
NEIGHBOURS_PER_K = 8  # of 8 k neighbours, fewer than k fall into a random half once in 10^4 or less, for k = 2 or more
TIES = 1 + 2.0**-18  # squared distances this near count as equal where only a standard error hangs on them
CHUNK = 2**15  # pairs that are compared with all limits of their centres at once
WEIGHTS = (0.75, -0.25)  # P(B >= 1), -P(B >= 2) for a binomial B of two halves: the smoothed alternating sum


@dataclass(frozen=True, slots=True)
class ManifoldMetrics:
    """`precision`, `recall` and `coverage` within 0..1, `density` from 0 on; what was not asked for is None."""

    precision: Estimate | None
    recall: Estimate | None
    density: Estimate | None
    coverage: Estimate | None


@dataclass(frozen=True, eq=False, slots=True)
class RealManifold:
    """What the measures need of the real features (n, D) alone: the same whatever they are compared with.

    `radii` are by j the exact distances (n,) to the j-th neighbour, `around` the nearest others, where k is given.
    """

    radii: Mapping[int, Tensor]
    around: Around | None

    @classmethod
    def of(cls, real: Array, k: int | None = 3, density_k: int | None = 5) -> RealManifold:
        r = as_matrix("real", real)
        wanted = _wanted(k, density_k, len(r))
        reach = 0 if k is None else min(NEIGHBOURS_PER_K * k, len(r) - 1)
        points = nearest.prepared(r, r, max(wanted), reach=reach)[0]
        own = torch.arange(len(r), device=r.device)
        distances, candidates = nearest.kth_distances(points, points, sorted(set(wanted)), own, reach)
        around = None if k is None or not _enough(len(r), k) else Around.of(points, candidates, reach)
        return cls(dict(zip(sorted(set(wanted)), distances, strict=True)), around)


def manifold_metrics(
    real: Array,
    fake: Array,
    k: int | None = 3,
    density_k: int | None = 5,
    known: RealManifold | None = None,
) -> ManifoldMetrics:
    """Precision and recall for `k` neighbours, density and coverage for `density_k`, of features (n, D) and (m, D).

    All distances are computed once; None leaves out its pair. `known` is the `RealManifold` of the same real features
    and numbers of neighbours, where it is at hand. See `precision_recall` and `density_coverage` for the measures.
    Raises InputError for different dimensions, values that are not finite, a number of neighbours below 1, or no more
    samples than that on either side.
    """
    r, f = as_matrix("real", real), as_matrix("fake", fake)
    wanted = _wanted(k, density_k, len(r), len(f))
    if r.shape[1] != f.shape[1]:
        raise InputError(f"real has {r.shape[1]} features and fake {f.shape[1]}; they must be the same")
    manifold = known or RealManifold.of(r, k, density_k)
    reach = 0 if k is None else min(NEIGHBOURS_PER_K * k, len(f) - 1)
    first, second = nearest.prepared(r, f, max(wanted), reach=reach)

    inner: list[Balls | Reached] = []
    outer: list[Balls | Reached] = []
    around = of_reals = of_fakes = None
    if k is not None:
        own = torch.arange(len(f), device=f.device)
        radii, candidates = nearest.kth_distances(second, second, [k], own, reach)
        inner.append(precise := Balls(manifold.radii[k]))
        outer.append(recalled := Balls(radii[0]))
        if manifold.around is not None:
            inner.append(of_reals := manifold.around.reached(manifold.radii[k], first.frame))
        if _enough(len(f), k):
            around = Around.of(second, candidates, reach)
            outer.append(of_fakes := around.reached(radii[0], second.frame))
        del candidates  # its lists are long
    if density_k is not None:
        inner.append(dense := Balls(manifold.radii[density_k], closed=False, counted=True))
    memberships(first, second, inner, outer)

    precision = recall = density = coverage = None
    if k is not None:
        over_reals = over_fakes = None
        if of_reals is not None and manifold.around is not None:
            over_reals = manifold.around.error(of_reals, first.frame, len(f), k)
        if of_fakes is not None and around is not None:
            over_fakes = around.error(of_fakes, second.frame, len(r), k)
        precision = _precision(precise.inside, over_reals)
        recall = _recall(recalled.inside, over_fakes)
    if density_k is not None:
        density = _mean(dense.counts.double() / density_k)
        coverage = _coverage(dense, len(f))
    return ManifoldMetrics(precision, recall, density, coverage)


def _wanted(k: int | None, density_k: int | None, real: int, fake: int | None = None) -> list[int]:
    wanted = [number for number in (k, density_k) if number is not None]
    if not wanted or min(wanted) < 1 or min(real, real if fake is None else fake) <= max(wanted):
        sides = f"{real} real" if fake is None else f"{real} real and {fake} fake"
        raise InputError(
            f"k-NN needs more than k = {max(wanted, default=None)} samples on each side and k of at least 1, "
            f"got {sides}"
        )
    return wanted


def _enough(n: int, k: int) -> bool:
    """Whether halves of n samples are large enough for their balls."""
    return n >= 4 * (k + 1)


def _mean(values: Tensor) -> Estimate:
    return Estimate(float(values.mean()), float(values.std(correction=1) / len(values) ** 0.5))


def _precision(inside: Tensor, over_reals: float | None) -> Estimate:
    """The share of fake samples inside, which are independent where the real ones are held fixed."""
    value, m = float(inside.double().mean()), len(inside)
    stderr = float(inside.double().std(correction=1) / m**0.5)
    low, high = wilson(value, m)
    total = None if over_reals is None else math.hypot(stderr, over_reals)
    return Estimate(value, stderr, low=low, high=high, total_stderr=total)


def _recall(inside: Tensor, over_fakes: float | None) -> Estimate:
    """The share of real samples inside balls that the draw of the fake ones makes."""
    value, n = float(inside.double().mean()), len(inside)
    if over_fakes is None:
        return Estimate(value)
    return share_with_error(value, over_fakes, n, math.hypot(over_fakes, math.sqrt(value * (1 - value) / n)))


def _coverage(balls: Balls, fake: int) -> Estimate:
    """The share of balls that hold any of the fake samples; its error by those that hold one or two."""
    n, value = len(balls.held), float((balls.held > 0).double().mean())
    alike = [_pairs_alike(balls.members[balls.held == count]) for count in (1, 2)]
    # For a fixed number of samples a ball is empty a little less often at the cost of others.
    alike[0] -= float((balls.held == 1).sum()) ** 2 / fake
    variance = sum(weight * pairs for weight, pairs in zip(WEIGHTS, alike, strict=True))
    # That no ball was ever held by one sample alone does not say that none can be.
    jackknife = max(alike[0], 1.0)
    stderr, widest = math.sqrt(max(variance, WEIGHTS[0])) / n, math.sqrt(jackknife) / n
    interval = share_with_error(value, widest, fake)
    return Estimate(value, stderr, low=interval.low, high=interval.high)


def _pairs_alike(numbers: Tensor) -> float:
    """How many ordered pairs, of one with itself too, are equal."""
    return float(numbers.unique(return_counts=True)[1].double().square().sum())


@dataclass(frozen=True, eq=False, slots=True)
class Around:
    """The nearest other points of each: indices and squared distances, float64, both (m, reach).

    The distances are to within the rounding of float32, which is enough for standard errors.
    """

    indices: Tensor
    squares: Tensor

    @classmethod
    def of(cls, points: Points, candidates: Nearest, reach: int) -> Around:
        indices, squares = nearest.neighbours(points, candidates, reach)
        return cls(indices, squares.double() / points.frame.scale**2)

    def reached(self, radius: Tensor, frame: Frame) -> Reached:
        """The pairs that may matter to halves of these points, whose balls have the radius (m,) in the whole."""
        return Reached(self._in(frame)[:, -1] * TIES, nearest.scaled(radius, frame, up=False), "queries")

    def error(self, reached: Reached, frame: Frame, queries: int, k: int) -> float:
        """The deviation of the share of queries that lie in any k-NN ball, between halves of these points.

        All halves at once, each being a bit of a number.
        """
        centre, query, squares = reached.pairs()
        limits = self._in(frame) * TIES
        halves = _halves(len(self.indices)).to(centre.device)
        wide = _balls_of_halves(halves, self.indices, k)
        query, order = query.sort()
        balls = torch.cat([wide[c, _place(limits[c], s)] for c, s in _chunks(centre[order], squares[order])])
        first = torch.ones_like(query, dtype=torch.bool)
        first[1:] = query[1:] != query[:-1]
        # Of every query the halves in any of whose balls it lies.
        held = np.bitwise_or.reduceat(balls.cpu().numpy(), first.nonzero()[:, 0].cpu().numpy()) if len(query) else balls
        shares = [float(((held >> half) & 1).sum()) / queries for half in range(HALF_SAMPLES)]
        return float(torch.tensor(shares).std(correction=1))

    def _in(self, frame: Frame) -> Tensor:
        """The squares in the units of a frame, float32."""
        return (self.squares * frame.scale**2).float()


def _halves(n: int) -> Tensor:
    """By bit, which of the random halves of n points a point is in: int64 (n,)."""
    # Drawn on the CPU, whose generator gives the same halves on every machine.
    rng = seeding.generator("half-samples", n)
    halves = torch.zeros(n, dtype=torch.long)
    for half in range(HALF_SAMPLES):
        halves |= (torch.randperm(n, generator=rng) < n // 2).long() << half
    return halves


def _balls_of_halves(halves: Tensor, neighbours: Tensor, k: int) -> Tensor:
    """By bit, in which halves a point's k-NN ball reaches to at least its j-th neighbour: int64 (n, reach + 1).

    `neighbours` (n, reach) are the nearest in the whole, nearest first. In halves that hold fewer than k of them the
    ball reaches to the last; to what is beyond, none does.
    """
    reach = neighbours.shape[1]
    balls = halves.new_zeros(len(halves), reach + 1)
    at_least = [torch.zeros_like(halves) for _ in range(k)]  # the halves with 1, 2 ... k members among those before
    for place in range(reach):
        balls[:, place] = halves & ~at_least[-1]
        member = halves[neighbours[:, place]]
        for count in reversed(range(1, k)):
            at_least[count] |= at_least[count - 1] & member
        at_least[0] |= member
    return balls


def _place(limits: Tensor, squares: Tensor) -> Tensor:
    """How many of the rising limits (p, reach) each of the squares (p,) is above."""
    return (limits < squares[:, None]).sum(1)


def _chunks(centre: Tensor, squares: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(centre.split(CHUNK), squares.split(CHUNK), strict=True)

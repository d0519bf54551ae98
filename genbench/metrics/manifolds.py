"""One run of the neighbour engine for precision, recall, density and coverage, with their standard errors.

All standard errors are over the draw of the fake samples, the real ones held fixed. Precision and density are means
over independent samples. Recall and coverage are not: their errors are the deviations between random halves of the
fake samples. A linear statistic varies between halves of a sample, given the sample, as much as it does between
samples; and unions of balls keep their shape in a half if the balls grow to hold what they held. For recall they do
so by themselves, as the k-th neighbour is farther away; for coverage, where the balls are those of the real samples,
they are widened until halves cover as much as the whole does. (Leaving out few, or drawing with replacement,
overstates both errors by half and more.) The errors work on neighbours that the run finds anyway, with distances to
within the error of its matrix products: time and memory grow with n, not with its square.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from genbench import seeding
from genbench.errors import InputError
from genbench.numerics import nearest
from genbench.numerics.distance_products import Points
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array, as_matrix
from genbench.numerics.membership import Balls, Reached, memberships
from genbench.numerics.nearest import Nearest

HALF_SAMPLES = 32
NEIGHBOURS_PER_K = 8  # of 8 k neighbours, fewer than k fall into a random half once in 10^4 or less, for k = 2 or more
TIES = 1 + 2.0**-18  # squared distances this near count as equal where only a standard error hangs on them


@dataclass(frozen=True, slots=True)
class ManifoldMetrics:
    """`precision`, `recall` and `coverage` within 0..1, `density` from 0 on; what was not asked for is None."""

    precision: Estimate | None
    recall: Estimate | None
    density: Estimate | None
    coverage: Estimate | None


def manifold_metrics(
    real: Array,
    fake: Array,
    k: int | None = 3,
    density_k: int | None = 5,
    radii: Mapping[int, Tensor] | None = None,
) -> ManifoldMetrics:
    """Precision and recall for `k` neighbours, density and coverage for `density_k`, of features (n, D) and (m, D).

    All distances are computed once; None leaves out its pair. `radii` are those of `real_radii` for the same real
    features and numbers of neighbours, where they are at hand. See `precision_recall` and `density_coverage` for the
    measures. Raises InputError for different dimensions, values that are not finite, a number of neighbours below 1,
    or no more samples than that on either side.
    """
    r, f = as_matrix("real", real), as_matrix("fake", fake)
    wanted = _wanted(k, density_k, len(r), len(f))
    if r.shape[1] != f.shape[1]:
        raise InputError(f"real has {r.shape[1]} features and fake {f.shape[1]}; they must be the same")
    radius = real_radii(r, k, density_k) if radii is None else radii
    first, second = nearest.prepared(r, f, max(wanted))

    inner: list[Balls | Reached] = []
    outer: list[Balls | Reached] = []
    around = reaching = covering = None
    if k is not None:
        reach = min(NEIGHBOURS_PER_K * k, len(f) - 1)
        own = torch.arange(len(f), device=f.device)
        fake_radii, candidates = nearest.kth_distances(second, second, [k], own, reach)
        inner.append(precise := Balls(radius[k]))
        outer.append(recalled := Balls(fake_radii[0]))
        if _enough(len(f), k):
            around = _Around.of(second, candidates, reach)
            sure = nearest.scaled(fake_radii[0], second.frame, up=False)
            outer.append(reaching := Reached(around.squares[:, -1] * TIES, sure, "queries"))
        del candidates  # its lists are long
    if density_k is not None:
        inner.append(dense := Balls(radius[density_k], closed=False, counted=True))
        if _enough(len(f), density_k):
            limit = nearest.scaled(radius[_widest(density_k, len(r))], first.frame, up=False)
            inner.append(covering := Reached(limit, limit, "centres"))
    memberships(first, second, inner, outer)

    precision = recall = density = coverage = None
    if k is not None:
        precision = _mean(precise.inside.double())
        error = None if around is None or reaching is None else _recall_error(around, reaching.pairs(), len(r), k)
        recall = Estimate(float(recalled.inside.double().mean()), error)
    if density_k is not None:
        density = _mean(dense.counts.double() / density_k)
        share = float(dense.held.double().mean())
        error = None if covering is None else _coverage_error(covering.pairs(), covering.limit, share, len(f))
        coverage = Estimate(share, error)
    return ManifoldMetrics(precision, recall, density, coverage)


def real_radii(real: Array, k: int | None = 3, density_k: int | None = 5) -> dict[int, Tensor]:
    """What `manifold_metrics` needs of the real features (n, D) alone: by j the distances (n,) to the j-th neighbour.

    The same whatever they are compared with, so that many comparisons need find them only once.
    """
    r = as_matrix("real", real)
    wanted = _wanted(k, density_k, len(r))
    ks = sorted({*wanted, _widest(density_k, len(r))} if density_k else {*wanted})
    points = nearest.prepared(r, r, max(wanted))[0]
    distances = nearest.kth_distances(points, points, ks, torch.arange(len(r), device=r.device))[0]
    return dict(zip(ks, distances, strict=True))


def _wanted(k: int | None, density_k: int | None, real: int, fake: int | None = None) -> list[int]:
    wanted = [number for number in (k, density_k) if number is not None]
    if not wanted or min(wanted) < 1 or min(real, real if fake is None else fake) <= max(wanted):
        sides = f"{real} real" if fake is None else f"{real} real and {fake} fake"
        raise InputError(
            f"k-NN needs more than k = {max(wanted, default=None)} samples on each side and k of at least 1, "
            f"got {sides}"
        )
    return wanted


def _widest(density_k: int, real: int) -> int:
    """The neighbour up to which coverage's balls may grow for the sake of its standard error."""
    return min(3 * density_k, real - 1)


def _enough(fake: int, k: int) -> bool:
    """Whether halves of the fake samples are large enough for their balls."""
    return fake >= 4 * (k + 1)


def _mean(values: Tensor) -> Estimate:
    return Estimate(float(values.mean()), float(values.std(correction=1) / len(values) ** 0.5))


@dataclass(frozen=True, eq=False, slots=True)
class _Around:
    """The nearest other points of each: indices and, in the frame's units, squared distances, both (m, reach)."""

    indices: Tensor
    squares: Tensor

    @classmethod
    def of(cls, points: Points, lists: Nearest, reach: int) -> _Around:
        row, column, least = lists.compact()
        counts = torch.bincount(row, minlength=len(points))[: len(points)]
        place = (counts.cumsum(0) - counts)[:, None] + torch.arange(reach, device=row.device)
        indices = column[place]
        return cls(indices, least[place] + (points.gap[: len(points), None] + points.gap[indices]) / 2)


def _halves(n: int, device: torch.device) -> list[Tensor]:
    # Drawn on the CPU, whose generator gives the same halves on every machine.
    rng = seeding.generator("half-samples", n)
    return [(torch.randperm(n, generator=rng) < n // 2).to(device) for _ in range(HALF_SAMPLES)]


def _recall_error(around: _Around, pairs: tuple[Tensor, Tensor, Tensor], real: int, k: int) -> float:
    """The deviation of recall between halves; `pairs` are those of fake centres and real queries that may matter."""
    centre, query, squares = pairs
    shares = []
    for half in _halves(len(around.indices), centre.device):
        kth = (half[around.indices].cumsum(1) < k).sum(1, keepdim=True).clamp(max=around.indices.shape[1] - 1)
        limit = torch.where(half, around.squares.gather(1, kth)[:, 0], -torch.inf)
        shares.append(_share(query[squares <= limit[centre] * TIES], real))
    return float(torch.tensor(shares).std(correction=1))


def _coverage_error(pairs: tuple[Tensor, Tensor, Tensor], limit: Tensor, covered: float, fake: int) -> float:
    """The deviation of coverage between halves, in balls that grow until halves cover as much as all do on average.

    `pairs` are those of real centres and the fake queries within `limit` (n,), the widest that a ball may grow.
    """
    centre, query, squares = pairs
    reaches = (squares / limit[centre]).nan_to_num(0.0)
    needed = torch.full((HALF_SAMPLES, len(limit)), torch.inf, device=limit.device)
    for row, half in zip(needed, _halves(fake, limit.device), strict=True):
        row.scatter_reduce_(0, centre[half[query]], reaches[half[query]], "amin")
    ordered = needed.flatten().sort().values
    growth = ordered[min(len(ordered) - 1, round(covered * len(ordered)))]
    return float((needed < growth).double().mean(1).std(correction=1))


def _share(indices: Tensor, n: int) -> float:
    hit = torch.zeros(n, dtype=torch.bool, device=indices.device)
    hit[indices] = True
    return float(hit.double().mean())

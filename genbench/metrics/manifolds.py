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


def manifold_metrics(real: Array, fake: Array, k: int | None = 3, density_k: int | None = 5) -> ManifoldMetrics:
    """Precision and recall for `k` neighbours, density and coverage for `density_k`, of features (n, D) and (m, D).

    All distances are computed once; None leaves out its pair. See `precision_recall` and `density_coverage` for the
    measures. Raises InputError for different dimensions, values that are not finite, a number of neighbours below 1,
    or no more samples than that on either side.
    """
    r, f = as_matrix("real", real), as_matrix("fake", fake)
    wanted = [number for number in (k, density_k) if number is not None]
    if not wanted or min(wanted) < 1 or min(len(r), len(f)) <= max(wanted):
        raise InputError(
            f"k-NN needs more than k = {max(wanted, default=None)} samples on each side and k of at least 1, "
            f"got {len(r)} real and {len(f)} fake"
        )
    first, second = nearest.prepared(r, f, max(wanted))
    wide = min(3 * density_k, len(r) - 1) if density_k else 0
    ks = sorted({*wanted, wide} - {0})
    found = nearest.kth_distances(first, first, ks, torch.arange(len(r), device=r.device))[0]
    radius = dict(zip(ks, found, strict=True))
    # Fewer samples make halves too small for their balls.
    enough = len(f) >= 4 * (max(wanted) + 1)

    inner: list[Balls | Reached] = []
    outer: list[Balls | Reached] = []
    if k is not None:
        reach = min(NEIGHBOURS_PER_K * k, len(f) - 1)
        fakes, lists = nearest.kth_distances(second, second, [k], torch.arange(len(f), device=f.device), reach)
        inner.append(precise := Balls(radius[k]))
        outer.append(recalled := Balls(fakes[0]))
        if enough:
            around = _Around.of(second, lists, reach)
            sure = nearest.scaled(fakes[0], second.frame, up=False)
            outer.append(reaching := Reached(around.squares[:, -1] * TIES, sure, "queries"))
        del lists  # its lists are long
    if density_k is not None:
        inner.append(dense := Balls(radius[density_k], closed=False, counted=True))
        if enough:
            limit = nearest.scaled(radius[wide], first.frame, up=False)
            inner.append(covering := Reached(limit, limit, "centres"))
    memberships(first, second, inner, outer)

    precision = recall = density = coverage = None
    if k is not None:
        precision = _mean(precise.inside.double())
        error = _recall_error(around, reaching.pairs(), len(r), k) if enough else None
        recall = Estimate(float(recalled.inside.double().mean()), error)
    if density_k is not None:
        density = _mean(dense.counts.double() / density_k)
        covered = float(dense.held.double().mean())
        error = _coverage_error(covering.pairs(), covering.limit, covered, len(f)) if enough else None
        coverage = Estimate(covered, error)
    return ManifoldMetrics(precision, recall, density, coverage)


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

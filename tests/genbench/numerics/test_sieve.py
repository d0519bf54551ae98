"""Answers behind a sieve are those without it, for features that it suits and for those that it does not."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genbench.metrics import manifold_metrics
from genbench.numerics import distance_products, nearest
from genbench.numerics.distance_products import Frame, Points, Route
from genbench.numerics.membership import Balls, memberships
from genbench.numerics.nearest import exact_distances, kth_distances, prepared
from genbench.numerics.sieve import principal_directions, sparse_products


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(nearest, "TILE_ELEMENTS", 1024)  # of 32 by 32


def draw(kind: str, n: int, dim: int, rng: torch.Generator) -> torch.Tensor:
    """Features whose variance lies in few directions, in all of them, or in some rows alone."""
    x = torch.randn(n, dim, generator=rng, dtype=torch.float64)
    if kind == "steep":
        return x * torch.arange(1, dim + 1) ** -2.0
    if kind == "clusters":
        return x * 1e-3 + torch.randn(5, dim, generator=rng, dtype=torch.float64)[torch.arange(n) % 5]
    if kind == "duplicates":
        return x[torch.randint(0, max(1, n // 4), (n,), generator=rng)]
    if kind == "lengths":
        return x * 10.0 ** torch.randint(-6, 7, (n, 1), generator=rng)
    return x


KINDS = ("steep", "clusters", "duplicates", "lengths", "isotropic")


def sifting(first: torch.Tensor, second: torch.Tensor, count: int, crowded: float = 1.0) -> Route:
    rows = Frame.around(first, second).shift(torch.cat([first, second]))
    return Route("float32", basis=principal_directions(rows, count), crowded=crowded)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.tuples(st.integers(40, 150), st.integers(40, 150), st.sampled_from([20, 40])),
    st.tuples(st.sampled_from([1.0, 1e-8, 1e8]), st.sampled_from([0.0, 1e6, -3.0])),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(0, 10**6),
)
def test_a_sieve_changes_no_answer(kind, shape, place, crowded, seed):
    rng = torch.Generator().manual_seed(seed)
    (n, m, dim), (scale, origin) = shape, place
    real, fake = ((draw(kind, size, dim, rng) * scale + origin).float() for size in (n, m))
    fake[:2] = real[:2]
    first, second = prepared(real, fake, 3, sifting(real, fake, 5, crowded))
    mine, _ = kth_distances(first, first, [1, 3], torch.arange(n), reach=9)
    distances = exact_distances(real.double(), real.double()).fill_diagonal_(torch.inf)
    assert torch.equal(mine, distances.sort(1).values[:, [0, 2]].T)
    across, _ = kth_distances(second, first, [1, 3])
    distances = exact_distances(real.double(), fake.double())
    assert torch.equal(across, distances.T.sort(1).values[:, [0, 2]].T)
    closed, opened, outer = Balls(mine[1]), Balls(mine[1], closed=False, counted=True), Balls(across[0])
    memberships(first, second, [closed], [outer])
    memberships(first, second, [opened], [])
    assert torch.equal(closed.inside, (distances <= mine[1, :, None]).any(0))
    assert torch.equal(outer.inside, (distances <= across[0]).any(1))
    assert torch.equal(opened.counts, (distances < mine[1, :, None]).sum(0))
    assert torch.equal(opened.held, (distances < mine[1, :, None]).sum(1))


def test_standard_errors_see_the_same_pairs(monkeypatch):
    rng = torch.Generator().manual_seed(1)
    real, fake = draw("steep", 150, 40, rng).float(), 0.9 * draw("steep", 120, 40, rng).float()
    plain = manifold_metrics(real, fake)
    monkeypatch.setattr(distance_products, "choose", lambda frame, x, y, k, reach: sifting(x, y, 6))
    sifted = manifold_metrics(real, fake)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(sifted, name) == getattr(plain, name)
        assert getattr(sifted, name).stderr == pytest.approx(getattr(plain, name).stderr, rel=1e-6)


@pytest.mark.parametrize("kind", ["steep", "lengths", "isotropic"])
def test_coordinates_bound_distances_from_below_and_nearly_reach_them_where_they_hold_the_variance(kind):
    rng = torch.Generator().manual_seed(0)
    real, fake = draw(kind, 90, 300, rng).float(), draw(kind, 70, 300, rng).float()
    frame, route = Frame.around(real, fake), sifting(real, fake, 40)
    first, second = (Points(x, frame, route, 0) for x in (real, fake))
    left, right = first.projected, second.projected
    low = left.low[:90, None] + right.low[:70] - 2 * left.coordinates[:90] @ right.coordinates[:70].T
    squares = exact_distances(real.double(), fake.double()).square() * frame.scale**2
    assert (low <= squares).all()
    if kind == "steep":
        assert (low / squares).median() > 0.95
    assert first.padded == 96
    assert left.low[90:].isinf().all(), "rows that pad a set are far away"


def test_few_products_are_made_where_few_pairs_are_near(monkeypatch):
    """The sieve spares what it promises: all but the first tiles are made of a few pairs."""
    made = []
    monkeypatch.setattr(
        "genbench.numerics.tiles.sparse_products",
        lambda x, y, i, j: made.append(len(i)) or sparse_products(x, y, i, j),
    )
    x = draw("steep", 640, 40, torch.Generator().manual_seed(0)).float()
    points = prepared(x, x, 3, sifting(x, x, 8, crowded=0.5))[0]
    kth_distances(points, points, [3], torch.arange(640))
    assert 0 < sum(made) < 0.1 * 640**2 / 2


def test_products_of_chosen_pairs_are_those_of_the_whole_matrix():
    x, y = torch.randn(20, 50), torch.randn(30, 50)
    i, j = (torch.rand(20, 30) < 0.2).nonzero().unbind(1)
    torch.testing.assert_close(sparse_products(x, y, i, j), (x @ y.T)[i, j], rtol=1e-5, atol=1e-5)


def test_a_sieve_is_chosen_by_what_it_leaves(monkeypatch):
    rng = torch.Generator().manual_seed(0)
    monkeypatch.setattr(distance_products, "SMALL", 0)
    monkeypatch.setattr(distance_products, "DIRECTIONS", (16, 32))
    speed = distance_products.Rates({"float32": 1.0, "int8": 1.0}, 10.0, sparse=5.0)
    monkeypatch.setattr(distance_products, "rates", lambda device: speed)

    def choice(kind: str) -> Route:
        x, y = draw(kind, 900, 200, rng).float(), draw(kind, 900, 200, rng).float()
        return distance_products.choose(Frame.around(x, y), x, y, 3)

    looked_at, learn = [], distance_products.principal_directions
    monkeypatch.setattr(
        distance_products,
        "principal_directions",
        lambda rows, *others: looked_at.append(len(rows)) or learn(rows, *others),
    )
    assert choice("steep").basis.shape == (200, 16)
    assert choice("steep").crowded == 0.2
    monkeypatch.setattr(distance_products, "GLANCE", 100)
    assert choice("isotropic").basis is None
    assert looked_at.pop() == 100, "a few rows show that there is nothing to learn"
    monkeypatch.setattr(distance_products, "HOPELESS", 1.0)
    monkeypatch.setattr(distance_products, "ROUNDS", -1)
    choice("isotropic")
    assert looked_at[-2:] == [100, 1800], "where it may repay the effort, all rows are looked at"
    monkeypatch.setattr(distance_products, "rates", lambda device: distance_products.Rates(speed.routes, 10.0))
    assert math.isinf(distance_products.rates("cuda").sparse)
    assert choice("steep").basis is None, "a device without products of chosen pairs does without"

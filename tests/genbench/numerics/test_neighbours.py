"""The neighbour engine against float64 brute force, on every route, for easy and for treacherous features."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import one_hot

from genbench.errors import InputError
from genbench.numerics import distance_products, linalg, nearest
from genbench.numerics.distance_products import ROUTES, Frame, Points, Products, Route
from genbench.numerics.membership import Balls, memberships
from genbench.numerics.nearest import exact_distances, kth_distances, nearest_distances, prepared

DTYPES = (torch.float32, torch.float64)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(nearest, "TILE_ELEMENTS", 1024)  # of 32 by 32


def draw(kind: str, n: int, dim: int, rng: torch.Generator) -> torch.Tensor:
    """Features that tempt an engine into mistakes: near ties, exact ties, duplicates, outliers, rows of any length."""
    if kind == "grid":
        return torch.randint(0, 3, (n, dim), generator=rng).double()
    if kind == "constant":
        return torch.full((n, dim), 0.1, dtype=torch.float64)
    if kind == "corners":
        return one_hot(torch.arange(n) % dim, dim).double()
    x = torch.randn(n, dim, generator=rng, dtype=torch.float64)
    if kind == "duplicates":
        return x[torch.randint(0, max(1, n // 4), (n,), generator=rng)]
    if kind == "lengths":
        return x * 10.0 ** torch.randint(-6, 7, (n, 1), generator=rng)
    if kind == "nearly":
        return x[:1] + 1e-7 * x
    return x


KINDS = ("normal", "grid", "constant", "corners", "duplicates", "lengths", "nearly")


def fitted(name: distance_products.Name, first: torch.Tensor, second: torch.Tensor) -> Route:
    return Route.fitted(name, Frame.around(first, second).shift(torch.cat([first, second])))


def brute(points: torch.Tensor, k: int) -> torch.Tensor:
    others = exact_distances(points.double(), points.double()).fill_diagonal_(torch.inf)
    return others.kthvalue(k, dim=1).values


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(ROUTES),
    st.sampled_from(KINDS),
    st.sampled_from(DTYPES),
    st.tuples(st.integers(4, 80), st.integers(4, 80), st.sampled_from([1, 2, 7, 40])),
    st.tuples(st.sampled_from([1.0, 1e-8, 1e8, 1e-18]), st.sampled_from([0.0, 1e6, -3.0])),
    st.integers(0, 10**6),
)
def test_every_route_equals_brute_force(route, kind, dtype, shape, place, seed):
    rng = torch.Generator().manual_seed(seed)
    (n, m, dim), (scale, origin) = shape, place
    real, fake = ((draw(kind, size, dim, rng) * scale + origin).to(dtype) for size in (n, m))
    fake[:2] = real[:2]
    ks = [1, 3]
    first, second = prepared(real, fake, 3, fitted(route, real, fake))
    mine, _ = kth_distances(first, first, ks, torch.arange(n), reach=min(9, n - 1))
    theirs, _ = kth_distances(second, second, ks, torch.arange(m))
    assert torch.equal(mine, torch.stack([brute(real, k) for k in ks]))
    assert torch.equal(theirs, torch.stack([brute(fake, k) for k in ks]))
    distances = exact_distances(real.double(), fake.double())
    across, _ = kth_distances(second, first, ks)
    assert torch.equal(across, distances.T.sort(1).values[:, [0, 2]].T)
    closed, opened, outer = Balls(mine[1]), Balls(mine[1], closed=False, counted=True), Balls(theirs[0])
    memberships(first, second, [closed, opened], [outer])
    assert torch.equal(closed.inside, (distances <= mine[1, :, None]).any(0))
    assert torch.equal(opened.counts, (distances < mine[1, :, None]).sum(0))
    inside = distances < mine[1, :, None]
    assert torch.equal(opened.held, inside.sum(1))
    alike = (inside[:, None] == inside[None]).all(2)
    assert torch.equal(opened.members[:, None] == opened.members[None], alike), "balls of the same queries are known"
    assert torch.equal(outer.inside, (distances <= theirs[0]).any(1))


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", ["normal", "grid", "lengths"])
def test_bounds_hold_and_are_no_wider_than_the_route_is_coarse(route, kind):
    rng = torch.Generator().manual_seed(0)
    real, fake = draw(kind, 90, 200, rng) + 5, draw(kind, 60, 200, rng) + 5
    frame = Frame.around(real, fake)
    first, second = (Points(x, frame, fitted(route, real, fake), room) for x, room in ((real, 2**20), (fake, 0)))
    whole = slice(0, first.padded), slice(0, second.padded)
    product = Products(first.route, 2**14, real.device)
    low = product(first.codes(whole[0]), second.codes(whole[1])) * product.factor
    low = (low + first.low[:, None] + second.low)[:90, :60]
    high = low + first.gap[:90, None] + second.gap[:60]
    squares = exact_distances(real, fake).square() * frame.scale**2
    assert (low <= squares).all()
    assert (squares <= high).all()
    if kind == "normal":
        widest = {"float32": 1e-4, "bfloat16": 0.03, "int8": 0.08}[route]
        assert ((high - low) / squares).max() < widest


def test_routes_round_in_different_ways():
    """A forced route is taken: the codes of one are not those of another."""
    x = draw("normal", 50, 30, torch.Generator().manual_seed(0)).float()
    codes = [prepared(x, x, 3, fitted(route, x, x))[0].codes(slice(0, 64)) for route in ROUTES]
    assert [code.dtype for code in codes] == [torch.float32, torch.bfloat16, torch.int8]


@pytest.mark.parametrize("route", ROUTES)
def test_many_ties_are_settled_within_little_room(monkeypatch, route):
    """Lists that overflow drop pairs; what that leaves in doubt is looked at again."""
    x = draw("corners", 150, 200, torch.Generator().manual_seed(0)).float()
    monkeypatch.setattr(nearest, "BUDGET", 2**15)
    points = prepared(x, x, 3, fitted(route, x, x))[0]
    radii, lists = kth_distances(points, points, [3], torch.arange(150))
    assert torch.equal(radii[0], brute(x, 3))
    assert lists.dropped.isfinite().any(), "the test must overflow the lists"
    balls, counted = Balls(radii[0]), Balls(radii[0] * (1 + 1e-15), closed=False, counted=True)
    memberships(points, points, [balls, counted], [])
    assert balls.inside.all()
    assert (counted.counts == 150).all()


def test_tiles_of_any_size_give_identical_answers(monkeypatch):
    x = draw("normal", 200, 20, torch.Generator().manual_seed(1)).float()
    answers = []
    for elements in (1024, 9216, 2**20):
        monkeypatch.setattr(nearest, "TILE_ELEMENTS", elements)
        answers.append(nearest.radii(x, 3))
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


def test_negative_radii_and_open_balls_of_no_size_hold_nothing():
    x = torch.zeros(5, 2)
    points = prepared(x, x, 1, Route("float32"))[0]
    gone, point, dot = Balls(-torch.ones(5)), Balls(torch.zeros(5)), Balls(torch.zeros(5), closed=False)
    memberships(points, points, [gone, point, dot], [])
    assert (gone.inside.any(), point.inside.all(), dot.inside.any()) == (False, True, False)


def test_nearest_distances_counts_a_query_that_is_a_point():
    points = np.array([[0.0], [1.0], [4.0]])
    assert nearest_distances(np.array([[1.0], [2.0]]), points).tolist() == [0, 1]
    assert nearest_distances(np.array([[1.0], [2.0]]), points, k=2).tolist() == [1, 2]
    with pytest.raises(InputError, match="at least as many points"):
        nearest_distances(points, points, k=4)


def test_input_is_taken_as_it_is_or_refused():
    single = np.zeros((3, 2), np.float32)
    assert linalg.as_matrix("x", single).data_ptr() == single.ctypes.data, "float32 is not copied"
    levels = np.array([[255, 0], [1, 2]], np.uint8)
    assert nearest_distances(levels[:1], levels[1:]).item() == np.hypot(254, 2)
    with pytest.raises(InputError, match="must hold numbers"):
        linalg.as_matrix("x", np.array([["a"]]))
    with pytest.raises(InputError, match="at least one sample"):
        linalg.as_matrix("x", np.zeros((0, 2)))
    with pytest.raises(InputError, match="not finite"):
        nearest_distances(single + np.nan, single)
    with pytest.raises(InputError, match="they must be the same"):
        nearest_distances(single, np.zeros((3, 1)))


PEAK = """
import resource, sys, torch
from genbench.numerics import nearest, distance_products
from genbench.numerics.membership import Balls, memberships
x = torch.randn(12_000, 128)
nearest.BUDGET, nearest.TILE_ELEMENTS = 2**25, 2**18
fit = lambda frame, first, second, k, reach: distance_products.Route.fitted(sys.argv[1], frame.shift(first[:500]))
distance_products.choose = fit
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
nearest.radii(x, 3)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
def test_memory_stays_within_the_budget():
    """12,000 points have 576 MB of float32 distances; in float64 they are 49 MB themselves."""
    done = subprocess.run([sys.executable, "-c", PEAK, "int8"], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2**25 + 30e6, "kernels and allocators take a constant share of their own"


def test_the_choice_of_route_weighs_speed_against_open_pairs(monkeypatch):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(600, 64, generator=rng)
    frame = Frame.around(x)
    monkeypatch.setattr(distance_products, "SMALL", 0)

    def choice(pair: float, reach: int = 0, **seconds: float) -> str:
        monkeypatch.setattr(distance_products, "rates", lambda device: distance_products.Rates(seconds, pair))
        return distance_products.choose(frame, x, x, 3, reach).name

    assert choice(0.0, float32=4.0, bfloat16=2.0, int8=1.0) == "int8"
    assert choice(0.0, float32=4.0, bfloat16=2.0) == "bfloat16"
    assert choice(1e9, float32=4.0, bfloat16=2.0, int8=1.0) == "float32"
    assert choice(100.0, float32=4.0, bfloat16=2.0) == "bfloat16", "few pairs are left open"
    assert choice(100.0, 24, float32=4.0, bfloat16=2.0) == "float32", "an error looks up more"


def test_the_machine_is_asked_once():
    assert {"float32", "int8"} <= set(distance_products.rates("cpu").routes)
    assert distance_products.rates("cpu") is distance_products.rates("cpu")


def test_products_are_made_in_full_float32_whatever_the_user_allows(monkeypatch):
    """The bound of the float32 route holds for nothing less."""
    precisions, mm, before = [], torch.mm, torch.get_float32_matmul_precision()

    def spy(*arguments, **options):
        precisions.append(torch.get_float32_matmul_precision())
        return mm(*arguments, **options)

    monkeypatch.setattr(torch, "mm", spy)
    torch.set_float32_matmul_precision("medium")
    try:
        nearest.radii(torch.randn(64, 8), 2)
        assert torch.get_float32_matmul_precision() == "medium", "and the user's choice comes back"
    finally:
        torch.set_float32_matmul_precision(before)
    assert set(precisions) == {"highest"}


def test_distances_that_overflow_are_refused():
    x = torch.randn(20, 3, dtype=torch.float64)
    assert nearest.radii(1e130 * x, 2).isfinite().all()
    with pytest.raises(InputError, match="too far apart for squared distances"):
        nearest.radii(1e200 * x, 2)

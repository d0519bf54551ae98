"""Scoped seeds, the cache, specs and k-NN in tiles: the small parts that everything trusts."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from genbench import seeding
from genbench.contracts import Budget, SampleSpec
from genbench.evaluation.generators import CHUNK, draw
from genbench.numerics import membership, nearest
from genbench.storage import cache


def test_a_scoped_seed_repeats_and_leaves_the_global_state_alone():
    def inside(*keys):
        with seeding.scoped(*keys):
            return torch.rand(1).item(), np.random.rand(), random.random()

    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    expected = torch.rand(1).item(), np.random.rand(), random.random()
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    first, again, other = inside(0, "a"), inside(0, "a"), inside(0, "b")
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected
    assert first == again
    assert all(x != y for x, y in zip(first, other, strict=True))


def test_the_state_comes_back_after_an_error():
    before = torch.random.get_rng_state()
    with pytest.raises(TypeError), seeding.scoped(0):
        torch.rand(3, generator="no generator")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_samples_are_drawn_under_seeds_of_their_chunks():
    spec, calls = SampleSpec((2,), 256), []

    def sample(n):
        calls.append(n)
        return torch.randint(256, (n, 2)).to(torch.uint8)

    drawn = draw(sample, spec, 2 * CHUNK + 5, seed=3)
    assert calls == [CHUNK, CHUNK, 5]
    # Any chunk can be drawn on its own, in another process.
    with seeding.scoped(3, "samples", 1):
        assert torch.equal(drawn[CHUNK : 2 * CHUNK], sample(CHUNK))


def test_the_cache_keeps_by_content_and_survives_damage(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path))
    calls = []

    def compute():
        calls.append(1)
        return {"x": torch.arange(3)}

    for key in ({"a": 1}, {"a": 1}, {"a": 2}):
        assert cache.tensors(key, compute)["x"].tolist() == [0, 1, 2]
    assert len(calls) == 2
    for file in tmp_path.rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:10])
    assert cache.tensors({"a": 1}, compute)["x"].tolist() == [0, 1, 2]
    assert len(calls) == 3
    monkeypatch.setenv("GENBENCH_CACHE", str(next(tmp_path.rglob("*.safetensors"))))
    assert cache.tensors({"a": 3}, compute)["x"].tolist() == [0, 1, 2], "an unusable cache breaks nothing"


@pytest.mark.parametrize(("shape", "levels"), [((), 2), ((0,), 2), ((1,), 1), ((1,), 257)])
def test_impossible_specs_and_budgets_are_refused(shape, levels):
    with pytest.raises(ValueError, match="must be"):
        SampleSpec(shape, levels)
    with pytest.raises(ValueError, match="at least 1"):
        Budget(steps=0)


@pytest.mark.parametrize("scale", [1.0, 0.1, 1e8, 1e-8])
@pytest.mark.parametrize("origin", [0.0, 1e6, -3e9])
@pytest.mark.parametrize("kind", ["ties", "continuous", "constant"])
def test_radii_and_membership_equal_brute_force_across_tiles(monkeypatch, kind, origin, scale):
    monkeypatch.setattr(nearest, "TILE_ELEMENTS", 100)
    rng = torch.Generator().manual_seed(0)
    if kind == "continuous":
        points, queries = (torch.randn(n, 3, generator=rng, dtype=torch.float64) for n in (60, 40))
        queries[:10] = points[:10]  # exactly on centres
    else:
        high = 1 if kind == "constant" else 4
        points, queries = (torch.randint(0, high, (n, 3), generator=rng).double() for n in (60, 40))
    points, queries = scale * points + origin, scale * queries + origin
    distances = nearest.exact_distances(points, points)
    torch.testing.assert_close(distances, (points[:, None] - points[None]).square().sum(2).sqrt())
    expected = torch.stack([torch.cat([row[:i], row[i + 1 :]]).sort().values[2] for i, row in enumerate(distances)])
    radii = nearest.radii(points, 3)
    assert torch.equal(radii, expected)
    inside = nearest.exact_distances(queries, points) <= expected
    assert torch.equal(membership.covered(queries, points, radii), inside.any(1))
    without = expected.clone()
    without[:30] = -1
    both = membership.covered(queries, points, torch.stack([expected, without]))
    assert torch.equal(both[0], inside.any(1))
    assert torch.equal(both[1], inside[:, 30:].any(1))

"""MIND against closed forms, a second way to unequal sizes, and its error against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from stand_in import evidence

from genbench.contracts import Features
from genbench.errors import InputError
from genbench.metrics import sliced_wasserstein
from genbench.metrics.sliced_wasserstein import Mind, mind


def normal(rng: torch.Generator, n: int, dim: int, std: float = 1.0, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(n, dim, generator=rng) * std + shift


def test_a_shift_costs_three_times_its_square():
    """Of a shift s the projections keep (theta.s)^2, |s|^2 / D in the mean over directions."""
    x, shift = normal(torch.Generator().manual_seed(1), 200, 64), torch.linspace(-1, 1, 64)
    # 1,000 directions know the mean to sqrt(2 / 1,000).
    assert mind(x, x + shift) == pytest.approx(3 * float(shift @ shift), rel=0.1)
    assert mind(x, x + shift, directions=10_000) == pytest.approx(3 * float(shift @ shift), rel=0.03)


def test_a_scaling_about_the_origin_costs_three_times_the_mean_square():
    x = normal(torch.Generator().manual_seed(2), 300, 16)
    assert mind(x, 3 * x) == pytest.approx(3 * 4 * float(x.square().sum(1).mean()), rel=0.01)


def test_gaussians_have_a_closed_form():
    """In one dimension W2 between N(0, 1) and N(m, s^2) is m^2 + (s - 1)^2, here for every direction alike."""
    rng = torch.Generator().manual_seed(3)
    distance = mind(normal(rng, 20_000, 3), normal(rng, 15_000, 3, 1.5), directions=100)
    assert distance == pytest.approx(3 * 3 * 0.5**2, abs=4 * distance.stderr)
    assert distance.stderr < 0.03 * distance


values = st.floats(-5, 5)


@given(
    arrays.arrays(float, st.integers(2, 6), elements=values), arrays.arrays(float, st.integers(2, 6), elements=values)
)
@settings(max_examples=60, deadline=None)
def test_unequal_sizes_are_as_if_every_sample_were_repeated(x, y):
    """Repeating samples changes no distribution; with one feature the directions are all alike."""
    common = math.lcm(len(x), len(y))
    pairs = np.sort(np.repeat(x, common // len(x))) - np.sort(np.repeat(y, common // len(y)))
    assert mind(x[:, None], y[:, None], directions=3) == pytest.approx(3 * (pairs**2).mean(), rel=1e-9, abs=1e-12)


def test_value_is_symmetric_zero_on_itself_and_the_same_every_time(monkeypatch):
    rng = torch.Generator().manual_seed(4)
    x, y = normal(rng, 90, 6), normal(rng, 70, 6, 1.3, 0.2)
    state = torch.random.get_rng_state()
    distance = mind(x, y)
    assert mind(y, x) == pytest.approx(distance, rel=1e-6)
    assert mind(x, x.flip(0)) == 0
    assert torch.equal(torch.random.get_rng_state(), state)
    monkeypatch.setattr(sliced_wasserstein, "PROJECTED", 1000)
    assert mind(x.numpy(), y.numpy()) == pytest.approx(distance, rel=1e-6)


def test_single_precision_keeps_digits_far_from_the_origin():
    rng = torch.Generator().manual_seed(5)
    x, y = normal(rng, 300, 32, shift=1000), normal(rng, 300, 32, 1.2, 1000)
    exact = mind(x.double(), y.double(), directions=200)
    assert mind(x, y, directions=200) == pytest.approx(exact, rel=1e-5)
    assert mind(x.double() - 1000, y.double() - 1000, directions=200) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(("n", "m", "dim", "std", "shift"), [(150, 150, 4, 1.0, 0.0), (200, 120, 10, 1.3, 0.2)])
def test_error_over_the_fake_samples_matches_simulation(n, m, dim, std, shift):
    rng = torch.Generator().manual_seed(6)
    real = normal(rng, n, dim)
    distances = [mind(real, normal(rng, m, dim, std, shift), directions=100) for _ in range(300)]
    claimed = np.mean([estimate.stderr for estimate in distances])
    assert claimed == pytest.approx(np.std(distances, ddof=1), rel=0.2)


def test_bad_input_is_told():
    good = np.ones((4, 2))
    for real, fake, options, words in (
        (good, np.ones((4, 3)), {}, "they must be the same"),
        (good[:1], good, {}, "at least 2 samples"),
        (good * np.inf, good, {}, "real holds values that are not finite"),
        (good, good, {"directions": 0}, "directions must be at least 1"),
    ):
        with pytest.raises(InputError, match=words):
            mind(real, fake, **options)


def test_the_column_is_the_function_of_held_out_and_samples():
    rng = torch.Generator().manual_seed(7)
    real, fake = normal(rng, 60, 3), normal(rng, 40, 3, 1.3)
    score = Mind(directions=50).compute(evidence(real=Features(real), fake=Features(fake)))["mind"]
    expected = mind(real, fake, 50)
    assert (score.value, score.stderr) == (expected, expected.stderr)
    assert score.stderr != mind(fake, real, 50).stderr

import math

import pytest
import torch

from genbench.contracts import SampleSpec
from genbench.errors import InputError
from genbench.likelihood import (
    annealed_importance_sampling,
    dequantize,
    dequantized_log_prob,
    every_state,
    importance_weighted_bound,
    quantize,
)
from genbench.likelihood.enumeration import LARGEST
from genbench.seeding import scoped

# Annealing from N(0, 1) to an unnormalised N(1, 1/4): every distribution on the way is a Gaussian, drawn exactly.
BASE_LOG_Z = 0.5 * math.log(2 * math.pi)
LOG_Z = math.log(0.5) + 0.5 * math.log(2 * math.pi)


def log_gaussian_path(x, beta):
    return -(1 - beta) * x**2 / 2 - beta * 4 * (x - 1) ** 2 / 2


def redraw(x, beta):
    precision = (1 - beta) + 4 * beta
    return 4 * beta / precision + torch.randn_like(x) / math.sqrt(precision)


def annealed(seed, chains=64, temperatures=12, transition=redraw):
    with scoped(seed, "test"):
        start = torch.randn(chains, dtype=torch.float64)
        return annealed_importance_sampling(start, log_gaussian_path, transition, BASE_LOG_Z, temperatures)


def test_annealing_finds_a_known_log_z_and_its_error_bar_holds():
    estimates = [annealed(seed) for seed in range(200)]
    scores = torch.tensor([(e.value - LOG_Z) / e.stderr for e in estimates])
    assert scores.abs().max() < 5
    assert 0.8 < scores.square().mean().sqrt() < 1.25
    # Z itself is estimated without bias, even at a dozen temperatures.
    ratios = torch.tensor([math.exp(e - LOG_Z) for e in estimates])
    assert abs(ratios.mean() - 1) < 4 * ratios.std() / math.sqrt(len(ratios))
    assert ratios.std() < 0.1


def test_annealing_narrows_with_chains_and_with_temperatures():
    base = annealed(0).stderr
    assert annealed(0, chains=64 * 16).stderr == pytest.approx(base / 4, rel=0.3)
    assert annealed(0, temperatures=12 * 16).stderr < base / 2


def test_annealing_without_moves_is_importance_sampling():
    with scoped(3, "test"):
        x = torch.randn(64, dtype=torch.float64)
    log_ratio = log_gaussian_path(x, 1) - log_gaussian_path(x, 0)
    expected = BASE_LOG_Z + log_ratio.logsumexp(0).item() - math.log(64)
    assert annealed(3, transition=lambda x, beta: x).value == pytest.approx(expected, abs=1e-12)


def test_annealing_moves_only_between_the_ends():
    betas = []
    annealed(0, temperatures=4, transition=lambda x, beta: betas.append(beta) or redraw(x, beta))
    assert betas == [0.25, 0.5, 0.75]


def test_annealing_between_equal_shapes_is_exact():
    estimate = annealed_importance_sampling(
        torch.randn(8), lambda x, beta: x * 0 + beta * 2.5, lambda x, beta: x, 1.0, 10
    )
    assert estimate.value == pytest.approx(3.5)
    assert estimate.stderr == pytest.approx(0, abs=1e-6)


def test_every_state_counts_like_an_odometer():
    assert every_state(2, 3).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [2, 0], [2, 1], [2, 2]]
    states = every_state(10)
    assert states.dtype == torch.uint8
    assert states.shape == (1024, 10)
    assert len(states.unique(dim=0)) == 1024


def test_every_state_refuses_what_does_not_fit():
    assert LARGEST == 2**22
    with pytest.raises(InputError, match="too many"):
        every_state(23)


@pytest.mark.parametrize("at_once", [1, 2, 16])
def test_importance_weights_are_averaged_whatever_the_parts(at_once):
    weights = torch.rand(5, 3).log() - torch.tensor([0.0, 2000.0, -2000.0])
    rows = iter(weights)
    asked = []

    def log_weights(k):
        asked.append(k)
        return torch.stack([next(rows) for _ in range(k)])

    bound = importance_weighted_bound(log_weights, 5, at_once)
    assert bound.dtype == torch.float64
    torch.testing.assert_close(bound, weights.double().logsumexp(0) - math.log(5))
    assert sum(asked) == 5
    assert max(asked) <= at_once


def test_importance_weighting_tightens_the_elbo():
    """x ~ N(z, 1) and z ~ N(0, 1), proposals from the prior: ELBO and log p(x) in closed form."""
    x = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)

    def log_weights(k):
        return -0.5 * (x - torch.randn(k, 3, dtype=torch.float64)) ** 2 - 0.5 * math.log(2 * math.pi)

    with scoped(0, "test"):
        bounds = {k: torch.stack([importance_weighted_bound(log_weights, k) for _ in range(3000)]) for k in (1, 8, 64)}
    means = {k: values.mean(0) for k, values in bounds.items()}
    elbo = -0.5 * (x**2 + 1) - 0.5 * math.log(2 * math.pi)
    truth = -0.25 * x**2 - 0.5 * math.log(4 * math.pi)
    torch.testing.assert_close(means[1], elbo, atol=0.15, rtol=0)
    assert (means[1] < means[8]).all()
    assert (means[8] < means[64]).all()
    assert (means[64] < truth).all()
    torch.testing.assert_close(means[64], truth, atol=0.03, rtol=0)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_dequantizing_spreads_each_level_over_its_own_cell(levels):
    x = torch.arange(levels, dtype=torch.uint8).expand(400, levels)
    with scoped(0, "test"):
        y = dequantize(x, levels)
    assert y.min() >= 0
    assert y.max() < 1
    assert torch.equal(quantize(y, levels), x)
    within = y * levels - x
    assert within.mean() == pytest.approx(0.5, abs=0.05)
    assert within.std() == pytest.approx(math.sqrt(1 / 12), abs=0.05)


def test_quantizing_keeps_outliers_in_the_outer_cells():
    y = torch.tensor([-3.0, 0.0, 0.249, 0.25, 0.999, 1.0, 7.0])
    levels = quantize(y, 4)
    assert levels.dtype == torch.uint8
    assert levels.tolist() == [0, 0, 0, 1, 3, 3, 3]


def test_a_density_constant_on_cells_gives_its_exact_mass():
    mass = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    spec = SampleSpec((2,), 3)
    x = every_state(2, 3)

    def log_density(y):
        return (3 * mass[quantize(y, 3).long()]).log().sum(1)

    log_prob = dequantized_log_prob(log_density, x, spec, samples=5)
    torch.testing.assert_close(log_prob, mass.log()[x.long()].sum(1))
    assert log_prob.exp().sum() == pytest.approx(1)


def test_a_density_that_varies_within_cells_is_bounded_from_below():
    """Density 2y on [0, 1): cell l of 4 has mass (2l + 1) / 16."""
    x = torch.arange(4, dtype=torch.uint8)[:, None]
    truth = ((2 * x[:, 0].double() + 1) / 16).log()
    spec = SampleSpec((1,), 4)

    def bound(samples):
        return dequantized_log_prob(lambda y: (2 * y).log().sum(1), x.repeat(3000, 1), spec, samples).reshape(3000, 4)

    with scoped(0, "test"):
        single, many = bound(1).mean(0), bound(20).mean(0)
    assert (single < many).all()
    assert (single < truth).all()
    assert many[0] < truth[0]
    # The ELBO of the outermost cell: E[log 2y] - log 4 with y uniform on [0, 1/4).
    assert single[0].item() == pytest.approx(math.log(2 * 0.25 / 4) - 1, abs=0.08)
    torch.testing.assert_close(many, truth, atol=0.03, rtol=0)

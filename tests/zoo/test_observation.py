import pytest
import torch
from scipy import stats

from zoo.vae.observation import DiscretizedLogistic, Softmax, observation_model


def parameters_of(model, n, spread):
    return torch.randn(n, model.numbers, 1, 1, 1, generator=torch.Generator().manual_seed(0)) * spread


def masses(model, parameters, levels):
    """(n, levels): the mass of every level for each of n one-pixel items."""
    x = torch.arange(levels, dtype=torch.uint8)
    return torch.stack([model.log_prob(p.expand(levels, *p.shape), x[:, None, None, None]) for p in parameters]).exp()


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("spread", [0.3, 5.0])
def test_masses_over_all_levels_sum_to_one(levels, spread):
    model = observation_model(levels)
    total = masses(model, parameters_of(model, 20, spread), levels).sum(1)
    assert torch.allclose(total, torch.ones(20), atol=1e-3)


def test_the_number_of_levels_picks_the_model():
    assert isinstance(observation_model(2), Softmax)
    assert isinstance(observation_model(17), Softmax)
    assert isinstance(observation_model(256), DiscretizedLogistic)


def test_discretized_logistic_is_the_logistic_mass_of_a_cell():
    model = DiscretizedLogistic(8)
    location, scale = 0.3, torch.tensor(-3.0).exp().item()
    logistic = stats.logistic(location, scale)
    edges = [-torch.inf, *(2 * v / 8 - 1 for v in range(1, 8)), torch.inf]
    expected = torch.tensor([logistic.cdf(b) - logistic.cdf(a) for a, b in zip(edges[:-1], edges[1:], strict=True)])
    got = masses(model, torch.tensor([location, 0.0]).view(1, 2, 1, 1, 1), 8)[0]
    assert torch.allclose(got.double(), expected, atol=1e-6)


def test_two_levels_are_a_bernoulli():
    logits = torch.randn(5, 2, 3)
    x = torch.randint(2, (5, 3), dtype=torch.uint8)
    bernoulli = torch.distributions.Bernoulli(logits=logits[:, 1] - logits[:, 0])
    assert torch.allclose(Softmax(2).log_prob(logits, x), bernoulli.log_prob(x.float()).sum(1), atol=1e-6)


@pytest.mark.parametrize("levels", [3, 256])
def test_samples_follow_the_masses(levels):
    torch.manual_seed(0)
    model = observation_model(levels)
    parameters = torch.tensor([0.2, 0.5, -0.5]).view(3, 1)[: model.numbers].view(1, model.numbers, 1, 1, 1)
    draws = model.sample(parameters.expand(20_000, *parameters.shape[1:]))
    counts = torch.bincount(draws.flatten().long(), minlength=levels).double()
    expected = masses(model, parameters, levels)[0].double() * len(draws)
    often = expected > 5
    statistic = ((counts - expected).square() / expected)[often].sum()
    assert draws.dtype == torch.uint8
    assert statistic < stats.chi2.ppf(1 - 1e-5, int(often.sum()))


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_half_of_the_mass_lies_on_either_side_of_the_median(levels):
    model = observation_model(levels)
    parameters = parameters_of(model, 50, 1.0)
    median = model.median(parameters).flatten().long()
    upto = masses(model, parameters, levels).cumsum(1)
    rows = torch.arange(50)
    assert (upto[rows, median] >= 0.5 - 1e-3).all()
    assert (upto[rows, (median - 1).clamp(min=0)][median > 0] <= 0.5 + 1e-3).all()


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_without_latents_no_constant_that_is_far_off_fits_the_items_better(levels):
    model = observation_model(levels)
    x = (torch.rand(400, 1, 1, 2, generator=torch.Generator().manual_seed(0)) ** 3 * levels).to(torch.uint8)
    start = model.without_latents(x)

    def fit(parameters):
        return model.log_prob(parameters.expand(400, *parameters.shape), x).mean()

    assert start.shape == (model.numbers, 1, 1, 2)
    for change in (1.2, -1.2):
        moved = start.clone()
        moved[-1] += change
        assert fit(start) > fit(moved)


def test_extreme_parameters_keep_values_and_gradients_finite():
    model = DiscretizedLogistic(256)
    parameters = torch.tensor([[50.0, -50.0], [-50.0, -50.0], [0.0, 50.0]]).view(3, 2, 1, 1, 1).requires_grad_()
    log_prob = model.log_prob(parameters, torch.tensor([0, 255, 128], dtype=torch.uint8).view(3, 1, 1, 1))
    log_prob.sum().backward()
    assert log_prob.isfinite().all()
    assert parameters.grad.isfinite().all()

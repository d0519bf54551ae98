import math

import pytest
import torch
from scipy import stats

from genbench.contracts import Budget, Dataset, Effort, SampleSpec, Setting, capabilities
from genbench.likelihood import every_state
from zoo.vae.vae import VAE, Config

TINY = SampleSpec((1, 2, 2), 2)
STATES = every_state(4).reshape(16, 1, 2, 2)
GRID = torch.linspace(-8, 8, 4001).reshape(-1, 1)


@pytest.fixture(scope="module")
def tiny():
    """A VAE with one latent dimension, trained briefly so that its encoder is good but not exact."""
    torch.manual_seed(0)
    data = STATES[[0, 0, 0, 15, 15, 15, 3, 12, 5]].repeat(30, 1, 1, 1)
    model = VAE(TINY, Config(latent=1, hidden=16, dropout=0.0, steps=150, batch=90, rate=1e-2))
    model.fit(Dataset("tiny", TINY, data, data), Budget())
    return model


@torch.no_grad()
def marginal(model):
    """log p(x) of all states by the trapezoid rule over z: (16,)."""
    log_given = model.observation.log_prob(
        model.parameters_given(GRID).repeat_interleave(16, 0), STATES.repeat(len(GRID), 1, 1, 1)
    ).reshape(len(GRID), 16)
    log_prior = -0.5 * GRID**2 - 0.5 * math.log(2 * math.pi)
    return torch.trapezoid((log_given + log_prior).double().exp(), GRID[:, 0].double(), dim=0).log()


def elbo_by_quadrature(model, x):
    """E_q[log p(x|z)] by the trapezoid rule over standardised noise, less the closed-form KL: (n,)."""
    mean, log_std = model.encode(x)
    noise = torch.linspace(-6, 6, 601).reshape(-1, 1, 1)
    z = (mean + log_std.exp() * noise).flatten(0, 1)
    log_given = model.observation.log_prob(model.parameters_given(z), x.repeat(601, 1, 1, 1)).reshape(601, -1)
    density = (-0.5 * noise[..., 0] ** 2).exp() / math.sqrt(2 * math.pi)
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, log_std.exp()), torch.distributions.Normal(0.0, 1.0)
    )
    return torch.trapezoid(density * log_given, noise[:, 0, 0], dim=0) - kl.sum(1)


def bound(model, x, samples, seed=0):
    torch.manual_seed(seed)
    model.importance_samples = samples
    return model.log_prob(x)


def test_with_many_samples_the_bound_is_the_marginal_likelihood(tiny):
    exact = marginal(tiny)
    assert exact.exp().sum() == pytest.approx(1, abs=1e-4)
    got = bound(tiny, STATES, 5000)
    assert got.dtype == torch.float64
    assert torch.allclose(got, exact, atol=0.05)
    assert got.exp().sum() == pytest.approx(1, abs=0.01)


def test_one_sample_is_the_elbo(tiny):
    x = STATES[[0, 3, 6]]
    got = bound(tiny, x.repeat_interleave(20_000, 0), 1).reshape(3, -1)
    error = got.std(1) / math.sqrt(got.shape[1])
    with torch.no_grad():
        expected = elbo_by_quadrature(tiny, x)
        trained_on = tiny.elbo(x.repeat_interleave(20_000, 0)).reshape(3, -1)
    assert ((got.mean(1) - expected).abs() < 4 * error).all()
    assert ((trained_on.mean(1) - expected).abs() < 4 * trained_on.std(1) / math.sqrt(20_000)).all()


def test_the_bound_rises_with_the_number_of_samples(tiny):
    # State 6 is not in the data: its posterior is not what the encoder says, so the gap is wide.
    x = STATES[[6]].repeat(2000, 1, 1, 1)
    means = [bound(tiny, x, k).mean().item() for k in (1, 4, 16, 64)]
    assert means == sorted(means)
    assert means[-1] - means[0] > 0.01
    assert means[-1] < marginal(tiny)[6] + 0.01


def test_the_reparametrised_gradient_reaches_the_encoder(tiny):
    x = STATES[[3, 6]]
    weights = [tiny.encoder[-1].weight, tiny.encoder[-1].bias]
    expected = torch.autograd.grad(elbo_by_quadrature(tiny, x).mean(), weights)
    torch.manual_seed(0)
    got = torch.autograd.grad(tiny.elbo(x.repeat(50_000, 1, 1, 1)).mean(), weights)
    for estimate, truth in zip(got, expected, strict=True):
        assert torch.allclose(estimate, truth, atol=0.02 * truth.abs().max().item() + 0.01)
        assert truth.abs().max() > 0.05


def test_samples_follow_the_models_own_likelihood(tiny):
    torch.manual_seed(0)
    x = tiny.sample(20_000).flatten(1).long()
    counts = torch.bincount(x @ torch.tensor([8, 4, 2, 1]), minlength=16)
    expected = marginal(tiny).exp() * len(x)
    statistic = ((counts - expected).square() / expected).sum()
    assert statistic < stats.chi2.ppf(1 - 1e-5, 15)


def test_temperature_scales_the_codes(tiny):
    torch.manual_seed(0)
    frozen = tiny.sample_truncated(20_000, psi=0.0).flatten(1).float().mean(0)
    with torch.no_grad():
        at_zero = tiny.parameters_given(torch.zeros(1, 1)).softmax(1)[0, 1].flatten()
    assert torch.allclose(frozen, at_zero, atol=0.02)


def test_the_effort_sets_the_number_of_samples():
    dataset = Dataset("tiny", TINY, STATES, STATES)
    model = VAE.build(Setting("vae", "tiny", dataset, trained=False, effort=Effort(importance_samples=7)))
    assert model.importance_samples == 7


@pytest.mark.parametrize("spec", [SampleSpec((1, 28, 28), 256), SampleSpec((3, 32, 32), 256), SampleSpec((5,), 3)])
def test_trains_on_data_of_any_size(spec):
    torch.manual_seed(0)
    data = (torch.rand(101, *spec.shape) ** 3 * spec.levels).to(torch.uint8)
    model = VAE(spec, VAE.recipe(spec))
    before = bound(model, data, 1).mean()
    model.fit(Dataset("noise", spec, data, data), Budget(steps=15))
    assert bound(model, data, 1).mean() > before
    for x in (model.sample(3), model.sample_truncated(3, psi=0.5), model.decode(model.sample_latent(3))):
        assert x.shape == (3, *spec.shape)
        assert x.dtype == torch.uint8
        assert int(x.max()) < spec.levels
    assert model.reconstruct(data[:2]).shape == data[:2].shape
    assert capabilities(model) == ("log_prob", "truncation", "reconstruction", "latent", "training")


@pytest.mark.parametrize("levels", [2, 256])
def test_a_plain_decoder_starts_with_what_the_data_say_of_each_dimension(levels):
    spec = SampleSpec((1, 2, 2), levels)
    data = (torch.rand(300, 1, 2, 2, generator=torch.Generator().manual_seed(0)) ** 4 * levels).to(torch.uint8)
    model = VAE(spec, Config(features=0, dropout=0.0, lowest=0.0, steps=1))
    model.start_without_latents(data)
    torch.nn.init.zeros_(model.decoder[0][-1].weight)
    said = model.parameters_given(torch.randn(3, 16))
    expected = model.observation.without_latents(data).expand_as(said)
    if levels == 2:  # the decoder gives log odds, which fix logits up to a constant
        said, expected = said.log_softmax(1), expected.log_softmax(1)
    assert torch.allclose(said, expected, atol=1e-5)
    assert model.encoded_from(data).min() == 0
    shared = VAE(spec, Config(features=4))
    before = torch.nn.utils.parameters_to_vector(shared.parameters())
    shared.start_without_latents(data)
    assert torch.equal(torch.nn.utils.parameters_to_vector(shared.parameters()), before), "one map for all dimensions"


def test_configurations_are_checked():
    with pytest.raises(ValueError, match="dropout"):
        Config(dropout=1.0)
    with pytest.raises(ValueError, match="latent"):
        Config(latent=0)

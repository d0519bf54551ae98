import math

import pytest
import torch
from scipy import stats

from genbench.contracts import Budget, Dataset, Effort, SampleSpec, Setting
from genbench.likelihood import every_state
from genbench.seeding import scoped
from zoo.vae.discrete_vae import Chain, Config, DiscreteVAE, DiscreteVAEPrior, PriorConfig, gumbel_softmax

TINY = SampleSpec((1, 2, 2), 2)
STATES = every_state(4).reshape(16, 1, 2, 2)


@pytest.fixture(scope="module")
def tiny():
    """Two latents of three classes and random weights, strong enough for a decoder and an encoder that disagree."""
    with scoped(0, "test"):
        model = DiscreteVAE(TINY, Config(variables=2, classes=3, hidden=16))
        with torch.no_grad():
            for parameter in model.encoder.parameters():
                parameter.mul_(1.5)
            for parameter in model.decoder.parameters():
                parameter.mul_(2.5)
    return model.eval()


@torch.no_grad()
def joint(model):
    """All nine latents one-hot, and log p(x|z) of the 16 states at each: (9, 16)."""
    z = model.one_hot(every_state(2, 3).long())
    parameters = model.parameters_given(z).repeat_interleave(16, 0)
    return z, model.observation.log_prob(parameters, STATES.repeat(9, 1, 1, 1)).reshape(9, 16).double()


def marginal(model):
    return joint(model)[1].logsumexp(0) - math.log(9)


def bound(model, x, samples):
    torch.manual_seed(0)
    model.importance_samples = samples
    return model.log_prob(x)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
def test_the_argmax_is_an_exact_draw_at_every_temperature(temperature):
    p = torch.tensor([0.5, 0.3, 0.15, 0.05])
    drawn = gumbel_softmax(p.log().expand(20_000, 4), temperature)
    assert torch.allclose(drawn.sum(1), torch.ones(20_000))
    counts = torch.bincount(drawn.argmax(1), minlength=4)
    assert ((counts - 20_000 * p).square() / (20_000 * p)).sum() < stats.chi2.ppf(1 - 1e-5, 3)


def test_low_temperatures_approach_one_hot_and_high_ones_the_middle():
    logits = torch.randn(2000, 5)
    largest = [gumbel_softmax(logits, temperature).amax(1).mean().item() for temperature in (0.01, 0.5, 100.0)]
    assert largest[0] > 0.98
    assert 0.5 < largest[1] < 0.95
    assert largest[2] == pytest.approx(0.2, abs=0.02)


def test_the_gradient_flows_through_the_draw():
    """At a high temperature the relaxed draw of f(z) = z_0 has the slope of the softmax itself; it is biased else."""
    logits = torch.tensor([0.5, -0.5, 0.0], requires_grad=True)
    drawn = gumbel_softmax(logits.expand(50_000, 3), 1.0)
    (slope,) = torch.autograd.grad(drawn[:, 0].mean(), logits)
    assert slope[0] > 0.05
    assert slope[1] < -0.02
    assert slope.sum().abs() < 1e-5


def test_the_divergence_is_exact(tiny):
    with torch.no_grad():
        log_q = tiny.encode(STATES)
    z, _ = joint(tiny)
    log_all = torch.einsum("nvc,kvc->nk", log_q, z).double()
    assert torch.allclose(log_all.exp().sum(1), torch.ones(16, dtype=torch.float64), atol=1e-5)
    expected = (log_all.exp() * (log_all + math.log(9))).sum(1)
    assert torch.allclose(tiny.divergence(log_q).double(), expected, atol=1e-4)
    assert expected.max() > 0.1
    assert torch.allclose(tiny.divergence(torch.full((1, 2, 3), -math.log(3))), torch.zeros(1), atol=1e-6)


def test_the_bound_is_the_hard_models_and_rises_to_its_marginal(tiny):
    z, given = joint(tiny)
    with torch.no_grad():
        log_q = torch.einsum("nvc,kvc->kn", tiny.encode(STATES), z).double()
    elbo = (log_q.exp() * (given - math.log(9) - log_q)).sum(0)
    exact = marginal(tiny)
    assert exact.exp().sum() == pytest.approx(1, abs=1e-6)
    assert (elbo < exact).all()
    means = []
    for samples in (1, 8):
        values = bound(tiny, STATES.repeat_interleave(500, 0), samples).reshape(16, 500)
        means.append(values.mean(1))
        if samples == 1:
            assert ((means[0] - elbo).abs() < 4.5 * values.std(1) / math.sqrt(500) + 1e-6).all()
        assert (means[-1] < exact + 4.5 * values.std(1) / math.sqrt(500)).all()
    assert (means[1] - means[0]).max() > 0.01
    assert torch.allclose(bound(tiny, STATES, 2000), exact, atol=0.1)


def test_samples_follow_the_likelihood(tiny):
    x = tiny.sample(20_000).flatten(1).long()
    counts = torch.bincount(x @ torch.tensor([8, 4, 2, 1]), minlength=16)
    expected = marginal(tiny).exp() * len(x)
    assert ((counts - expected).square() / expected).sum() < stats.chi2.ppf(1 - 1e-5, 15)


@pytest.mark.parametrize("features", [8, 0])
def test_training_cools_and_reconstructs(features, monkeypatch):
    """With 200 steps and 64 units the latents tell the items from every seed; with half of both, from some alone."""
    import zoo.vae.discrete_vae as module

    temperatures, draw = [], module.gumbel_softmax
    monkeypatch.setattr(module, "gumbel_softmax", lambda logits, t: temperatures.append(t) or draw(logits, t))
    spec, quarters = SampleSpec((1, 6, 6), 2), torch.eye(4, dtype=torch.uint8).reshape(4, 1, 2, 2)
    data = quarters.repeat_interleave(3, 2).repeat_interleave(3, 3).repeat(20, 1, 1, 1)
    sizes = {"variables": 2, "classes": 4, "hidden": 64, "features": features, "dropout": 0, "decay": 0}
    model = DiscreteVAE(spec, Config(**sizes, rate=1e-2, hottest=1.0, coldest=0.4))
    figures = model.fit(Dataset("quarters", spec, data, data), Budget(steps=200))
    assert temperatures[0] == 1.0
    assert temperatures == sorted(temperatures, reverse=True)
    assert temperatures[100:] == pytest.approx([0.4] * 100)
    assert 0.5 < figures["divergence"] < math.log(16) + 1e-4
    assert (model.reconstruct(data) == data).float().mean() > 0.8  # blank images would be right in 3 of 4 pixels


def test_the_effort_sets_the_number_of_samples():
    dataset = Dataset("tiny", TINY, STATES, STATES)
    setting = Setting("discrete-vae", "tiny", dataset, trained=False, effort=Effort(importance_samples=7))
    assert DiscreteVAE.build(setting).importance_samples == 7


def test_configurations_are_checked():
    with pytest.raises(ValueError, match="temperatures"):
        Config(hottest=0.1, coldest=0.5)
    with pytest.raises(ValueError, match="classes"):
        Config(classes=1)


def random_chain():
    with scoped(4, "test"), torch.no_grad():
        chain = Chain(3, 3)
        for parameter in chain.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return chain


def test_a_chain_is_a_distribution_of_every_variable_given_those_before():
    chain, z = random_chain(), every_state(3, 3).long()
    with torch.no_grad():
        log_p, logits = chain.log_prob(z), chain.logits(z)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-5)
    for v in range(3):
        before = (z[:, None, :v] == z[None, :, :v]).all(2)
        same = torch.isclose(logits[:, None, v], logits[None, :, v], atol=1e-5).all(2)
        assert torch.equal(same, before), "the same logits where, and only where, all before is the same"


def test_draws_of_a_chain_have_its_frequencies():
    chain, n = random_chain(), 20_000
    with scoped(5, "test"), torch.no_grad():
        z = chain.sample(n)
        expected = n * chain.log_prob(every_state(3, 3).long()).exp()
    counts = torch.bincount((z * torch.tensor([9, 3, 1])).sum(1), minlength=27)
    common = expected >= 5
    statistic = ((counts - expected).square() / expected)[common].sum()
    assert statistic < stats.chi2.ppf(1 - 1e-5, int(common.sum()))


def test_a_fitted_prior_tightens_the_bound_where_codes_are_few(monkeypatch):
    """An encoder that always says the same costs log 3 a variable under the uniform prior, nothing under its own."""
    monkeypatch.setattr(DiscreteVAE, "fit", lambda model, dataset, budget: {})
    with scoped(6, "test"):
        config = PriorConfig(variables=2, classes=3, hidden=16, prior_steps=300, prior_rate=0.05, prior_decay=0.0)
        model = DiscreteVAEPrior(TINY, config).eval()
        with torch.no_grad():
            model.encoder[-1].weight.zero_()
            model.encoder[-1].bias.copy_(torch.tensor([20.0, 0, 0, 0, 20.0, 0]))
        figures = model.fit(Dataset("tiny", TINY, STATES, STATES), Budget())
        fitted = model.log_prob(STATES)
        model.log_prior = lambda z: DiscreteVAE.log_prior(model, z)
        uniform = model.log_prob(STATES)
    torch.testing.assert_close(fitted, uniform + 2 * math.log(3), atol=0.1, rtol=0)
    assert figures["prior_loss"] < 0.1
    assert model.sample_codes(200).double().mean(0).tolist() == pytest.approx([0, 1], abs=0.1)

import math

import pytest
import torch

from genbench.contracts import Budget, Dataset, SampleSpec, capabilities
from genbench.errors import InputError, ModelError
from genbench.likelihood import every_state
from genbench.seeding import scoped
from zoo.vae.dlgm import DLGM, Config, RankOneGaussian

TINY = SampleSpec((1, 2, 2), 2)
STATES = every_state(4).reshape(16, 1, 2, 2)
NODES = torch.linspace(-8, 8, 401, dtype=torch.float64)


def gaussian(*shape, size=1.0):
    """Random Gaussians with means, diagonals and directions (..., K) in double precision."""
    with scoped(0, "test"):
        mean, log_d, u = torch.randn(3, *shape, dtype=torch.float64)
    return RankOneGaussian(mean, log_d, size * u)


def covariance(q):
    """C by the definition of its inverse: (..., K, K)."""
    return torch.linalg.inv(torch.diag_embed(q.log_d.exp()) + q.u[..., :, None] * q.u[..., None, :])


def root(q):
    """R, one column for each unit vector of noise: (..., K, K)."""
    unit = torch.eye(q.mean.shape[-1], dtype=torch.float64)
    unit = unit.reshape(len(unit), *[1] * (q.mean.ndim - 1), len(unit))
    return (q.transform(unit) - q.mean).movedim(0, -1)


@pytest.mark.parametrize("size", [0.0, 1e-9, 1.0, 30.0])
def test_the_rank_one_root_belongs_to_the_covariance(size):
    q = gaussian(3, 2, 5, size=size)
    torch.testing.assert_close(root(q) @ root(q).mT, covariance(q), atol=1e-10, rtol=1e-8)
    torch.testing.assert_close(q.log_det(), torch.linalg.slogdet(covariance(q)).logabsdet, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("size", [0.0, 2.0])
def test_the_divergence_is_that_of_the_full_covariance(size):
    q = gaussian(7, 4, size=size)
    full = torch.distributions.MultivariateNormal(q.mean, covariance(q))
    prior = torch.distributions.MultivariateNormal(torch.zeros_like(q.mean), torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(q.divergence(), torch.distributions.kl_divergence(full, prior))


def test_gradients_through_draws_are_those_of_bonnet_and_price():
    """grad_mean E f = E grad f and grad_C E f = E hessian f / 2, all expectations by the trapezoid rule in 2-d."""
    q = gaussian(2)
    parameters = [part.requires_grad_() for part in (q.mean, q.log_d, q.u)]
    noise = torch.cartesian_prod(NODES, NODES)
    weights = (-0.5 * noise.square().sum(1)).exp()
    weights = weights / weights.sum()
    a = torch.tensor([0.9, -0.6], dtype=torch.float64)

    def f(z):
        return (z @ a + 0.3).sin() + 0.1 * z[:, 0] ** 2 * z[:, 1]

    got = torch.autograd.grad(weights @ f(q.transform(noise)), parameters)

    z = q.transform(noise).detach()
    sine, cosine = (z @ a + 0.3).sin(), (z @ a + 0.3).cos()
    gradient = cosine[:, None] * a + 0.1 * torch.stack([2 * z[:, 0] * z[:, 1], z[:, 0] ** 2], 1)
    hessian = -sine[:, None, None] * torch.outer(a, a)
    hessian[:, 0, 0] += 0.2 * z[:, 1]
    hessian[:, 0, 1] += 0.2 * z[:, 0]
    hessian[:, 1, 0] += 0.2 * z[:, 0]
    bonnet = weights @ gradient
    price = 0.5 * torch.einsum("n,nij->ij", weights, hessian)
    chained = torch.autograd.grad((price * covariance(q)).sum(), parameters[1:])
    torch.testing.assert_close(got[0], bonnet, atol=1e-6, rtol=0)
    for through_draws, through_covariance in zip(got[1:], chained, strict=True):
        torch.testing.assert_close(through_draws, through_covariance, atol=1e-6, rtol=0)
        assert through_covariance.abs().min() > 1e-3


@pytest.fixture(scope="module")
def tiny():
    """One dimension in each of two layers, trained briefly so that the recognition model is good but not exact."""
    with scoped(1, "test"):
        data = STATES[[0, 0, 0, 15, 15, 15, 3, 12, 5]].repeat(30, 1, 1, 1)
        config = Config(layers=2, latent=1, between=8, hidden=16, dropout=0.0, steps=150, batch=90, rate=1e-2)
        model = DLGM(TINY, config)
        model.fit(Dataset("tiny", TINY, data, data), Budget())
    return model


@torch.no_grad()
def marginal(model):
    """log p(x) of all states by the trapezoid rule over both layers' noise: (16,)."""
    grid = torch.linspace(-6, 6, 161)
    xi = torch.cartesian_prod(grid, grid)
    given = model.parameters_given(xi).repeat_interleave(16, 0)
    log_given = model.observation.log_prob(given, STATES.repeat(len(xi), 1, 1, 1)).reshape(len(xi), 16)
    log_prior = -0.5 * xi.square().sum(1, keepdim=True) - math.log(2 * math.pi)
    return (log_given + log_prior).double().logsumexp(0) + 2 * math.log(12 / 160)


def bound(model, x, samples, seed=0):
    model.importance_samples = samples
    with scoped(seed, "test"):
        return model.log_prob(x)


def test_the_bound_lies_below_the_marginal_likelihood_and_reaches_it(tiny):
    exact = marginal(tiny)
    assert exact.exp().sum() == pytest.approx(1, abs=1e-4)
    with torch.no_grad(), scoped(2, "test"):
        elbo = tiny.elbo(STATES.repeat(2000, 1, 1, 1)).reshape(2000, 16).double()
    single = bound(tiny, STATES.repeat(2000, 1, 1, 1), 1).reshape(2000, 16)
    assert (elbo.mean(0) < exact).all()
    # Both say E_q[log p(x, xi) - log q(xi|x)], one with the divergence in closed form.
    assert ((elbo.mean(0) - single.mean(0)).abs() < 4 * (elbo.var(0) + single.var(0)).div(2000).sqrt()).all()
    assert (exact - single.mean(0)).max() > 0.05
    many = bound(tiny, STATES, 5000)
    assert many.dtype == torch.float64
    assert torch.allclose(many, exact, atol=0.05)


def test_samples_follow_the_models_own_likelihood(tiny):
    with scoped(3, "test"):
        x = tiny.sample(20_000).flatten(1).long()
    counts = torch.bincount(x @ torch.tensor([8, 4, 2, 1]), minlength=16)
    expected = marginal(tiny).exp() * len(x)
    assert ((counts - expected).square() / expected).sum() < 45


@torch.no_grad()
def test_layers_are_stacked_as_the_definition_says():
    with scoped(4, "test"):
        model = DLGM(TINY, Config(layers=3, latent=2)).eval()
        model.mixing.copy_(torch.randn_like(model.mixing))
        xi = model.sample_latent(5)
    top, middle, bottom = xi[:, :2], xi[:, 2:4], xi[:, 4:]
    h = top @ model.mixing[0].T
    states = [h]
    for transition, mixing, noise in zip(model.transitions, model.mixing[1:], (middle, bottom), strict=True):
        h = transition(h) + noise @ mixing.T
        states.append(h)
    for got, expected in zip(model.states(xi), states, strict=True):
        torch.testing.assert_close(got, expected)
    expected = model.decoder(h).reshape(5, 2, 1, 2, 2)
    torch.testing.assert_close(model.parameters_given(xi), expected)
    # The noise of a layer reaches its own state and those below it, never those above.
    for layer in range(3):
        moved = xi.clone()
        moved[:, 2 * layer : 2 * layer + 2] += 1
        changed = [not torch.equal(a, b) for a, b in zip(model.states(xi), model.states(moved), strict=True)]
        assert changed == [below >= layer for below in range(3)]


def test_temperature_scales_the_noise_of_every_layer(tiny):
    with scoped(5, "test"):
        plain = tiny.sample(50)
    with scoped(5, "test"):
        assert torch.equal(tiny.sample_truncated(50, psi=1.0), plain)
    with scoped(6, "test"), torch.no_grad():
        frozen = tiny.sample_truncated(20_000, psi=0.0).flatten(1).float().mean(0)
        at_zero = tiny.parameters_given(torch.zeros(1, 2)).softmax(1)[0, 1].flatten()
    assert torch.allclose(frozen, at_zero, atol=0.02)


@pytest.mark.parametrize("free", [0.0, 1000.0])
def test_the_slow_start_weighs_the_divergence_alone_beyond_what_is_free(free):
    with scoped(7, "test"):
        model = DLGM(TINY, Config(dropout=0.0, free=free))
    costs = []
    for weight in (0.0, 0.5, 1.0):
        with scoped(8, "test"), torch.no_grad():
            costs.append(model.cost(STATES, weight))
    with scoped(8, "test"), torch.no_grad():
        elbo = model.elbo(STATES).mean()
    divergence = model.encode(STATES).divergence().sum(1).mean()
    charged = divergence if free == 0 else torch.tensor(2 * free)
    torch.testing.assert_close(costs[2] - costs[0], charged)
    torch.testing.assert_close(costs[1] - costs[0], 0.5 * charged)
    torch.testing.assert_close(-costs[0] - divergence, elbo)


def test_reports_what_each_layer_is_told_and_offers_what_the_card_says():
    with scoped(9, "test"):
        model = DLGM(TINY, Config(layers=3, latent=2, hidden=8))
        figures = model.fit(Dataset("tiny", TINY, STATES, STATES), Budget(steps=3))
        assert set(figures) == {"loss", "layer_1_nats", "layer_2_nats", "layer_3_nats"}
        assert model.decode(model.sample_latent(3)).shape == model.reconstruct(STATES[:3]).shape == (3, 1, 2, 2)
    assert capabilities(model) == ("log_prob", "truncation", "reconstruction", "latent", "training")


def test_what_it_cannot_model_is_refused():
    with pytest.raises(ModelError, match="dlgm models levelled data"):
        DLGM(SampleSpec((4,), None))
    with pytest.raises(InputError, match="levels"):
        DLGM(TINY).log_prob(STATES + 1)
    for wrong in ({"layers": 0}, {"dropout": 1.0}, {"warmup": 1.5}, {"rate": 0.0}):
        with pytest.raises(ValueError, match="must be"):
            Config(**wrong)

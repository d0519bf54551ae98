import math

import pytest
import torch
from scipy import integrate, stats
from torch import nn

from genbench.contracts import Budget, Dataset, SampleSpec
from zoo.adversarial.game import Game
from zoo.gan import f_gan
from zoo.gan.f_gan import DIVERGENCES, FGAN, Config
from zoo.gan.gan import MinimaxGAN

SMALL = SampleSpec((1, 8, 8), 17)
KINDS = [FGAN, f_gan.ReverseKullbackLeibler, f_gan.Pearson, f_gan.SquaredHellinger, f_gan.JensenShannon]
MEANS, SPREADS = (0.3, -0.5), (0.8, 1.1)  # of P and Q, two Gaussians; P the narrower, so that Pearson is finite
GRID = torch.linspace(-9, 9, 40_001, dtype=torch.float64)
STEP = float(GRID[1] - GRID[0])


def log_density(mean, spread):
    return torch.distributions.Normal(mean, spread).log_prob(GRID)


LOG_P, LOG_Q = (log_density(*parameters) for parameters in zip(MEANS, SPREADS, strict=True))
RATIO = (LOG_P - LOG_Q).exp()


def kullback_leibler(mean, spread, mean_2, spread_2):
    return math.log(spread_2 / spread) + (spread**2 + (mean - mean_2) ** 2) / (2 * spread_2**2) - 0.5


def pearson(mean, spread, mean_2, spread_2):
    """int p^2 / q - 1."""
    variance = 2 * spread_2**2 - spread**2
    return spread_2**2 / (spread * math.sqrt(variance)) * math.exp((mean - mean_2) ** 2 / variance) - 1


def squared_hellinger(mean, spread, mean_2, spread_2):
    """2 - 2 int sqrt(p q)."""
    total = spread**2 + spread_2**2
    return 2 - 2 * math.sqrt(2 * spread * spread_2 / total) * math.exp(-((mean - mean_2) ** 2) / (4 * total))


def jensen_shannon(mean, spread, mean_2, spread_2):
    p, q = stats.norm(mean, spread), stats.norm(mean_2, spread_2)

    def integrand(x):
        a, b = p.pdf(x), q.pdf(x)
        return a * math.log(2 * a / (a + b)) + b * math.log(2 * b / (a + b))

    return integrate.quad(integrand, -8, 8)[0]


CLOSED = {
    "kullback-leibler": lambda a, b, c, d: kullback_leibler(a, b, c, d),
    "reverse-kullback-leibler": lambda a, b, c, d: kullback_leibler(c, d, a, b),
    "pearson": pearson,
    "squared-hellinger": squared_hellinger,
    "jensen-shannon": jensen_shannon,
}
# The scores V at which g_f(V) = f'(u), in terms of log u.
BEST = {
    "kullback-leibler": lambda log_u: 1 + log_u,
    "reverse-kullback-leibler": lambda log_u: log_u,
    "pearson": lambda log_u: 2 * (log_u.exp() - 1),
    "squared-hellinger": lambda log_u: log_u / 2,
    "jensen-shannon": lambda log_u: log_u,
}


def bound(name, scores):
    """The bound with expectations by quadrature."""
    divergence = DIVERGENCES[name]
    return STEP * (LOG_P.exp() * divergence.activation(scores) - LOG_Q.exp() * divergence.judged(scores)).sum().item()


def truth(name):
    return CLOSED[name](MEANS[0], SPREADS[0], MEANS[1], SPREADS[1])


def test_every_divergence_has_a_model_and_a_closed_form():
    assert {kind.recipe(SMALL).divergence for kind in KINDS} == set(DIVERGENCES) == set(CLOSED) == set(BEST)
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert all(kind.recipe(SampleSpec((3, 32, 32), 256)).divergence == kind.divergence for kind in KINDS)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_bound_is_tight_at_the_best_discriminator_and_only_there(name):
    best = BEST[name](LOG_P - LOG_Q)
    assert bound(name, best) == pytest.approx(truth(name), rel=1e-6)
    for change in (0.1, -0.1, 0.1 * GRID, 0.2 * torch.sin(GRID), -0.5 * best):
        assert bound(name, best + change) < truth(name) - 1e-4


@pytest.mark.parametrize("name", DIVERGENCES)
def test_f_is_that_of_the_divergence(name):
    value = STEP * (LOG_Q.exp() * DIVERGENCES[name].f(RATIO)).sum().item()
    assert value == pytest.approx(truth(name), rel=1e-6)
    assert DIVERGENCES[name].f(torch.ones(1)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_best_discriminator_is_the_derivative_of_f_at_the_ratio(name):
    u = torch.linspace(0.05, 8, 50, dtype=torch.float64, requires_grad=True)
    (derivative,) = torch.autograd.grad(DIVERGENCES[name].f(u).sum(), u)
    assert torch.allclose(DIVERGENCES[name].activation(BEST[name](u.detach().log())), derivative)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_conjugates_are_legendre_transforms(name):
    divergence = DIVERGENCES[name]
    u = torch.logspace(-6, 4, 200_001, dtype=torch.float64)
    scores = torch.linspace(-1.5, 2.5, 21, dtype=torch.float64)
    t = divergence.activation(scores)
    transform = torch.stack([(u * value - divergence.f(u)).max() for value in t])
    assert torch.allclose(divergence.conjugate(t), transform, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_activations_grow_and_reach_the_conjugate_without_overflow(name):
    divergence = DIVERGENCES[name]
    scores = torch.linspace(-5, 5, 101, dtype=torch.float64)
    activated = divergence.activation(scores)
    assert (activated.diff() > 0).all(), "large scores must speak for the data"
    assert torch.allclose(divergence.judged(scores), divergence.conjugate(activated))
    assert torch.isfinite(divergence.judged(torch.tensor([-80.0, 80.0]))).all()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_losses_are_the_bound_and_the_activation(kind):
    model = kind(SMALL, Config(latent=4, hidden=8, divergence=kind.divergence))
    real, fake = torch.randn(2, 10, 1)
    divergence = DIVERGENCES[kind.divergence]
    t = divergence.activation(torch.cat([real, fake]))
    expected = divergence.conjugate(t[10:]).mean() - t[:10].mean()
    assert model.discriminator_loss(real, fake).item() == pytest.approx(expected.item(), abs=1e-5)
    assert model.generator_loss(fake).item() == pytest.approx(-t[10:].mean().item(), abs=1e-5)


@pytest.mark.parametrize("clipped", [True, False])
def test_steep_bounds_are_descended_with_clipped_gradients(clipped, monkeypatch):
    if not clipped:
        monkeypatch.setattr(FGAN, "clipped", False)
    model = FGAN(SMALL, Config(latent=4, hidden=128, batch=16))
    game = Game(model, model.discriminator_network())
    nn.init.normal_(game.discriminator[-1].weight, 0, 5)
    steps = {
        game.discriminator: lambda: game.discriminator_step((torch.full((16, 1, 8, 8), -30.0), None)),
        model.generator: lambda: game.generator_step((torch.zeros(16, 1, 8, 8), None)),
    }
    for player, step in steps.items():
        step()
        norm = nn.utils.get_total_norm([parameter.grad for parameter in player.parameters()]).item()
        assert norm == pytest.approx(5, rel=1e-3) if clipped else norm > 5.1


def test_only_the_generator_of_an_f_gan_has_batch_norm():
    model = FGAN(SMALL)
    kinds = [type(module) for module in model.generator]
    assert kinds.count(nn.BatchNorm1d) == 2
    for network in (model.discriminator_network(), MinimaxGAN(SMALL).generator):
        assert nn.BatchNorm1d not in [type(module) for module in network]


@pytest.mark.parametrize("n", [1, 9])
def test_a_last_minibatch_of_one_image_does_not_stop_batch_norm(n):
    model = FGAN(SMALL, Config(latent=4, hidden=8, batch=4))
    data = torch.randint(0, 17, (n, 1, 8, 8), dtype=torch.uint8)
    figures = model.fit(Dataset("noise", SMALL, data, data), Budget(steps=4))
    assert all(math.isfinite(value) for value in figures.values())


def test_a_configuration_names_the_divergences_that_there_are():
    with pytest.raises(ValueError, match=r"divergence must be one of kullback-leibler, .* got 'total'"):
        Config(divergence="total")

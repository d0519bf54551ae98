import math

import pytest
import torch
from torch import nn

from genbench.contracts import Budget, Dataset, SampleSpec
from zoo.adversarial.game import Game
from zoo.gan import critic, wgan, wgan_gp
from zoo.gan.wgan import WGAN
from zoo.gan.wgan_gp import WGANGP

SMALL = SampleSpec((1, 8, 8), 17)


class LinearCritic(nn.Module):
    """f(x) = <w, x>, whose gradient is w everywhere."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x):
        return x.flatten(1) @ self.weight[:, None]


def shifted(n, shift):
    """n images whose first pixel alone is `shift` larger than in n others: their distance is |shift|."""
    x = torch.rand(n, 1, 8, 8)
    moved = x.clone()
    moved[:, 0, 0, 0] += shift
    return moved, x


def test_weights_are_clipped_after_every_step_of_the_critic():
    model = WGAN(SMALL, wgan.Config(latent=4, width=4, clip=0.03))
    game = Game(model, model.discriminator_network())
    assert max(parameter.abs().max() for parameter in game.discriminator.parameters()) > 0.03
    for _ in range(3):
        game.discriminator_step((torch.rand(16, 1, 8, 8), None))
        for parameter in game.discriminator.parameters():
            assert parameter.abs().max() <= 0.03
        game.generator_step((torch.rand(16, 1, 8, 8), None))
    assert max(parameter.abs().max() for parameter in model.generator.parameters()) > 0.03


def test_a_clipped_critic_estimates_the_wasserstein_distance_up_to_its_lipschitz_constant():
    """Where one pixel is all that differs, the best linear critic within the box has the Lipschitz constant clip."""
    model = WGAN(SMALL, wgan.Config(latent=4, width=4, clip=0.02, discriminator_rate=1e-3))
    for shift in (-0.5, 1.0, 2.0):
        linear = LinearCritic(torch.zeros(64))
        optimiser = model.optimiser(linear, 1e-3)
        real, fake = shifted(200, shift)
        for _ in range(60):
            optimiser.zero_grad()
            loss = model.discriminator_loss(linear(real), linear(fake))
            loss.backward()
            optimiser.step()
            model.constrain(linear)
        assert linear.weight.norm().item() == pytest.approx(0.02, rel=1e-3)
        assert -loss.item() / 0.02 == pytest.approx(abs(shift), rel=1e-3)


def test_the_value_of_a_penalised_critic_is_the_wasserstein_distance():
    model = WGANGP(SMALL, wgan_gp.Config(latent=4, width=4, penalty=10.0))
    linear = LinearCritic(0.1 * torch.randn(64))
    optimiser = torch.optim.Adam(linear.parameters(), 0.02)
    real, fake = shifted(100, 1.5)
    for _ in range(300):
        optimiser.zero_grad()
        value = model.discriminator_loss(linear(real), linear(fake))
        (value + model.discriminator_penalty(linear, real, fake)).backward()
        optimiser.step()
    # With the penalty 10 (|w| - 1)^2 the best |w| is 1 + 1.5 / 20: a soft constraint gives way a little.
    assert linear.weight[0].item() == pytest.approx(1 + 1.5 / 20, abs=0.01)
    assert -value.item() == pytest.approx(1.5 * (1 + 1.5 / 20), abs=0.02)


@pytest.mark.parametrize("norm", [0.0, 0.5, 1.0, 3.0])
def test_the_penalty_of_a_linear_critic_has_a_closed_form(norm):
    model = WGANGP(SMALL, wgan_gp.Config(latent=4, width=4, penalty=7.0))
    direction = torch.randn(64)
    linear = LinearCritic(norm * direction / direction.norm())
    real, fake = torch.rand(5, 1, 8, 8), torch.rand(5, 1, 8, 8)
    penalty = model.discriminator_penalty(linear, real, fake)
    assert penalty.item() == pytest.approx(7 * (norm - 1) ** 2, abs=1e-4)
    (gradient,) = torch.autograd.grad(penalty, linear.weight)
    if norm:
        expected = 14 * (norm - 1) * direction / direction.norm()
        assert torch.allclose(gradient, expected, atol=1e-4)


def test_the_penalty_looks_at_every_point_between_a_real_image_and_its_partner():
    batches = []

    def quadratic(x):
        batches.append(x.detach())
        return x.square().sum((1, 2, 3))[:, None] / 2

    model = WGANGP(SMALL, wgan_gp.Config(latent=4, width=4, penalty=1.0))
    real, fake = torch.ones(4000, 1, 8, 8), torch.zeros(4000, 1, 8, 8)
    penalty = model.discriminator_penalty(quadratic, real, fake)
    weight = batches[0].flatten(1)
    assert torch.equal(weight, weight[:, :1].expand(-1, 64)), "one place on the line for the whole image"
    assert 0.0 <= weight.min() < 0.01 < 0.99 < weight.max() <= 1.0
    assert weight[:, 0].mean().item() == pytest.approx(0.5, abs=0.03)
    # The gradient at e * 1 is e * 1, of norm 8 e: the penalty is E[(8 e - 1)^2] = 64 / 3 - 8 + 1.
    assert penalty.item() == pytest.approx(64 / 3 - 7, rel=0.05)


@pytest.mark.parametrize("kind", [WGAN, WGANGP])
def test_the_critic_scores_every_image_on_its_own(kind):
    model = kind(SMALL, kind.Config(latent=4, width=4))
    network = model.discriminator_network()
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())
    x = torch.rand(6, 1, 8, 8)
    assert torch.allclose(network(x)[:2], network(x[:2]), atol=1e-6)


def test_the_critic_takes_its_steps_for_each_of_the_generators():
    class Counting(WGANGP):
        def begin_step(self, discriminator, step, steps):
            self.penalties, self.per_step = 0, [*getattr(self, "per_step", []), getattr(self, "penalties", 0)]

        def discriminator_penalty(self, discriminator, real, fake):
            self.penalties += 1
            return super().discriminator_penalty(discriminator, real, fake)

    model = Counting(SMALL, wgan_gp.Config(latent=4, width=4, critic_steps=3, batch=8))
    data = torch.randint(0, 17, (20, 1, 8, 8), dtype=torch.uint8)
    figures = model.fit(Dataset("noise", SMALL, data, data), Budget(steps=3))
    assert [*model.per_step, model.penalties] == [0, 3, 3, 3]
    assert all(math.isfinite(value) for value in figures.values())


def test_the_three_critics_have_the_same_size():
    from zoo.gan.sn_gan import SNGAN

    sizes = []
    for kind in (WGAN, WGANGP, SNGAN):
        model = kind(SMALL)
        network = model.discriminator_network()
        sizes.append([sum(p.numel() for p in player.parameters()) for player in (model.generator, network)])
    assert sizes[0] == sizes[1] == sizes[2]


def test_the_critic_of_a_wgan_is_trained_long_at_first_and_again_from_time_to_time():
    model = WGAN(SMALL, wgan.Config(latent=4, width=4))
    steps = {step: model.critic_steps_at(step) for step in (1, 25, 26, 499, 500, 501, 1000)}
    assert steps == {1: 100, 25: 100, 26: 5, 499: 5, 500: 100, 501: 5, 1000: 100}
    assert (model.config.clip, model.config.rate) == (0.01, 5e-5), "the paper's"
    assert isinstance(model.optimiser(model.generator, 1e-3), torch.optim.RMSprop)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [(critic.Config, {"width": 0}), (wgan.Config, {"clip": 0.0}), (wgan_gp.Config, {"penalty": -1})],
)
def test_a_configuration_says_what_is_wrong_with_it(kind, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        kind(**settings)

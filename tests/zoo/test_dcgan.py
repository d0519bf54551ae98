import copy
import math

import pytest
import torch
from scipy import stats
from torch import nn

from genbench.contracts import Budget, Dataset, SampleSpec, capabilities
from genbench.errors import ModelError
from zoo.adversarial.game import Game
from zoo.gan.dcgan import DCGAN, Config, DCGANModes
from zoo.gan.modes import PickMode

SMALL = SampleSpec((1, 8, 8), 17)


def game_of(model):
    return Game(model, model.discriminator_network())


def small_model(seed=0):
    torch.manual_seed(seed)
    model = DCGAN(SMALL, Config(latent=4, prior="normal", modes=2, width=4))
    model.settle()  # before it, the small initial weights make every image grey
    return model.eval()


@pytest.mark.parametrize("psi", [0.05, 0.5, 2.0])
def test_truncated_codes_follow_the_truncated_normal(psi):
    model = small_model()
    z = model.truncated_latent(5000, psi)
    assert z.shape == (5000, 4)
    assert z.abs().max() <= psi
    assert stats.kstest(z.flatten().double().numpy(), stats.truncnorm(-psi, psi).cdf).pvalue > 1e-4


def test_an_infinite_threshold_is_no_truncation():
    model = small_model()
    assert stats.kstest(model.truncated_latent(5000, math.inf).flatten().double().numpy(), "norm").pvalue > 1e-4
    torch.manual_seed(1)
    plain = model.sample(300)
    torch.manual_seed(1)
    assert torch.equal(model.sample_truncated(300, psi=math.inf), plain)
    torch.manual_seed(1)
    assert not torch.equal(model.sample_truncated(300, psi=0.5), plain)


def test_truncation_keeps_every_mode_as_likely_as_it_was():
    model = small_model()
    picked = PickMode(2)(model.truncated_latent(5000, 0.1))[:, :2]
    assert ((picked > 0).sum(1) == 1).all()
    assert picked.square().mean().item() == pytest.approx(1)
    assert (picked[:, 0] > 0).float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_without_modes_the_network_sees_z_itself():
    for spec in (SMALL, SampleSpec((1, 28, 28), 256), SampleSpec((3, 64, 64), 256)):
        assert DCGAN.recipe(spec).modes == 0 < DCGANModes.recipe(spec).modes
    model = DCGAN(SMALL, DCGAN.recipe(SMALL))
    assert isinstance(model.generator[0], nn.Linear)
    assert isinstance(DCGANModes(SMALL, DCGANModes.recipe(SMALL)).generator[0], PickMode)


def test_the_networks_are_the_papers_at_its_size():
    """Figure 1 of the paper: 4 x 4 x 1024 and four doublings to 64 x 64 x 3; nothing follows at the full resolution."""
    model = DCGAN(SampleSpec((3, 64, 64), 256), DCGAN.recipe(SampleSpec((3, 64, 64), 256)).__class__(width=128))
    up = [layer for layer in model.generator if isinstance(layer, nn.ConvTranspose2d)]
    down = [layer for layer in model.discriminator_network() if isinstance(layer, nn.Conv2d)]
    assert [layer.in_channels for layer in up] == [1024, 512, 256, 128]
    assert up[-1].out_channels == 3
    assert [layer.out_channels for layer in down] == [128, 256, 512, 1024]
    assert {layer.kernel_size for layer in (*up, *down)} == {(5, 5)}
    assert sum(isinstance(layer, nn.Conv2d) for layer in model.generator) == 0
    assert model.generator[0].in_features == 100


@pytest.mark.parametrize("psi", [0.0, -1.0, math.nan])
def test_a_threshold_must_be_positive(psi):
    with pytest.raises(ModelError, match="psi must be positive"):
        small_model().sample_truncated(1, psi=psi)


def test_a_step_of_one_player_leaves_the_other_as_it_is():
    game = game_of(small_model())
    real = torch.rand(16, 1, 8, 8)

    def parameters():
        players = game.model.generator, game.discriminator
        return [torch.cat([p.detach().flatten() for p in player.parameters()]) for player in players]

    generator, discriminator = parameters()
    game.discriminator_step((real, None))
    assert torch.equal(parameters()[0], generator)
    assert not torch.equal(parameters()[1], discriminator)
    generator, discriminator = parameters()
    game.generator_step((real, None))
    assert not torch.equal(parameters()[0], generator)
    assert torch.equal(parameters()[1], discriminator)


def test_the_generators_step_spares_the_discriminators_gradients():
    game = game_of(small_model())
    real = torch.rand(16, 1, 8, 8)
    game.generator_step((real, None))
    assert all(parameter.grad is None and parameter.requires_grad for parameter in game.discriminator.parameters())
    assert all(parameter.grad is not None for parameter in game.model.generator.parameters())
    game.discriminator_step((real, None))
    assert all(parameter.grad is not None for parameter in game.discriminator.parameters())


def test_gradients_of_a_generator_step_do_not_leak_into_the_discriminators_next():
    torch.manual_seed(0)
    real = torch.rand(16, 1, 8, 8)
    first = game_of(DCGAN(SMALL, Config(latent=4, width=4)))
    second = copy.deepcopy(first)
    # Gradients left behind by anything else must not change what a step does.
    for parameter in second.discriminator.parameters():
        parameter.grad = torch.full_like(parameter, 100.0)
    for game in (first, second):
        torch.manual_seed(1)
        game.discriminator_step((real, None))
    for a, b in zip(first.discriminator.parameters(), second.discriminator.parameters(), strict=True):
        assert torch.equal(a, b)


def test_players_pull_in_opposite_directions():
    torch.manual_seed(0)
    config = Config(latent=4, batch=64, width=8, rate=1e-2, discriminator_rate=1e-2)
    game = game_of(DCGAN(SMALL, config))
    real = torch.ones(64, 1, 8, 8)

    def fooled():
        return game.discriminator(game.model.imagine(64, None)).mean()

    for _ in range(20):
        game.discriminator_step((real, None))
    with torch.no_grad():
        assert game.discriminator(real).mean() > 0 > fooled()
        before = fooled()
    for _ in range(20):
        game.generator_step((real, None))
    with torch.no_grad():
        assert fooled() > before + 1


def test_batch_norm_is_measured_with_the_averaged_weights():
    model = small_model()
    with torch.no_grad():
        model.generator[1].weight.mul_(3)
    model.settle()
    first = model.generator[:2](model.sample_latent(20_000)).reshape(20_000, -1, 4)
    norm = next(module for module in model.generator if isinstance(module, nn.BatchNorm2d))
    assert torch.allclose(norm.running_var, first.var((0, 2)), rtol=0.05)


@pytest.mark.parametrize(
    "spec", [SMALL, SampleSpec((1, 28, 28), 256), SampleSpec((3, 32, 32), 256), SampleSpec((2, 5, 11), 3)]
)
def test_trains_on_images_of_any_size(spec):
    torch.manual_seed(0)
    data = (torch.rand(100, *spec.shape) ** 3 * spec.levels).to(torch.uint8)
    model = DCGAN(spec, Config(width=6, batch=20))
    untrained = model.generator[0].weight.detach().clone()
    figures = model.fit(Dataset("noise", spec, data, data), Budget(steps=3))
    assert all(math.isfinite(value) for value in figures.values())
    assert not torch.equal(model.generator[0].weight, untrained)
    for x in (model.sample(3), model.sample_truncated(3, psi=0.5), model.decode(model.sample_latent(3))):
        assert x.shape == (3, *spec.shape)
        assert x.dtype == torch.uint8
        assert int(x.max()) < spec.levels


def test_training_brings_samples_towards_the_data():
    torch.manual_seed(0)
    stripes = torch.zeros(128, 1, 8, 8, dtype=torch.uint8)
    stripes[:, :, :, ::2] = 16
    model = DCGAN(
        SMALL, Config(latent=4, batch=64, width=8, rate=2e-3, discriminator_rate=2e-3, average=0.9, noise=0.1)
    )
    model.fit(Dataset("stripes", SMALL, stripes, stripes), Budget(steps=150))
    assert (model.sample(100).float() - stripes[0]).abs().mean() < 4


def test_refuses_what_is_no_image():
    with pytest.raises(ModelError, match="dcgan models images"):
        DCGAN(SampleSpec((30,), 3))


def test_has_no_likelihood_and_keeps_no_discriminator():
    model = small_model()
    assert capabilities(model) == ("truncation", "latent", "training")
    assert all(name.startswith("generator.") for name in model.state_dict())

import pytest
import torch
from torch import nn

from genbench.contracts import SampleSpec
from zoo.adversarial.game import Game
from zoo.gan.sn_gan import SNGAN, Config

SMALL = SampleSpec((1, 8, 8), 17)


def game_of(spec=SMALL):
    torch.manual_seed(0)
    model = SNGAN(spec, Config(latent=4, batch=32, width=6, rate=2e-3, discriminator_rate=2e-3))
    return Game(model, model.discriminator_network())


def layers(network):
    return [module for module in network if isinstance(module, nn.Linear | nn.Conv2d)]


def largest_singular_values(network):
    return [torch.linalg.svdvals(layer.weight.detach().flatten(1))[0].item() for layer in layers(network)]


@pytest.mark.parametrize("spec", [SMALL, SampleSpec((3, 32, 32), 256)], ids=["8x8", "colour"])
def test_every_layer_has_spectral_norm_one(spec):
    network = game_of(spec).discriminator
    for _ in range(300):
        network(torch.rand(1, *spec.shape))
    assert len(layers(network)) == len([module for module in network.modules() if hasattr(module, "parametrizations")])
    assert largest_singular_values(network.eval()) == pytest.approx([1.0] * len(layers(network)), abs=0.02)


def test_every_look_of_the_discriminator_is_one_step_of_power_iteration():
    network = game_of().discriminator

    def directions():
        return [layer.parametrizations.weight[0]._u.clone() for layer in layers(network)]

    before = directions()
    network(torch.rand(2, 1, 8, 8))
    for layer, old, new in zip(layers(network), before, directions(), strict=True):
        matrix = layer.parametrizations.weight.original.detach().flatten(1)
        expected = matrix @ (matrix.T @ old)
        assert torch.allclose(new, expected / expected.norm(), atol=1e-5)


def test_the_constraint_follows_the_weights_while_they_are_trained():
    """An estimate u W v by unit vectors is never above the norm; where the weights come to rest it reaches it."""
    game = game_of()
    real = (torch.rand(32, 1, 8, 8) < 0.3).float() * 2 - 1
    originals = [layer.parametrizations.weight.original for layer in layers(game.discriminator)]
    before = [torch.linalg.svdvals(weight.detach().flatten(1))[0] for weight in originals]
    for _ in range(60):
        game.discriminator_step((real, None))
        game.generator_step((real, None))
    after = [torch.linalg.svdvals(weight.detach().flatten(1))[0] for weight in originals]
    assert max(abs(b - a) / a for a, b in zip(before, after, strict=True)) > 0.02, "the weights themselves have moved"
    game.discriminator.eval()
    assert min(largest_singular_values(game.discriminator)) > 1 - 1e-4
    game.discriminator.train()
    for _ in range(100):
        game.discriminator(real)
    assert largest_singular_values(game.discriminator.eval()) == pytest.approx([1.0] * len(after), abs=0.02)


def test_the_weight_is_the_kernel_over_its_largest_singular_value():
    network = game_of().discriminator
    for _ in range(300):
        network(torch.rand(1, 1, 8, 8))
    for layer in layers(network.eval()):
        original = layer.parametrizations.weight.original.detach()
        expected = original / torch.linalg.svdvals(original.flatten(1))[0]
        assert torch.allclose(layer.weight, expected, atol=1e-2 * expected.abs().max())


def test_linear_layers_never_stretch():
    network = game_of().discriminator.eval()
    last = layers(network)[-1]
    x, y = torch.randn(2, 100, last.in_features)
    assert ((last(x) - last(y)).norm(dim=1) <= (x - y).norm(dim=1) * (1 + 1e-2)).all()


def test_the_hinge_gives_no_gradient_beyond_the_margin():
    model = game_of().model
    real = torch.tensor([[2.0], [0.5], [-1.0]], requires_grad=True)
    fake = torch.tensor([[-2.0], [-0.5], [1.0]], requires_grad=True)
    loss = model.discriminator_loss(real, fake)
    assert loss.item() == pytest.approx((0 + 0.5 + 2) / 3 + (0 + 0.5 + 2) / 3)
    loss.backward()
    assert real.grad.flatten().tolist() == pytest.approx([0, -1 / 3, -1 / 3])
    assert fake.grad.flatten().tolist() == pytest.approx([0, 1 / 3, 1 / 3])
    assert model.generator_loss(fake).item() == pytest.approx(0.5)


def test_what_a_snapshot_keeps_of_the_discriminator_brings_the_power_iteration_back():
    game, other = game_of(), game_of()
    for _ in range(5):
        game.discriminator_step((torch.rand(8, 1, 8, 8), None))
    other.discriminator.load_state_dict(game.discriminator.state_dict())
    x = torch.rand(4, 1, 8, 8)
    assert torch.equal(game.discriminator(x), other.discriminator(x))

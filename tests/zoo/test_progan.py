import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from genbench.contracts import Budget, Dataset, SampleSpec, capabilities
from genbench.errors import ModelError
from zoo.adversarial.game import Game
from zoo.gan.equalised import Discriminator, EqualisedConv, EqualisedLinear, MinibatchDeviation, PixelNorm
from zoo.gan.progan import Config, Generator, ProGAN, growth
from zoo.gan.resolutions import enlarge, grids, halve

SMALL = SampleSpec((1, 8, 8), 17)
FEW = Config(latent=6, width=4, steps=8, batch=8)


def networks(shape=(1, 28, 28)):
    torch.manual_seed(0)
    return Generator(shape, FEW), Discriminator(shape, FEW.width)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((8, 8), [(4, 4), (8, 8)]),
        ((28, 28), [(4, 4), (7, 7), (14, 14), (28, 28)]),
        ((32, 32), [(4, 4), (8, 8), (16, 16), (32, 32)]),
        ((5, 11), [(2, 3), (3, 6), (5, 11)]),
        ((3, 4), [(3, 4)]),
    ],
)
def test_grids_double_up_to_the_image(size, expected):
    assert grids(*size) == expected
    x = torch.rand(1, 2, *size)
    for grid in expected[-2::-1]:
        x = halve(x)
        assert x.shape[2:] == grid
    for grid in expected[1:]:
        x = enlarge(x, grid)
        assert x.shape[2:] == grid


def test_a_halved_image_is_enlarged_to_blocks_of_its_means():
    x = torch.rand(2, 1, 5, 5)
    enlarged = enlarge(halve(x), (5, 5))
    assert torch.allclose(enlarged[:, :, :2, 2:4], x[:, :, :2, 2:4].mean((2, 3), keepdim=True).expand(-1, -1, 2, 2))
    assert torch.allclose(enlarged[:, :, 4, 4], x[:, :, 4, 4])


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_new_layer_is_faded_in(stage):
    generator, _ = networks()
    z = torch.randn(3, FEW.latent)

    def at(grown):
        generator.grown = grown
        return generator(z)

    with torch.no_grad():
        before, after = at(stage - 1), at(stage)
        assert after.shape[2:] == grids(28, 28)[stage]
        old = F.interpolate(before, scale_factor=2, mode="nearest")[:, :, : after.shape[2], : after.shape[3]]
        assert torch.allclose(at(stage - 1 + 1e-7), old, atol=1e-5)
        assert torch.allclose(at(stage - 0.75), 0.75 * old + 0.25 * after, atol=1e-6)
        for weight in generator.to_image[stage - 1].parameters():
            weight.zero_()
        assert torch.equal(at(stage), after), "the old way to an image is of no more use"


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_discriminator_fades_its_new_layer_in_as_well(stage):
    _, discriminator = networks()
    images = torch.rand(3, 1, *grids(28, 28)[stage])

    def at(grown, x):
        discriminator.grown = grown
        return discriminator(x)

    with torch.no_grad():
        old, new = at(stage - 1, halve(images)), at(stage, images)
        assert torch.allclose(at(stage - 1 + 1e-7, images), old, atol=1e-4)
        assert not torch.allclose(old, new, atol=1e-3)
        for weight in discriminator.from_image[stage - 1].parameters():
            weight.zero_()
        assert torch.equal(at(stage, images), new)
        assert not torch.allclose(at(stage - 0.5, images), new, atol=1e-4)


def test_data_are_faded_in_like_the_generators_images():
    model = ProGAN(SMALL, FEW)
    x = torch.randint(17, (5, 1, 8, 8)).to(torch.uint8)
    full = x.float() / 8 - 1
    model.generator.grown = 0
    assert torch.allclose(model.scaled(x), F.avg_pool2d(full, 2))
    model.generator.grown = 0.25
    coarse = F.avg_pool2d(full, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.allclose(model.scaled(x), 0.75 * coarse + 0.25 * full, atol=1e-6)
    model.generator.grown = 1
    assert torch.allclose(model.scaled(x), full)


def test_every_resolution_is_faded_in_and_then_stays_a_while():
    stages = [growth(step, 120, 2) for step in range(1, 121)]
    assert stages[:39] == [0.0] * 39, "the smallest images"
    assert stages[49] == pytest.approx(0.5)
    assert stages[59:79] == [1.0] * 20
    assert stages[89] == pytest.approx(1.5)
    assert stages[99:] == [2.0] * 21
    assert stages == sorted(stages)
    assert growth(1, 1, 0) == 0


def test_training_grows_both_players_by_the_step_alone():
    model = ProGAN(SMALL, FEW)
    discriminator = model.discriminator_network()
    for step in (5, 2, 8, 5):
        model.begin_step(discriminator, step, 8)
        assert model.generator.grown == discriminator.grown == growth(step, 8, 1)
        assert model.imagine(2, None).shape == ((2, 1, 4, 4) if step == 2 else (2, 1, 8, 8))


def test_equalised_weights_get_their_scale_at_run_time():
    torch.manual_seed(0)
    linear, convolution = EqualisedLinear(200, 300), EqualisedConv(50, 60, gain=1.0)
    for layer in (linear, convolution):
        assert layer.weight.std().item() == pytest.approx(1, abs=0.02)
    x, images = torch.randn(4, 200), torch.randn(4, 50, 5, 5)
    assert torch.allclose(linear(x), F.linear(x, linear.weight * math.sqrt(2 / 200)), atol=1e-5)
    assert torch.allclose(
        convolution(images), F.conv2d(images, convolution.weight / math.sqrt(450), padding=1), atol=1e-5
    )
    torch.manual_seed(0)
    slow = EqualisedLinear(200, 300, speed=0.1)
    assert slow.weight.std().item() == pytest.approx(10, abs=0.2)
    assert torch.allclose(slow(x), linear(x), atol=1e-5)
    with torch.no_grad():
        for parameter in (slow.bias, linear.bias):
            parameter.add_(1)
    assert torch.allclose(slow(0 * x), 0.1 * linear(0 * x))


def test_pixels_are_normalised_over_their_features():
    x = torch.randn(3, 8, 4, 4, dtype=torch.double) * 7
    normed = PixelNorm()(x).numpy()
    assert np.allclose(normed, x.numpy() / np.sqrt((x.numpy() ** 2).mean(1, keepdims=True)))
    generator, _ = networks()
    z = torch.randn(5, FEW.latent)
    assert (generator.first[0](z).square().mean(1) - 1).abs().max() < 1e-5, "z lies on a sphere"
    assert (generator.first[:5](z).square().mean(1) - 1).abs().max() < 1e-4, "after the first layer"
    assert (generator.first(z).square().mean(1) - 1).abs().max() < 1e-4


def test_minibatch_deviation_against_numpy():
    x = torch.randn(6, 3, 4, 5)
    widened = MinibatchDeviation()(x)
    assert widened.shape == (6, 4, 4, 5)
    assert torch.equal(widened[:, :3], x)
    assert np.allclose(widened[:, 3], x.numpy().std(0, ddof=0).mean(), atol=1e-5)
    assert MinibatchDeviation()(x[:1].expand(6, -1, -1, -1))[:, 3].max() < 1e-3


def test_the_penalty_is_the_squared_gradient_at_the_data_in_some_steps():
    torch.manual_seed(0)
    model = ProGAN(SMALL, FEW)
    weights = torch.randn(1, 1, 8, 8)

    def quadratic(x):
        return (weights * x.square()).sum((1, 2, 3))[:, None]

    real, fake = torch.randn(7, 1, 8, 8), torch.randn(7, 1, 8, 8)
    expected = (2 * weights * real).square().sum((1, 2, 3)).mean() * FEW.penalty / 2 * FEW.penalty_every
    penalties = []
    for step in range(1, FEW.penalty_every + 1):
        model.begin_step(model.discriminator_network(), step, 100)
        penalties.append(float(torch.as_tensor(model.discriminator_penalty(quadratic, real, fake)).detach()))
    assert penalties[:-1] == [0.0] * (FEW.penalty_every - 1)
    assert penalties[-1] == pytest.approx(float(expected), rel=1e-5)


def test_the_penalty_reaches_the_weights():
    torch.manual_seed(0)
    plain = Game(ProGAN(SMALL, FEW), ProGAN(SMALL, FEW).discriminator_network())
    punished = copy.deepcopy(plain)
    plain.model.step, punished.model.step = 1, FEW.penalty_every
    real = torch.rand(8, 1, 8, 8)
    for game in (plain, punished):
        torch.manual_seed(1)
        game.discriminator_step((real, None))
    pairs = zip(plain.discriminator.parameters(), punished.discriminator.parameters(), strict=True)
    assert any(not torch.allclose(a, b) for a, b in pairs)


def test_truncation_changes_next_to_nothing_on_the_sphere():
    model = ProGAN(SMALL, Config(latent=20, width=4))
    wide, narrow = (model.generator.first[0](model.truncated_latent(4000, psi)) for psi in (math.inf, 0.1))
    assert narrow.var(0).sum() == pytest.approx(wide.var(0).sum().item(), rel=0.05)


def test_trains_from_the_smallest_images_to_the_full_size():
    torch.manual_seed(0)
    data = torch.randint(17, (40, 1, 8, 8)).to(torch.uint8)
    model = ProGAN(SMALL, FEW)
    before = copy.deepcopy(model.generator.state_dict())
    figures = model.fit(Dataset("noise", SMALL, data, data), Budget())
    assert all(math.isfinite(value) for value in figures.values())
    assert model.generator.grown == 1
    assert not any(torch.equal(before[name], value) for name, value in model.generator.state_dict().items())
    assert model.sample(3).shape == (3, 1, 8, 8)
    assert capabilities(model) == ("truncation", "latent", "training")
    assert all(name.startswith("generator.") for name in model.state_dict())


@pytest.mark.parametrize("wrong", [{"modes": 1000}, {"width": 0}, {"penalty": -1.0}, {"penalty_every": 0}])
def test_a_config_is_checked(wrong):
    with pytest.raises(ValueError, match="must be"):
        Config(**wrong)


def test_refuses_what_is_no_image():
    with pytest.raises(ModelError, match="progan models images"):
        ProGAN(SampleSpec((30,), 3))

import math

import pytest
import torch

from genbench.contracts import Budget, Dataset, SampleSpec, capabilities
from zoo.gan.cgan import ConditionalPerceptronGAN, Config

SMALL = SampleSpec((1, 8, 8), 17)
FEW = Config(latent=4, hidden=24, batch=20)
TOY = Config(latent=4, classes=2, hidden=64, batch=20, rate=1e-3, discriminator_rate=1e-3)


def test_the_class_is_as_strong_an_input_of_the_discriminator_as_all_the_pixels():
    judge = ConditionalPerceptronGAN(SMALL, FEW).discriminator_network()
    inputs = []
    judge.layers.register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0]))
    judge(torch.full((1, 1, 8, 8), -1.0), torch.tensor([0]))
    pixels, told = inputs[0][0, :64], inputs[0][0, 64:]
    assert told.norm() == pytest.approx(pixels.norm().item())


def test_both_players_hear_of_the_class_and_training_finds_out_how_many_there_are():
    torch.manual_seed(0)
    labels = torch.arange(60) % 3
    images = torch.randint(17, (60, 1, 8, 8)).to(torch.uint8)
    model = ConditionalPerceptronGAN(SMALL, FEW)
    figures = model.fit(Dataset("noise", SMALL, images, images, labels, labels), Budget(steps=3))
    assert all(math.isfinite(value) for value in figures.values())
    assert (model.config.classes, model.latent_shape) == (3, (7,))
    z = model.draw(5)
    drawn = [model.generator(model.coded(z, torch.full((5,), label))) for label in range(3)]
    assert not any(torch.allclose(drawn[0], other, atol=1e-3) for other in drawn[1:])
    judge = model.discriminator_network().eval()
    scores = [judge(drawn[0], torch.full((5,), label)) for label in range(3)]
    assert not any(torch.allclose(scores[0], other, atol=1e-3) for other in scores[1:])
    torch.manual_seed(1)
    expected = model.decode(model.coded(model.draw(6), torch.full((6,), 2)))
    torch.manual_seed(1)
    assert torch.equal(model.sample_class(6, 2), expected)
    assert capabilities(model) == ("truncation", "latent", "training")


def test_the_class_decides_what_is_drawn():
    """Bright at the top in class 0 and at the bottom in class 1: samples of a class are its own, whatever z is."""
    torch.manual_seed(0)
    labels = torch.arange(60) % 2
    bright = (torch.arange(8) < 4)[:, None] == (labels == 0)[:, None, None, None]
    images = torch.where(bright, torch.randint(10, 17, (60, 1, 8, 8)), torch.randint(4, (60, 1, 8, 8))).to(torch.uint8)
    model = ConditionalPerceptronGAN(SMALL, TOY)
    figures = model.fit(Dataset("top and bottom", SMALL, images, images, labels, labels), Budget(steps=300))
    assert all(math.isfinite(value) for value in figures.values())
    for label, sign in ((0, 1), (1, -1)):
        drawn = model.sample_class(30, label).float()
        assert sign * (drawn[:, :, :4].mean() - drawn[:, :, 4:].mean()) > 5
    assert capabilities(model) == ("truncation", "latent", "training")


@pytest.mark.parametrize("wrong", [{"classes": 0}, {"hidden": 0}, {"dropout": 1.0}])
def test_a_config_is_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Config(**wrong)

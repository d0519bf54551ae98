import math

import pytest
import torch
import torch.nn.functional as F

from genbench.contracts import Budget, Dataset, SampleSpec, capabilities
from zoo.gan.cgan import ConditionalPerceptronGAN, Config, Maxout

SMALL = SampleSpec((1, 8, 8), 17)
FEW = Config(latent=4, hidden=24, judging=10, batch=20)
TOY = Config(latent=4, classes=2, hidden=12, judging=10, batch=20, dropout=0.0, rate=5e-3, discriminator_rate=5e-3)


def test_maxout_units_are_the_largest_of_their_maps():
    torch.manual_seed(0)
    layer, x = Maxout(3, 2, 4), torch.randn(5, 3)
    maps = F.linear(x, layer.maps.weight, layer.maps.bias)
    expected = torch.stack([maps[:, :4].max(1).values, maps[:, 4:].max(1).values], 1)
    assert torch.allclose(layer(x), expected)


def test_the_networks_have_the_papers_parts():
    model = ConditionalPerceptronGAN(SampleSpec((1, 28, 28), 256), Config(classes=10))
    assert (model.generator.of_z.out_features, model.generator.of_class.out_features) == (200, 1000)
    judge = model.discriminator_network()
    assert (judge.of_image.maps.out_features, judge.of_class.maps.out_features) == (240 * 5, 50 * 5)
    assert judge.joint.maps.out_features == 240 * 4


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


# A known fault, kept in sight: samples of both classes saturate alike, and on the digits the training collapses, for
# which the model stands on no board. Whoever mends it takes this mark away.
@pytest.mark.xfail(strict=True, reason="the class has no effect on what a trained cgan draws")
def test_the_class_decides_what_is_drawn():
    """Black images in class 0, white ones in class 1: samples of a class are its own, whatever z is."""
    torch.manual_seed(0)
    labels = torch.arange(60) % 2
    images = (16 * labels).to(torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8).contiguous()
    model = ConditionalPerceptronGAN(SMALL, TOY)
    figures = model.fit(Dataset("black and white", SMALL, images, images, labels, labels), Budget(steps=150))
    assert all(math.isfinite(value) for value in figures.values())
    dark, bright = (model.sample_class(30, label).float().mean() for label in (0, 1))
    assert bright - dark > 6
    assert capabilities(model) == ("truncation", "latent", "training")


@pytest.mark.parametrize("wrong", [{"classes": 0}, {"hidden": 5}, {"judging": 0}, {"dropout": 1.0}])
def test_a_config_is_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Config(**wrong)

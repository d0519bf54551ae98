import dataclasses
import math

import pytest
import raster_checks
import torch

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import InputError, ModelError
from genbench.likelihood import every_state
from genbench.seeding import scoped
from zoo.autoregressive import pixel_cnn
from zoo.autoregressive.gated_pixel_cnn import ConditionalPixelCNN, Config, GatedPixelCNN
from zoo.autoregressive.pixel_cnn import PixelCNN
from zoo.autoregressive.raster import Part, WholeImage

SMALL = Config(width=6, blocks=2, kernel=3, steps=10, batch=8)


def model(shape, levels, config=SMALL, scale=2.0, kind=GatedPixelCNN):
    """A network with random weights, strong enough for conditionals that are far from uniform."""
    with scoped(0, "test"):
        net = kind(SampleSpec(shape, levels), config)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(scale).add_(0.3 * torch.randn_like(parameter))
    return net.eval()


def random_images(n, spec):
    return torch.randint(spec.levels, (n, *spec.shape), dtype=torch.uint8)


def dependence(logits, spec, pixels=None):
    """Whether each dimension's logits move with each dimension of x: (D, D), in order of rows, columns, channels.

    `pixels` names the dimensions whose logits are looked at; all of them by default.
    """
    with scoped(1, "test"):
        # Between the marks of the thermometer, whose slope is zero at the levels themselves.
        x = (0.9 * random_images(4, spec).float() + 0.05).requires_grad_()
        mixed = torch.einsum("nclhw,l->hwc", logits(x), torch.randn(spec.levels)).flatten()
    mixed = mixed if pixels is None else mixed[pixels]
    rows = [torch.autograd.grad(value, x, retain_graph=True)[0].abs().sum(0) for value in mixed]
    return torch.stack([row.permute(1, 2, 0).flatten() > 0 for row in rows])


@pytest.mark.parametrize(("shape", "levels"), [((1, 2, 3), 3), ((3, 1, 2), 2), ((3, 2, 1), 3), ((2, 2, 2), 2)])
def test_masses_of_all_images_sum_to_one(shape, levels):
    net = model(shape, levels)
    log_prob = net.log_prob(every_state(math.prod(shape), levels).reshape(-1, *shape))
    assert log_prob.dtype == torch.float64
    assert log_prob.std() > 0.3
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("shape", "kernel", "blocks"), [((1, 4, 6), 3, 5), ((1, 4, 6), 5, 3), ((3, 3, 4), 3, 4)])
def test_each_pixel_depends_on_all_earlier_ones_and_on_no_later_ones(shape, kernel, blocks):
    net = model(shape, 3, Config(width=6, blocks=blocks, kernel=kernel), scale=0.7)
    depends = dependence(net.logits, net.spec)
    assert torch.equal(depends, torch.ones_like(depends).tril(-1))


def test_plain_masks_leave_a_blind_spot_where_the_two_stacks_leave_none():
    """The last row's first pixel, in nets of equal depth and filters whose reach covers the image several times."""
    plain_config = pixel_cnn.Config(width=8, blocks=7, kernel=3)
    plain = model((1, 3, 8), 3, plain_config, scale=0.7, kind=PixelCNN)
    gated = model((1, 3, 8), 3, Config(width=8, blocks=7, kernel=3), scale=0.7)
    blind = dependence(lambda x: plain.logits(x, WholeImage()), plain.spec, [16]).reshape(3, 8)
    assert blind[:2].tolist() == [[True] * 3 + [False] * 5, [True] * 2 + [False] * 6]
    assert dependence(gated.logits, gated.spec, [16]).reshape(3, 8)[:2].all()


def test_what_lies_beyond_the_reach_is_not_seen():
    """One layer after the first, 3x3 filters: three rows up, two columns either side, two pixels left in the row."""
    net = model((1, 5, 8), 3, Config(width=6, blocks=1, kernel=3))
    depends = dependence(net.logits, net.spec, [4 * 8 + 3]).reshape(5, 8)
    above = [False] + [True] * 5 + [False] * 2
    assert depends.tolist() == [[False] * 8, above, above, above, [False, True, True] + [False] * 5]


def test_green_sees_red_and_blue_sees_both_within_a_pixel():
    net = model((3, 1, 1), 5)
    depends = dependence(net.logits, net.spec)
    assert torch.equal(depends, torch.ones(3, 3).tril(-1).bool())


def test_units_are_gated_within_the_group_of_their_channel():
    net = model((3, 2, 2), 3)
    x = torch.randn(4, 2 * 3 * 6, 2, 2)
    gated = net.layers[0].gate(x)
    for channel in range(3):
        a, b = x[:, 12 * channel : 12 * channel + 6], x[:, 12 * channel + 6 : 12 * channel + 12]
        torch.testing.assert_close(gated[:, 6 * channel : 6 * channel + 6], a.tanh() * b.sigmoid())


@pytest.mark.parametrize(("shape", "levels", "kernel"), [((1, 8, 8), 17, 3), ((3, 4, 5), 4, 5), ((1, 3, 7), 2, 3)])
def test_sampling_with_reused_activations_equals_full_passes(shape, levels, kernel, monkeypatch):
    net = model(shape, levels, dataclasses.replace(SMALL, kernel=kernel))
    raster_checks.samples_equal_those_of_full_passes(net, net.logits, monkeypatch)


def test_one_image_costs_about_one_pass():
    """The vertical stack runs once for each row, the horizontal one once for each pixel."""
    net, widths = model((1, 6, 5), 3), []
    original = Part.convolve
    with pytest.MonkeyPatch.context() as patch, scoped(3, "test"):
        patch.setattr(Part, "convolve", lambda view, layer, x: widths.append(x.shape[3]) or original(view, layer, x))
        net.sample(2)
    layers = 1 + len(net.layers)
    assert sorted(widths) == [1] * (30 * layers) + [5] * (6 * layers)


@pytest.mark.parametrize(("shape", "levels", "psi"), [((1, 2, 2), 3, 1.0), ((3, 1, 1), 3, 1.0), ((1, 2, 2), 3, 0.5)])
def test_samples_have_the_frequencies_of_the_likelihood(shape, levels, psi):
    net = model(shape, levels)
    raster_checks.samples_have_the_frequencies_of_the_likelihood(net, net.logits, 8000, psi)


def test_truncation_sharpens_and_is_none_at_one():
    raster_checks.truncation_sharpens_and_is_none_at_one(model((1, 4, 4), 3))


def test_large_inputs_are_split_into_parts():
    net = model((1, 4, 4), 3)
    with scoped(6, "test"):
        x = random_images(2 * net.items_at_once + 3, net.spec)
        assert net.sample(net.items_at_once + 1).shape == (net.items_at_once + 1, 1, 4, 4)
    with torch.no_grad():
        at_once = net.log_masses(x).double().flatten(1).sum(1)
    torch.testing.assert_close(net.log_prob(x), at_once, atol=1e-4, rtol=1e-5)
    large = GatedPixelCNN(SampleSpec((3, 32, 32), 256))
    assert large.items_at_once * 256 * 3 * 32 * 32 <= 2**24


def test_training_learns_what_one_pixel_says_of_the_next():
    """Stripes of random columns: 4 bits for the first row, none for the copies below it."""
    with scoped(7, "test"):
        spec = SampleSpec((1, 4, 4), 2)
        x = random_images(64, SampleSpec((1, 1, 4), 2)).expand(64, 1, 4, 4).contiguous()
        net = GatedPixelCNN(spec, Config(width=8, blocks=2, kernel=3, dropout=0.0, steps=150, batch=32, rate=5e-3))
        figures = net.fit(Dataset("stripes", spec, x, x), Budget())
    bits = -net.log_prob(x).mean().item() / math.log(2)
    assert 3.5 < bits < 5
    assert figures["loss"] < math.log(2) / 2


def test_what_it_cannot_model_is_refused():
    for spec, message in ((SampleSpec((1, 8, 8), None), "levelled"), (SampleSpec((30,), 3), "images")):
        with pytest.raises(ModelError, match=message):
            GatedPixelCNN(spec)
    with pytest.raises(InputError, match="shape"):
        model((1, 2, 2), 3).log_prob(torch.zeros(2, 1, 3, 2, dtype=torch.uint8))
    for wrong in ({"kernel": 4}, {"width": 0}, {"dropout": 1.0}, {"steps": 0}, {"rate": 0.0}):
        with pytest.raises(ValueError, match="must be"):
            Config(**wrong)


def test_given_a_class_masses_sum_to_one_and_differ_by_class():
    net = model((1, 2, 2), 3, kind=ConditionalPixelCNN)
    joint = net.class_log_joint(every_state(4, 3).reshape(-1, 1, 2, 2))
    assert joint.shape == (81, 10)
    torch.testing.assert_close(joint.logsumexp(0), net.log_prior.double(), atol=1e-5, rtol=0)
    assert (joint - net.log_prior).std(1).mean() > 0.3
    torch.testing.assert_close(
        net.log_prob(every_state(4, 3).reshape(-1, 1, 2, 2)), joint.logsumexp(1), atol=1e-9, rtol=0
    )


def test_sampling_given_classes_equals_full_passes(monkeypatch):
    net, classes = model((1, 5, 4), 3, kind=ConditionalPixelCNN), torch.tensor([0, 3, 3, 9, 5])
    monkeypatch.setattr(net, "sample", lambda n: net.draw(n, 1.0, classes))
    raster_checks.samples_equal_those_of_full_passes(net, lambda x: net.logits(x, classes), monkeypatch)


def test_told_a_class_it_draws_that_class_and_tells_classes_apart():
    """Class y of 10 is four pixels of two levels that spell y + 3 in binary."""
    spec = SampleSpec((1, 2, 2), 2)
    classes = torch.arange(10).repeat(20)
    x = (((classes + 3)[:, None] >> torch.arange(4)) & 1).reshape(-1, 1, 2, 2).to(torch.uint8)
    with scoped(8, "test"):
        net = ConditionalPixelCNN(
            spec, Config(width=8, blocks=2, kernel=3, dropout=0.0, steps=150, batch=50, rate=2e-2)
        )
        net.fit(Dataset("numbers", spec, x, x, train_labels=classes), Budget())
        drawn = net.draw(200, 1.0, classes)
    assert (drawn == x).flatten(1).all(1).double().mean() > 0.9
    assert (net.class_log_joint(x[:10]).argmax(1) == classes[:10]).all()
    assert -net.log_prob(x).mean().item() < math.log(10) + 0.3


def test_classes_are_needed_and_at_most_ten():
    spec = SampleSpec((1, 2, 2), 2)
    x = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    for labels in (None, torch.tensor([0, 1, 10])):
        with pytest.raises(ModelError, match="classes"):
            ConditionalPixelCNN(spec, SMALL).fit(Dataset("x", spec, x, x, train_labels=labels), Budget())

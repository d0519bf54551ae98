import dataclasses
import math

import pytest
import raster_checks
import torch

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import ModelError
from genbench.likelihood import every_state
from genbench.seeding import scoped
from zoo.autoregressive.pixel_cnn import Config, PixelCNN
from zoo.autoregressive.raster import Part, WholeImage

SMALL = Config(width=8, blocks=2, steps=10, batch=8)


def model(shape, levels, config=SMALL, scale=2.0):
    """A PixelCNN with random weights, strong enough for conditionals that are far from uniform."""
    with scoped(0, "test"):
        net = PixelCNN(SampleSpec(shape, levels), config)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(scale).add_(0.3 * torch.randn_like(parameter))
    return net.eval()


def random_images(n, spec):
    return torch.randint(spec.levels, (n, *spec.shape), dtype=torch.uint8)


def position(index, shape):
    """The place of a flat index (c, i, j) in the order of generation: rows, then columns, then channels."""
    channel, row, column = (int(k) for k in torch.unravel_index(torch.tensor(index), shape))
    return (row * shape[2] + column) * shape[0] + channel


def dependence(net, x):
    """How far the logits of each dimension move with each dimension of x: (D, D), both in the order of generation."""
    size, shape = net.spec.size, net.spec.shape
    # Between the marks of the thermometer, whose slope is zero at the levels themselves.
    x = (0.9 * x.float() + 0.05).requires_grad_()
    mixed = torch.einsum("nclhw,l->chw", net.logits(x, WholeImage()), torch.randn(net.levels)).flatten()
    rows = [torch.autograd.grad(value, x, retain_graph=True)[0].abs().sum(0).flatten() for value in mixed]
    order = torch.tensor([position(k, shape) for k in range(size)]).argsort()
    return torch.stack(rows)[order][:, order]


@pytest.mark.parametrize(("shape", "levels"), [((1, 2, 3), 3), ((3, 1, 2), 2), ((3, 2, 1), 3), ((2, 2, 2), 2)])
def test_masses_of_all_images_sum_to_one(shape, levels):
    net = model(shape, levels)
    log_prob = net.log_prob(every_state(math.prod(shape), levels).reshape(-1, *shape))
    assert log_prob.dtype == torch.float64
    assert log_prob.std() > 0.3
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("shape", [(1, 5, 6), (3, 3, 4)])
def test_each_pixel_and_channel_depends_on_earlier_ones_only(shape):
    net = model(shape, 5)
    with scoped(1, "test"):
        moved = dependence(net, random_images(8, net.spec))
    future = torch.ones_like(moved).triu().bool()
    assert (moved[future] == 0).all()
    # All but the first see what came just before: within a row the left neighbour, within a pixel the last channel.
    begins_row = torch.arange(1, net.spec.size) % (shape[0] * shape[2]) == 0
    assert (moved.diagonal(-1)[~begins_row] > 0).all()


def test_green_sees_red_and_blue_sees_both_within_a_pixel():
    net = model((3, 1, 1), 5)
    with scoped(1, "test"):
        moved = dependence(net, random_images(8, net.spec))
    assert torch.equal(moved > 0, torch.ones(3, 3).tril(-1).bool())


def test_plain_masks_leave_the_known_blind_spot():
    """Every row up reaches two columns further right with 5x5 filters; what lies beyond is not seen."""
    net = model((1, 4, 8), 5)
    with scoped(1, "test"):
        depends = dependence(net, random_images(8, net.spec))[3 * 8].reshape(4, 8) > 0
    assert depends[2].tolist() == [True] * 3 + [False] * 5
    assert depends[1].tolist() == [True] * 5 + [False] * 3
    assert depends[0].tolist() == [True] * 7 + [False]


@pytest.mark.parametrize(("shape", "levels"), [((1, 8, 8), 17), ((3, 4, 5), 4), ((1, 3, 7), 2)])
def test_sampling_with_reused_activations_equals_full_passes(shape, levels, monkeypatch):
    net = model(shape, levels)
    raster_checks.samples_equal_those_of_full_passes(net, lambda x: net.logits(x, WholeImage()), monkeypatch)


@pytest.mark.parametrize(("shape", "levels", "psi"), [((1, 2, 2), 3, 1.0), ((3, 1, 1), 3, 1.0), ((1, 2, 2), 3, 0.5)])
def test_samples_have_the_frequencies_of_the_likelihood(shape, levels, psi):
    net = model(shape, levels)
    raster_checks.samples_have_the_frequencies_of_the_likelihood(
        net, lambda x: net.logits(x, WholeImage()), 20_000, psi
    )


def test_truncation_sharpens_and_is_none_at_one():
    raster_checks.truncation_sharpens_and_is_none_at_one(model((1, 4, 4), 3))


def test_large_inputs_are_split_into_parts():
    net = model((1, 4, 4), 3)
    with scoped(5, "test"):
        x = random_images(2 * net.items_at_once + 3, net.spec)
        assert net.sample(net.items_at_once + 1).shape == (net.items_at_once + 1, 1, 4, 4)
    at_once = net.log_masses(x).double().flatten(1).sum(1)
    torch.testing.assert_close(net.log_prob(x), at_once, atol=1e-4, rtol=1e-5)
    assert not net.log_prob(x).requires_grad
    assert PixelCNN(SampleSpec((3, 32, 32), 256)).items_at_once * 256 * 3 * 32 * 32 <= 2**24


def test_training_learns_what_one_pixel_says_of_the_next():
    """Stripes of random columns: 4 bits for the first row, none for the copies below it."""
    with scoped(6, "test"):
        x = random_images(64, SampleSpec((1, 1, 4), 2)).expand(64, 1, 4, 4).contiguous()
        spec = SampleSpec((1, 4, 4), 2)
        net = PixelCNN(spec, Config(width=16, blocks=2, dropout=0.0, steps=150, batch=32, rate=5e-3))
        figures = net.fit(Dataset("stripes", spec, x, x), Budget())
    bits = -net.log_prob(x).mean().item() / math.log(2)
    assert 3.5 < bits < 5
    assert figures["loss"] < math.log(2) / 2


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_larger_images_of_256_levels_train_and_sample(shape):
    spec = SampleSpec(shape, 256)
    recipe = PixelCNN.recipe(spec)
    with scoped(7, "test"):
        x = random_images(4, spec)
        net = PixelCNN(spec, dataclasses.replace(recipe, width=24, blocks=2, batch=2))
        net.fit(Dataset("noise", spec, x, x), Budget(steps=2))
        log_prob, drawn = net.log_prob(x), net.sample(1)
    assert torch.isfinite(log_prob).all()
    assert drawn.shape == (1, *shape)
    assert drawn.dtype == torch.uint8


def test_what_it_cannot_model_is_refused():
    for spec, message in ((SampleSpec((1, 8, 8), None), "levelled"), (SampleSpec((30,), 3), "images")):
        with pytest.raises(ModelError, match=message):
            PixelCNN(spec)
    for wrong in ({"kernel": 4}, {"width": 5}, {"dropout": 1.0}, {"steps": 0}, {"rate": 0.0}):
        with pytest.raises(ValueError, match="must be"):
            Config(**wrong)


def test_one_image_costs_about_one_pass():
    """Sampling computes every layer once for each pixel: its filters see H x W windows, not (H x W) ** 2."""
    net, windows = model((1, 6, 6), 3), []
    original = Part.convolve
    with pytest.MonkeyPatch.context() as patch, scoped(8, "test"):
        patch.setattr(Part, "convolve", lambda view, *rest: windows.append(1) or original(view, *rest))
        net.sample(2)
    assert len(windows) == 36 * (1 + len(net.blocks))

import dataclasses
import math

import pytest
import torch
from sourced import COLOUR, GREY, SPECS, fresh, sourced, trains_and_keeps_the_contract

from genbench.contracts import Budget, SampleSpec, Setting, capabilities
from genbench.errors import InputError, ModelError
from zoo.translation.networks import UNet, patch_discriminator
from zoo.translation.pix2pix import Config, Pix2Pix
from zoo.translation.translator import jittered


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_trains_on_images_of_any_size(spec, tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path))
    trains_and_keeps_the_contract(Pix2Pix, sourced(spec))


def test_the_source_may_have_other_levels_and_channels():
    data = sourced(COLOUR, maps=2, levels=2)
    model = fresh(Pix2Pix, data, width=2)
    assert model.source_spec == SampleSpec((5, 32, 32), 2)
    assert model.translate(data.source.heldout).shape == data.heldout.shape
    assert model.scaled_sources(torch.tensor([0, 1])).tolist() == [-1, 1]


def checkerboard_response(network):
    """How strongly the output holds the finest checkerboard when the input does: the Fourier amplitude there."""
    signs = torch.tensor([(-1.0) ** (i + j) for i in range(8) for j in range(8)]).reshape(1, 1, 8, 8)
    with torch.no_grad():
        change = network(signs) - network(torch.zeros_like(signs))
    return torch.fft.fft2(change)[0, 0, 4, 4].abs().item()


def test_high_frequencies_pass_by_the_skips_alone():
    torch.manual_seed(0)
    network = UNet((1, 8, 8), 1, width=4)
    bottleneck = network.downs[-1].register_forward_hook(lambda module, x, y: torch.zeros_like(y))
    assert checkerboard_response(network) > 1e-2
    # Where the last skip is cut too, no more than the borders is left of a pattern that every halving averages out.
    for down in network.downs:
        down.register_forward_hook(lambda module, x, y: torch.zeros_like(y))
    full = checkerboard_response(network)
    network.last[1].weight.data[:, 4:] = 0
    assert checkerboard_response(network) == 0 < full
    bottleneck.remove()


@pytest.mark.parametrize("connected", [False, True])
def test_a_connected_bottleneck_tells_every_place_of_every_other(connected):
    torch.manual_seed(0)
    network = UNet((1, 8, 8), 1, width=4, connected=connected)
    held = torch.randn(1, 16, 2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(network.middle(held)[0, 0, 0, 0], held)
    assert (gradient[0, :, 1, 1] != 0).all() == connected
    assert network(torch.zeros(1, 1, 8, 8)).shape == (1, 1, 8, 8)


@pytest.mark.parametrize(("depth", "side"), [(1, 6), (2, 12)])
def test_a_score_sees_its_patch_and_nothing_else(depth, side):
    torch.manual_seed(0)
    network = patch_discriminator(1, 4, depth)
    image = torch.randn(1, 1, 32, 32, requires_grad=True)
    scores = network(image)
    row, column = scores.shape[2] // 2, scores.shape[3] // 2
    (gradient,) = torch.autograd.grad(scores[0, 0, row, column], image)
    field = gradient[0, 0].nonzero()
    assert (field.amax(0) - field.amin(0) + 1).tolist() == [side, side]
    far = image.detach().clone()
    far[..., :4, :4] = 9.0
    changed = (network(far) - scores).detach()[0, 0]
    assert changed[row, column] == 0
    assert changed[0, 0] != 0


def test_losses_are_those_of_the_paper():
    data = sourced(GREY)
    model = fresh(Pix2Pix, data, noise=0.0, width=2, closeness=7.0)
    x, y = model.scaled_sources(data.source.train), model.scaled(data.train)
    discriminator = model.discriminator_network()
    with torch.no_grad():
        made = model(x)
        real = torch.sigmoid(discriminator(torch.cat([x, y], 1)))
        fake = torch.sigmoid(discriminator(torch.cat([x, made], 1)))
        judged = model.discriminator_loss(discriminator, x, y)
        loss = model.generator_loss(discriminator, x, y)
    assert judged.item() == pytest.approx(-(real.log().mean() + (1 - fake).log().mean()).item() / 2, rel=1e-4)
    assert loss.item() == pytest.approx((-fake.log().mean() + 7 * (made - y).abs().mean()).item(), rel=1e-4)


def test_dropout_is_the_only_noise():
    data = sourced(GREY)
    x = data.source.heldout
    steady, noisy = fresh(Pix2Pix, data, dropout=0.0), fresh(Pix2Pix, data, dropout=0.5)
    assert torch.equal(steady.translate(x), steady.translate(x))
    assert not torch.equal(noisy.translate(x), noisy.translate(x))


def test_learns_what_the_pairs_show():
    torch.manual_seed(0)
    data = sourced(GREY)
    negatives = [16 - part[:, :1] for part in (data.source.train, data.source.heldout)]
    data = dataclasses.replace(data, train=negatives[0], heldout=negatives[1])
    model = fresh(Pix2Pix, data, width=4, average=0.9)
    model.fit(data, Budget(steps=60))
    wrong = (data.source.heldout[:, :1].float() - data.heldout).abs().mean()
    assert (model.translate(data.source.heldout).float() - data.heldout).abs().mean() < wrong / 2


def test_jitter_shifts_source_and_target_together_and_keeps_planes():
    torch.manual_seed(0)
    x = torch.randint(17, (200, 1, 8, 8))
    plane = torch.randint(17, (200, 1, 1, 1)).expand(-1, -1, 8, 8)
    moved, also, flat = jittered((x, x + 1, plane), 1, 1)
    assert torch.equal(also, moved + 1)
    assert torch.equal(flat, plane)
    shifts = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    inner = torch.stack([x.roll((i, j), (2, 3)) for i, j in shifts])[..., 1:-1, 1:-1]
    same = (inner == moved[..., 1:-1, 1:-1]).flatten(2).all(2)
    assert same.any(0).all()
    assert same.any(1).all()
    assert torch.equal(jittered((x,), 0, 0)[0], x)


def test_refuses_what_has_no_pairs():
    data = sourced(GREY)
    for dataset, reason in (
        (dataclasses.replace(data, source=None), "models translations of source images, which test does not have"),
        (sourced(GREY, paired=False), "models pairs, and test does not pair"),
    ):
        with pytest.raises(ModelError, match=reason):
            Pix2Pix.build(Setting("pix2pix", "test", dataset, trained=False))
    with pytest.raises(ModelError, match="none are at hand"):
        Pix2Pix(GREY).sample(1)
    model = fresh(Pix2Pix, data)
    with pytest.raises(InputError, match="items have shape"):
        model.translate(data.train)
    with pytest.raises(InputError, match=r"the levels are 0\.\.16"):
        model.translate(data.source.train + 10)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"width": 0}, "widths and patches"),
        ({"dropout": 1.0}, "dropout"),
        ({"source_levels": 1}, "source_levels"),
        ({"average": 1.0}, "average, momentum and squares"),
        ({"jitter_x": -1}, "jitter must not"),
    ],
)
def test_configurations_are_checked(wrong, reason):
    with pytest.raises(ValueError, match=reason):
        Config(**wrong)


def test_samples_are_translations_of_train_sources():
    data = sourced(GREY)
    model = fresh(Pix2Pix, data)
    known = {bytes(item.numpy()) for item in model.translate(data.source.train)}
    drawn = [bytes(item.numpy()) for item in model.sample(60)]
    assert set(drawn) <= known
    assert len(set(drawn)) > 15
    assert capabilities(model) == ("translation", "training")
    assert all(name.startswith("generator.") for name in model.state_dict())
    assert math.prod(model.sample(0).shape) == 0

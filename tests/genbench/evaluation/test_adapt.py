"""Functions and networks as generators: each convention against a conversion by hand, densities against their cells."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.distributions import Independent, Normal, Uniform

import genbench
from genbench.contracts import Effort
from genbench.errors import InputError, ModelError
from genbench.evaluation import generators

SHAPE = (3, 4, 5)


def fixed(n, low=-1.0, high=1.0):
    """n float images over the whole of a range, the same ones each time."""
    return torch.linspace(low, high, n * 60).reshape(n, *SHAPE)


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 1), (0, 255)])
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_floats_become_the_nearest_levels(low, high, levels):
    model = genbench.adapt(lambda n: fixed(n, low, high), shape=SHAPE, range=(low, high), levels=levels)
    share = (fixed(2, low, high).double() - low) / (high - low)
    assert torch.equal(model.sample(2), (share * (levels - 1)).round().to(torch.uint8))
    assert model.spec == genbench.SampleSpec(SHAPE, levels)


def test_every_layout_and_container_is_the_same_items():
    expected = ((fixed(2).double() + 1) * 127.5).round().to(torch.uint8)
    last = fixed(2).permute(0, 2, 3, 1)
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in expected]
    sources = {
        "NCHW": [
            lambda n: fixed(n),
            lambda n: fixed(n).numpy(),
            lambda n: list(fixed(n)),
            lambda n: fixed(n).flatten(1),
        ],
        "NHWC": [lambda n: last, lambda n: last.numpy().astype(np.float64), lambda n: pictures],
        "flat": [lambda n: fixed(n).flatten(1)],
    }
    for layout, functions in sources.items():
        for function in functions:
            assert torch.equal(genbench.adapt(function, shape=SHAPE, layout=layout).sample(2), expected)
    grey = genbench.adapt(lambda n: torch.ones(n, 4, 5), shape=(1, 4, 5))
    assert (grey.sample(2) == 255).all()
    assert grey.sample(2).shape == (2, 1, 4, 5)


def test_real_values_and_levels_pass_as_they_are():
    real = genbench.adapt(lambda n: fixed(n).half(), shape=SHAPE, levels=None)
    assert torch.equal(real.sample(2), fixed(2).half().float())
    levels = torch.randint(17, (3, *SHAPE))
    assert torch.equal(genbench.adapt(lambda n: levels, shape=SHAPE, levels=17).sample(3), levels.to(torch.uint8))


@pytest.mark.parametrize(
    ("made", "options", "reason"),
    [
        (lambda n: fixed(n, 0, 255), {}, r"reach from 0 to 255, which is far outside range=\(-1, 1\)"),
        (lambda n: fixed(n) * math.nan, {}, "values that are not finite"),
        (lambda n: torch.full((n, *SHAPE), 17), {"levels": 17}, r"integers from 17 to 17; the levels are 0\.\.16"),
        (lambda n: fixed(n).permute(0, 2, 3, 1), {}, r"shape \(2, 4, 5, 3\), not \(2, 3, 4, 5\); say layout='NHWC'"),
        (lambda n: fixed(n + 1), {}, r"made shape \(3, 3, 4, 5\), not \(2, 3, 4, 5\)"),
        (fixed, {"range": None}, "where range=None promises levels; name their range"),
        (lambda n: "pictures", {}, "returned str, not a tensor"),
    ],
)
def test_what_does_not_fit_is_said(made, options, reason):
    with pytest.raises(ModelError, match=reason):
        genbench.adapt(made, shape=SHAPE, **options).sample(2)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"layouts": "NCHW"}, "adapt takes no layouts; it takes shape, levels"),
        ({"layout": "CHW"}, "layout must be one of NCHW, NHWC, flat"),
        ({"layout": "NHWC", "shape": (7,)}, "NHWC is one of images"),
        ({"range": (1, 1)}, "range must be"),
        ({"levels": 300}, r"within 2\.\.256"),
        ({"density": len, "log_prob": len}, "not both"),
        ({"density": len, "range": None}, "a density needs the range"),
        ({"classes": 0}, "classes must be a whole number of at least 1"),
        ({"latent": "128"}, "latent must be a size"),
        ({"rounding": "up"}, "rounding must be one of"),
        ({"log_prob": len, "log_prob_kind": "true"}, "log_prob_kind must be one of"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, reason):
    with pytest.raises(InputError, match=reason):
        genbench.adapt(fixed, **options)


class Decoder(nn.Module):
    """Codes, and labels where they are given, to images in [-1, 1]."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.linear, self.drop = nn.Linear(7, 60), nn.Dropout(dropout)

    def forward(self, z, labels=None):
        assert z.dtype == self.linear.weight.dtype
        x = self.drop(self.linear(z)).tanh()
        return x if labels is None else torch.full_like(x, -1) + 0.25 * labels[:, None]


@pytest.mark.parametrize("latent", [7, (7,), lambda n: torch.randn(n, 7), Independent(Normal(torch.zeros(7), 1.0), 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_network_maps_codes(latent, dtype):
    network = Decoder(dropout=0.5).to(dtype).train()
    model = genbench.adapt(network, shape=SHAPE, latent=latent)
    assert genbench.check(model) == ("latent",)
    assert not network.training
    assert model.latent_shape == (7,)
    torch.manual_seed(0)
    samples = model.sample(4)
    torch.manual_seed(0)
    assert torch.equal(samples, model.decode(model.sample_latent(4)))
    if dtype != torch.bfloat16:
        torch.manual_seed(0)
        with torch.no_grad():
            x = network(torch.randn(4, 7).to(dtype)).reshape(4, *SHAPE)
        assert torch.equal(samples, ((x.double() + 1) * 127.5).round().to(torch.uint8))


def test_modules_and_distributions_are_asked_by_their_own_methods():
    class Model(Decoder):
        def sample(self, n):
            return self(torch.randn(n, 7))

    assert genbench.check(genbench.adapt(Model(), shape=SHAPE)) == ()
    assert genbench.check(genbench.adapt(Model().sample, shape=SHAPE)) == ()
    uniform = Uniform(-torch.ones(SHAPE), torch.ones(SHAPE))
    assert genbench.check(genbench.adapt(uniform, shape=SHAPE)) == ()
    with pytest.raises(InputError, match=r"Decoder has no method sample\(n\); say latent=SIZE"):
        genbench.adapt(Decoder(), shape=SHAPE)


def test_labels_reach_the_source():
    model = genbench.adapt(Decoder(), shape=SHAPE, latent=7, classes=9)
    labels = torch.tensor([0, 4, 8])
    assert model.sample(3, labels)[:, 0, 0, 0].tolist() == [0, 128, 255]
    assert not hasattr(model, "decode"), "codes alone do not say which class"
    drawn = model.sample(500)[:, 0, 0, 0].unique()
    assert len(drawn) == 9, "without labels all classes are drawn"


def bell(mean=0.3, scale=0.2):
    return Independent(Normal(torch.full((2,), mean), scale), 1)


@pytest.mark.parametrize("rounding", ["floor", "nearest"])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (-2, 3)])
def test_a_density_becomes_the_mass_of_each_cell(rounding, low, high):
    """The bound of many noises is nearly the integral of the density over the cell, and never above it on average."""
    levels, density = 4, bell(low + 0.3 * (high - low), 0.2 * (high - low))
    model = genbench.adapt(
        density,
        shape=(2,),
        levels=levels,
        range=(low, high),
        density=density.log_prob,
        rounding=rounding,
        effort=Effort(dequantization_samples=4000),
    )
    items = torch.cartesian_prod(torch.arange(levels), torch.arange(levels)).to(torch.uint8)
    if rounding == "floor":
        edges = low + (high - low) * torch.arange(levels + 1).double() / levels
    else:
        edges = low + (high - low) * (torch.arange(levels + 1).double() - 0.5) / (levels - 1)
    single = Normal(density.base_dist.loc[0].double(), density.base_dist.scale[0].double())
    mass = single.cdf(edges).diff()
    exact = (mass[items[:, 0].long()] * mass[items[:, 1].long()]).log()
    bounds = model.log_prob(items)
    assert model.log_prob_kind == "lower_bound"
    assert torch.allclose(bounds, exact, atol=0.15)
    assert abs(float(bounds.exp().sum()) - float(exact.exp().sum())) < 0.02
    samples = model.sample(20000)
    inner = (samples > 0) & (samples < levels - 1)
    share = float((samples[inner.all(1)] == torch.tensor([1, 1])).all(1).double().sum()) / len(samples)
    assert abs(share - float(mass[1] ** 2)) < 0.02, "samples fall into the cells that the masses are of"


def test_log_prob_is_given_items_as_the_source_makes_them():
    batches = []

    def log_prob(x):
        batches.append(x)
        return -x.flatten(1).sum(1)

    items = torch.randint(17, (3, *SHAPE)).to(torch.uint8)
    model = genbench.adapt(fixed, shape=SHAPE, levels=17, layout="NHWC", log_prob=log_prob, reconstruct=lambda x: x)
    assert model.log_prob(items).dtype == torch.float64
    assert model.log_prob_kind == "exact"
    assert torch.allclose(batches[0], (items / 8 - 1).permute(0, 2, 3, 1))
    assert torch.equal(model.reconstruct(items), items)
    real = genbench.adapt(lambda n: bell().sample((n,)), shape=(2,), levels=None, density=bell().log_prob)
    x = torch.randn(5, 2)
    assert torch.equal(real.log_prob(x), bell().log_prob(x).double())
    assert real.log_prob_kind == "exact"
    with pytest.raises(ModelError, match=r"log_prob returned shape \(3, 3\), not \(3,\)"):
        genbench.adapt(fixed, shape=SHAPE, log_prob=lambda x: torch.zeros(3, 3)).log_prob(items)


def test_public_names():
    assert genbench.adapters.adapt is genbench.adapt
    from genbench.adapters import flow

    assert genbench.adapt.flow is flow
    assert generators.offered(genbench.adapt(fixed, shape=SHAPE)) == ()
    assert genbench.adapt(fixed, shape=SHAPE).name == "fixed"

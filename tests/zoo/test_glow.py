from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from genbench.contracts import Budget, Effort, SampleSpec, Setting
from genbench.data.digits import digits
from genbench.errors import ModelError
from genbench.likelihood import dequantize, every_state
from zoo.flow.glow import ActNorm, Config, Coupling, Glow, InvertibleConv, Scale

SMALL = Config(steps_per_scale=2, width=8, dropout=0.0, steps=20, batch=50)
PIXEL = SampleSpec((2, 1, 1), 3)


def stirred(module: nn.Module, by: float = 0.1) -> nn.Module:
    """The module away from its initial identity, in evaluation mode."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def model_of(spec: SampleSpec, config: Config = SMALL, by: float = 0.1) -> Glow:
    torch.manual_seed(0)
    model = stirred(Glow(spec, config), by)
    assert isinstance(model, Glow)
    return model


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 5, 6), (1, 12, 4)])
@torch.no_grad()
def test_the_inverse_is_exact(shape: tuple[int, ...]) -> None:
    # Stirred less, because random matrices of many channels magnify what rounding leaves.
    model = model_of(SampleSpec(shape, 17), by=0.02)
    x = torch.randint(17, (4, *shape), dtype=torch.uint8)
    y = dequantize(x, 17)
    z = model.encode(y)
    assert z.shape == (4, *model.latent_shape)
    assert (z - y.logit().flatten(1)).abs().max() > 0.1
    torch.testing.assert_close(model.invert(z), y, atol=1e-4, rtol=0)
    # Half a level away from each cell's edges, so that rounding cannot cross them.
    assert torch.equal(model.decode(model.encode((x + 0.5) / 17)), x)


def layer_of(name: str) -> tuple[nn.Module, tuple[int, int, int]]:
    torch.manual_seed(0)
    return {
        "actnorm": (ActNorm(3), (3, 2, 3)),
        "1x1 convolution": (InvertibleConv(5), (5, 2, 2)),
        "coupling": (Coupling((5, 3, 2), SMALL), (5, 3, 2)),
        "scale": (Scale((4, 2, 3), squeezes=True, last=False, config=SMALL), (1, 4, 6)),
        "last scale": (Scale((3, 3, 3), squeezes=False, last=True, config=SMALL), (3, 3, 3)),
        "all": (Glow(SampleSpec((1, 4, 4), 17), Config(steps_per_scale=2, width=8, smallest=1)), (1, 4, 4)),
    }[name]


@pytest.mark.parametrize("name", ["actnorm", "1x1 convolution", "coupling", "scale", "last scale", "all"])
def test_log_det_is_that_of_the_jacobian(name: str) -> None:
    layer, shape = layer_of(name)
    layer = stirred(layer, by=0.3).double()
    x = 0.1 + 0.8 * torch.rand(1, *shape, dtype=torch.float64)

    def run(flat: Tensor) -> tuple[Tensor, Tensor]:
        out = (layer.transform if isinstance(layer, Glow) else layer)(flat.reshape(x.shape))
        return torch.cat([part.flatten() for part in out[:-1]]), out[-1]

    jacobian = torch.autograd.functional.jacobian(lambda flat: run(flat)[0], x.flatten())
    assert jacobian.shape == (x.numel(), x.numel())
    assert abs(run(x.flatten())[1].item()) > 1e-2
    assert run(x.flatten())[1].item() == pytest.approx(jacobian.slogdet()[1].item(), abs=1e-8)


def test_actnorm_normalises_its_first_batch_and_no_other() -> None:
    torch.manual_seed(0)
    scale = torch.tensor([0.1, 1.0, 30.0])[:, None, None]
    first, second = 5 + scale * torch.randn(2, 40, 3, 4, 4)
    layer = ActNorm(3)
    y, log_det = layer(first)
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(y.var((0, 2, 3), correction=0), torch.ones(3), atol=1e-3, rtol=0)
    assert log_det.shape == (40,)
    before = layer.log_scale.clone()
    layer(2 * second)
    assert torch.equal(layer.log_scale, before)
    # A loaded checkpoint was initialised before.
    again = ActNorm(3)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again.train()(second)[0], layer(second)[0])
    untrained = ActNorm(3).eval()
    assert torch.equal(untrained(first)[0], first)


@torch.no_grad()
def test_the_1x1_convolution_begins_as_a_rotation_and_mixes_channels_only() -> None:
    torch.manual_seed(0)
    layer = InvertibleConv(6)
    weight = layer.weight()
    torch.testing.assert_close(weight @ weight.T, torch.eye(6), atol=1e-5, rtol=0)
    assert abs(layer.log_s.sum().item()) < 1e-5
    layer = stirred(layer, by=0.5)
    weight = layer.weight()
    assert weight.count_nonzero() == 36
    assert layer.log_s.sum().item() == pytest.approx(torch.linalg.slogdet(weight)[1].item(), abs=1e-4)
    x = torch.randn(2, 6, 2, 3)
    torch.testing.assert_close(layer(x)[0], torch.einsum("dc,nchw->ndhw", weight, x))
    torch.testing.assert_close(layer.inverse(layer(x)[0]), x, atol=1e-4, rtol=0)


def test_a_coupling_reads_the_first_half_of_the_channels_only() -> None:
    coupling = stirred(Coupling((4, 3, 3), SMALL))
    x = torch.rand(3, 4, 3, 3)
    y, _ = coupling(x)
    assert torch.equal(y[:, :2], x[:, :2])
    assert (y - x)[:, 2:].abs().min() > 0
    s, t = coupling.scale_and_shift(x[:, :2])
    torch.testing.assert_close(y[:, 2:], x[:, 2:] * s.exp() + t)


def test_images_are_squeezed_while_their_sides_are_even_and_large_enough() -> None:
    def parts(*shape: int, smallest: int = 2) -> list[tuple[int, ...]]:
        model = Glow(SampleSpec(shape, 256), Config(steps_per_scale=1, width=8, smallest=smallest))
        assert sum(math.prod(part) for part in model.finished_shapes) == math.prod(shape)
        return model.finished_shapes

    assert parts(1, 8, 8) == [(2, 4, 4), (8, 2, 2)]
    assert parts(1, 28, 28) == [(2, 14, 14), (8, 7, 7)]
    assert parts(3, 32, 32, smallest=4) == [(6, 16, 16), (12, 8, 8), (48, 4, 4)]
    assert parts(3, 7, 7) == [(3, 7, 7)]
    with pytest.raises(ModelError, match="even sides or several channels"):
        parts(1, 7, 7)


@torch.no_grad()
def test_the_bound_lies_below_the_mass_of_a_cell() -> None:
    """One pixel of two channels and three levels: each cell's mass by the midpoint rule."""
    model = model_of(PIXEL, by=0.2)
    states = every_state(2, 3)
    middles = (torch.arange(60) + 0.5) / 60
    inside = (states[:, None] + torch.cartesian_prod(middles, middles)).reshape(-1, 2, 1, 1) / 3
    exact = (model.log_density(inside).double().exp().reshape(9, -1).mean(1) / 9).log()
    # The margin of the logit leaves a little of the density outside of all cells.
    assert 0.8 < exact.exp().sum() < 1.0
    assert exact.max() > exact.min() + 0.3

    x = states.reshape(-1, 2, 1, 1)
    torch.manual_seed(0)
    model.dequantization_samples = 1
    loose = model.log_prob(x.repeat(300, 1, 1, 1)).reshape(300, -1)
    assert loose.dtype == torch.float64
    assert (loose.mean(0) < exact).all()
    model.dequantization_samples = 400
    torch.testing.assert_close(model.log_prob(x), exact, atol=0.1, rtol=0)

    drawn = model.sample(10_000)
    # The middle cell: what falls beyond the cube goes to the outer ones.
    frequency, mass = (drawn == 1).flatten(1).all(1).double().mean().item(), exact[4].exp().item()
    assert frequency == pytest.approx(mass, abs=4.5 * math.sqrt(mass / 10_000))


@torch.no_grad()
def test_temperature_shrinks_the_latent_and_so_the_spread() -> None:
    model = model_of(SampleSpec((1, 8, 8), 256))
    codes: list[Tensor] = []
    decode = model.decode
    model.decode = lambda z: codes.append(z) or decode(z)  # type: ignore[method-assign]
    spread = []
    for psi in (1.0, 0.5, 0.0):
        torch.manual_seed(0)
        spread.append(model.sample_truncated(200, psi=psi).float().std(0).mean().item())
    assert torch.equal(codes[1], 0.5 * codes[0])
    assert codes[0].std().item() == pytest.approx(1, abs=0.03)
    assert spread[0] > 1.3 * spread[1] > 0
    assert spread[2] == 0
    torch.manual_seed(0)
    full = model.sample_truncated(200, psi=1.0)
    torch.manual_seed(0)
    assert torch.equal(full, model.sample(200))


def test_digits_are_learnt() -> None:
    dataset = digits()
    torch.manual_seed(0)
    model = Glow(dataset.spec, SMALL)
    model.prepare(Setting("glow", "digits", dataset, effort=Effort(dequantization_samples=3)))
    assert model.dequantization_samples == 3
    losses: list[float] = []
    model.fit(dataset, Budget(progress=lambda step, steps, figures: losses.append(figures["loss"])))
    assert len(losses) == 20
    assert losses[-1] < losses[0] - 0.1
    after = model.log_prob(dataset.heldout[:100])
    assert after.mean() > -64 * math.log(17), "better than uniform"
    x = dataset.heldout[:20]
    with torch.no_grad():
        assert torch.equal(model.decode(model.encode((x + 0.5) / 17)), x)
    torch.manual_seed(1)
    alone = model.log_density(dequantize(x, 17))
    torch.manual_seed(1)
    together = model.log_density(torch.cat([dequantize(x, 17), torch.rand(30, 1, 8, 8)]))[:20]
    torch.testing.assert_close(alone, together, atol=1e-3, rtol=0)


def test_what_it_cannot_model_is_refused() -> None:
    with pytest.raises(ModelError, match="images"):
        Glow(SampleSpec((30,), 3))
    with pytest.raises(ModelError, match="levelled"):
        Glow(SampleSpec((1, 8, 8), None))
    for wrong in ({"alpha": 0.5}, {"dropout": 1.0}, {"width": 0}, {"rate": 0.0}):
        with pytest.raises(ValueError, match="must be"):
            Config(**wrong)

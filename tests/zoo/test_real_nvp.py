from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, Effort, SampleSpec, Setting
from genbench.data.digits import digits
from genbench.errors import ModelError
from genbench.likelihood import dequantize, every_state
from zoo.flow.real_nvp import Config, Coupling, RealNVP, Scale, channelwise, checkerboard, squeeze, unsqueeze

SMALL = Config(width=8, blocks=1, dropout=0.0, smallest=2, steps=20, batch=50)
PAIR = SampleSpec((1, 1, 2), 3)


def stirred(module: nn.Module, by: float = 0.1) -> nn.Module:
    """The module away from its initial identity, in evaluation mode."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def model_of(spec: SampleSpec, config: Config = SMALL) -> RealNVP:
    torch.manual_seed(0)
    model = stirred(RealNVP(spec, config))
    assert isinstance(model, RealNVP)
    return model


def test_likelihoods_leave_samples_as_they_are():
    model, x = model_of(SampleSpec((1, 4, 4), 3)), torch.randint(0, 3, (6, 1, 4, 4), dtype=torch.uint8)
    codes = torch.randn(20, model.spec.size)
    before = model.invert(codes)
    assert torch.isfinite(model.log_prob(x)).all()
    assert all(parameter.is_contiguous() for parameter in model.parameters())
    assert torch.equal(model.invert(codes), before)


@torch.no_grad()
def assert_invertible(model: RealNVP, x: Tensor) -> None:
    y = dequantize(x, model.levels)
    torch.testing.assert_close(model.invert(model.encode(y)), y, atol=1e-4, rtol=0)
    # Half a level away from each cell's edges, so that rounding cannot cross them.
    middle = (x + 0.5) / model.levels
    assert torch.equal(model.decode(model.encode(middle)), x)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 5, 6), (1, 7, 7)])
@torch.no_grad()
def test_invertible(shape: tuple[int, ...]) -> None:
    # In double precision and stirred less, because dozens of random couplings in a row magnify what rounding leaves.
    torch.manual_seed(0)
    model = stirred(RealNVP(SampleSpec(shape, 17), Config(width=8)), by=0.05).double()
    assert isinstance(model, RealNVP)
    y = torch.rand(4, *shape, dtype=torch.float64)
    z = model.encode(y)
    assert z.shape == (4, *model.latent_shape)
    assert (z - y.logit().flatten(1)).abs().max() > 0.1
    torch.testing.assert_close(model.invert(z), y, atol=1e-6, rtol=0)


LAYERS = {
    "checkerboard": Coupling(checkerboard((2, 4, 4), 1), SMALL),
    "channelwise": Coupling(channelwise((3, 4, 4), 1), SMALL),
    "scale": Scale((2, 4, 4), False, SMALL),
    "last scale": Scale((2, 3, 3), True, SMALL),
    "all": RealNVP(SampleSpec((2, 4, 4), 17), SMALL),
}


@pytest.mark.parametrize("name", LAYERS)
def test_log_det_is_that_of_the_jacobian(name: str) -> None:
    layer = stirred(LAYERS[name]).double()
    torch.manual_seed(0)
    channels = {"channelwise": 3}.get(name, 2)
    side = {"last scale": 3}.get(name, 4)
    x = 0.1 + 0.8 * torch.rand(1, channels, side, side, dtype=torch.float64)

    def run(flat: Tensor) -> tuple[Tensor, Tensor]:
        x_ = flat.reshape(x.shape)
        out = layer.transform(x_) if isinstance(layer, RealNVP) else layer(x_)
        return torch.cat([part.flatten() for part in out[:-1]]), out[-1]

    jacobian = torch.autograd.functional.jacobian(lambda flat: run(flat)[0], x.flatten())
    assert jacobian.shape == (x.numel(), x.numel())
    assert abs(run(x.flatten())[1].item()) > 1e-3
    assert run(x.flatten())[1].item() == pytest.approx(jacobian.slogdet()[1].item(), abs=1e-8)


def test_a_coupling_keeps_its_masked_part_and_reads_nothing_else() -> None:
    mask = checkerboard((1, 4, 4), 0)
    assert mask[0, :2, :4].tolist() == [[1, 0, 1, 0], [0, 1, 0, 1]]
    coupling = stirred(Coupling(mask, SMALL))
    x = torch.rand(3, 1, 4, 4)
    y, _ = coupling(x)
    unchanged = mask.bool().expand_as(x)
    assert torch.equal(y[unchanged], x[unchanged])
    assert (y - x)[~unchanged].abs().min() > 0
    s, t = coupling.scale_and_shift(x)
    again, _ = coupling(torch.where(unchanged, x, torch.zeros(())))
    torch.testing.assert_close(again[~unchanged], t[~unchanged])
    torch.testing.assert_close(y[~unchanged], (x * s.exp() + t)[~unchanged])


def test_squeeze_turns_squares_into_channels_top_row_first() -> None:
    x = torch.arange(32.0).reshape(1, 2, 4, 4)
    assert squeeze(x)[0, :, 0, 0].tolist() == [0, 16, 1, 17, 4, 20, 5, 21]
    assert torch.equal(unsqueeze(squeeze(x)), x)
    assert channelwise((4, 1, 1), 0).flatten().tolist() == [1, 1, 0, 0]
    assert channelwise((4, 1, 1), 1).flatten().tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("mask", [checkerboard, channelwise])
def test_masks_take_turns(mask: Callable[[tuple[int, int, int], int], Tensor]) -> None:
    assert torch.equal(mask((2, 3, 4), 0) + mask((2, 3, 4), 1), torch.ones(2, 3, 4))
    assert torch.equal(mask((2, 3, 4), 0), mask((2, 3, 4), 2))
    for scale in RealNVP(SampleSpec((2, 4, 4), 17), SMALL).scales:
        for couplings in filter(len, (scale.checkerboards, scale.channelwises)):
            for before, after in pairwise(couplings):
                assert torch.equal(before.mask + after.mask, torch.ones_like(before.mask))


def test_scales_factor_half_of_the_variables_out() -> None:
    parts = RealNVP(SampleSpec((3, 32, 32), 256), Config(width=8)).finished_shapes
    assert [math.prod(shape) for shape in parts] == [1536, 768, 384, 192, 192]
    assert len(RealNVP(SampleSpec((1, 7, 8), 256), SMALL).scales) == 1


@torch.no_grad()
def test_density_integrates_to_one_and_bounds_the_mass_of_a_cell() -> None:
    model = model_of(PAIR)
    # The support: the logit's margin is a share alpha / (1 - 2 alpha) of the cube on either side.
    margin = model.config.alpha / (1 - 2 * model.config.alpha)
    steps = (torch.arange(250, dtype=torch.float64) + 0.5) / 250
    edge = ((1 + 2 * margin) * steps - margin).float()
    whole = model.log_density(torch.cartesian_prod(edge, edge).reshape(-1, 1, 1, 2)).double().exp().mean()
    assert (whole * (1 + 2 * margin) ** 2).item() == pytest.approx(1, abs=0.01)

    states = every_state(2, 3)
    coarse = (torch.arange(60) + 0.5) / 60
    grid = torch.cartesian_prod(coarse, coarse)
    cells = [model.log_density(((state + grid) / 3).reshape(-1, 1, 1, 2)).double().exp().mean() / 9 for state in states]
    exact = torch.stack(cells).log()
    x = states.reshape(-1, 1, 1, 2)
    torch.manual_seed(0)
    model.dequantization_samples = 1
    loose = model.log_prob(x.repeat(300, 1, 1, 1)).reshape(300, -1)
    assert loose.dtype == torch.float64
    assert (loose.mean(0) < exact).all()
    model.dequantization_samples = 400
    torch.testing.assert_close(model.log_prob(x), exact, atol=0.1, rtol=0)

    drawn = model.sample(10_000)
    # Middle cells: what falls beyond the cube goes to the outer ones.
    frequency, mass = (drawn == 1).all(-1).double().mean().item(), exact[4].exp().item()
    assert frequency == pytest.approx(mass, abs=4.5 * math.sqrt(mass / 10_000))


def test_the_density_of_an_item_does_not_depend_on_its_batch() -> None:
    model = model_of(SampleSpec((1, 8, 8), 17))
    y = torch.rand(6, 1, 8, 8)
    torch.testing.assert_close(model.log_density(y)[:2], model.log_density(y[:2]), atol=1e-3, rtol=0)


def test_temperature_shrinks_the_spread() -> None:
    model = model_of(SampleSpec((1, 8, 8), 256))
    spread = []
    for psi in (1.0, 0.5, 0.0):
        torch.manual_seed(0)
        spread.append(model.sample_truncated(300, psi=psi).float().std(0).mean().item())
    assert spread[0] > 1.3 * spread[1] > 0
    assert spread[2] == 0
    torch.manual_seed(0)
    full = model.sample_truncated(300, psi=1.0)
    torch.manual_seed(0)
    assert torch.equal(full, model.sample(300))
    assert full.dtype == torch.uint8


def test_digits_are_learnt() -> None:
    dataset = digits()
    torch.manual_seed(0)
    model = RealNVP(dataset.spec, SMALL)
    model.prepare(Setting("real-nvp", "digits", dataset, effort=Effort(dequantization_samples=3)))
    assert model.dequantization_samples == 3
    before = model.log_prob(dataset.heldout[:100]).mean()
    losses: list[float] = []
    model.fit(dataset, Budget(progress=lambda step, steps, figures: losses.append(figures["loss"])))
    assert len(losses) == 20
    # 20 nats are far above the noise of dequantization, and far below what whole training gains.
    assert model.log_prob(dataset.heldout[:100]).mean() > before + 20
    assert_invertible(model, dataset.heldout[:100])


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_larger_images_train_and_sample(shape: tuple[int, ...]) -> None:
    spec = SampleSpec(shape, 256)
    torch.manual_seed(0)
    x = (torch.rand(16, *shape) ** 3 * 255).to(torch.uint8)
    model = RealNVP(spec, Config(width=8, blocks=1, batch=8))
    losses: list[float] = []
    model.fit(Dataset("noise", spec, x, x), Budget(steps=6, progress=lambda *told: losses.append(told[2]["loss"])))
    assert losses[-1] < losses[0]
    assert_invertible(model, x)
    assert model.sample(2).shape == (2, *shape)
    assert RealNVP.recipe(spec).width >= RealNVP.recipe(SampleSpec((1, 8, 8), 17)).width


def test_only_levelled_images_are_taken() -> None:
    with pytest.raises(ModelError, match="images"):
        RealNVP(SampleSpec((30,), 3))
    with pytest.raises(ModelError, match="levelled"):
        RealNVP(SampleSpec((1, 8, 8), None))
    with pytest.raises(ValueError, match="alpha"):
        Config(alpha=0.5)

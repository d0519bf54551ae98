import math

import pytest
import raster_checks
import torch

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import ModelError
from genbench.likelihood import every_state
from genbench.seeding import scoped
from zoo.autoregressive.pixel_rnn import Config, DiagonalBiLSTM, DiagonalDirection, RowLayer, RowLSTM, skew, unskew
from zoo.autoregressive.raster import WholeImage

SMALL = Config(width=6, layers=2, kernel=3, steps=10, batch=8)
KINDS = pytest.mark.parametrize("kind", [RowLSTM, DiagonalBiLSTM])


def model(kind, shape, levels, config=SMALL):
    """A PixelRNN with random weights, strong enough for conditionals that are far from uniform."""
    with scoped(0, "test"):
        net = kind(SampleSpec(shape, levels), config)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(2.0).add_(0.3 * torch.randn_like(parameter))
    return net.eval()


def random_images(n, spec):
    return torch.randint(spec.levels, (n, *spec.shape), dtype=torch.uint8)


def logits_of(net, x):
    """The logits of all pixels by one full pass: (n, C, levels, H, W)."""
    return net.logits(torch.nn.functional.pad(x, (0, net.margin)), WholeImage())[..., : net.width]


def dependence(net, n=4):
    """How far the logits of each dimension move with each dimension of the image: (D, D), in the order of drawing."""
    with scoped(1, "test"):
        # Between the marks of the thermometer, whose slope is zero at the levels themselves.
        x = (0.9 * random_images(n, net.spec).float() + 0.05).requires_grad_()
        weights = torch.randn(net.levels)
    mixed = torch.einsum("nclhw,l->hwc", logits_of(net, x), weights).flatten()
    rows = [torch.autograd.grad(value, x, retain_graph=True)[0].abs().sum(0) for value in mixed]
    return torch.stack(rows).permute(0, 2, 3, 1).reshape(net.spec.size, -1)


@KINDS
@pytest.mark.parametrize(("shape", "levels"), [((1, 2, 3), 3), ((3, 1, 2), 2), ((2, 2, 2), 2)])
def test_masses_of_all_images_sum_to_one(kind, shape, levels):
    net = model(kind, shape, levels)
    log_prob = net.log_prob(every_state(math.prod(shape), levels).reshape(-1, *shape))
    assert log_prob.dtype == torch.float64
    assert log_prob.std() > 0.3
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-5)


@KINDS
@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 3, 2)])
def test_each_pixel_and_channel_depends_on_earlier_ones_only(kind, shape):
    net = model(kind, shape, 5)
    moved = dependence(net)
    assert (moved[torch.ones_like(moved).triu().bool()] == 0).all()
    # All but the first see what came just before: within a row the left neighbour, within a pixel the last channel.
    begins_row = torch.arange(1, net.spec.size) % (shape[0] * shape[2]) == 0
    assert (moved.diagonal(-1)[~begins_row] > 0).all()


def test_the_row_lstm_sees_a_triangle():
    """To the right every row up adds one column; to the left every layer and the first filter add one more."""
    moved = dependence(model(RowLSTM, (1, 5, 14), 5)).reshape(5, 14, 5, 14)
    row, column = 4, 8
    for above in range(1, 5):
        leftmost = column - above - SMALL.layers - 1
        depends = moved[row, column, row - above] > 0
        assert depends.nonzero().flatten().tolist() == list(range(leftmost, column + above + 1)), above


def test_the_diagonal_bilstm_sees_everything_before():
    """The corners too: the last pixel of the row before, which no pixel of its own row follows."""
    for shape in ((1, 4, 7), (3, 3, 3)):
        moved = dependence(model(DiagonalBiLSTM, shape, 5))
        assert torch.equal(moved > 0, torch.ones_like(moved).tril(-1).bool())


def test_skewing_makes_columns_of_diagonals():
    x = torch.arange(1.0, 25).reshape(1, 2, 3, 4)
    skewed = skew(x)
    assert skewed[0, 0].tolist() == [[1, 2, 3, 4, 0, 0], [0, 5, 6, 7, 8, 0], [0, 0, 9, 10, 11, 12]]
    assert torch.equal(unskew(skewed), x)
    tall = torch.randn(2, 3, 5, 1)
    assert torch.equal(unskew(skew(tall)), tall)


def naive_cell(gates, c, channels):
    """The equations of the paper, for a vector of gates (o, f, i, g within each channel's group) and the old c."""
    o, f, i, g = gates.reshape(channels, 4, -1).permute(1, 0, 2).flatten(1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


@torch.no_grad()
def test_layers_follow_the_equations_pixel_by_pixel():
    with scoped(2, "test"):
        x = torch.randn(1, 4, 3, 4)
        row, diagonal = RowLayer(2, 4, 6), DiagonalDirection(2, 4, 6)
    zero = torch.zeros(6)
    for layer, out in ((row, row(x, WholeImage())), (diagonal, diagonal(x))):
        gates, weight, h, c = layer.input_to_state(x)[0], layer.state_to_state.weight, {}, {}
        for i in range(3):
            for j in range(4):
                near = [(i - 1, j - 1), (i - 1, j), (i - 1, j + 1)] if layer is row else [(i - 1, j), (i, j - 1)]
                before = (i - 1, j) if layer is row else (i, j - 1)
                carried = sum(weight[:, :, k] @ h.get(place, zero) for k, place in enumerate(near))
                h[i, j], c[i, j] = naive_cell(gates[:, i, j] + carried, c.get(before, zero), 2)
                torch.testing.assert_close(out[0, :, i, j], h[i, j], atol=1e-5, rtol=0)


@KINDS
@pytest.mark.parametrize(("shape", "levels"), [((1, 6, 6), 17), ((3, 3, 4), 4), ((1, 3, 5), 2)])
def test_sampling_with_kept_states_equals_full_passes(kind, shape, levels, monkeypatch):
    net = model(kind, shape, levels)
    raster_checks.samples_equal_those_of_full_passes(net, lambda x: logits_of(net, x), monkeypatch)


@KINDS
@pytest.mark.parametrize(("shape", "levels", "psi"), [((1, 2, 2), 3, 1.0), ((3, 1, 1), 3, 1.0), ((1, 2, 2), 3, 0.5)])
def test_samples_have_the_frequencies_of_the_likelihood(kind, shape, levels, psi):
    net = model(kind, shape, levels)
    net.items_at_once = 10_000
    raster_checks.samples_have_the_frequencies_of_the_likelihood(net, lambda x: logits_of(net, x), 20_000, psi)


@KINDS
def test_truncation_sharpens_and_is_none_at_one(kind):
    raster_checks.truncation_sharpens_and_is_none_at_one(model(kind, (1, 4, 4), 3))


@KINDS
def test_training_remembers_across_the_image(kind):
    """Stripes of random columns: 4 bits for the first row, none for the copies far below it."""
    with scoped(6, "test"):
        spec = SampleSpec((1, 4, 4), 2)
        x = random_images(64, SampleSpec((1, 1, 4), 2)).expand(64, 1, 4, 4).contiguous()
        net = kind(spec, Config(width=8, layers=1, kernel=3, dropout=0.0, steps=90, batch=16, rate=2e-2))
        figures = net.fit(Dataset("stripes", spec, x, x), Budget())
    bits = -net.log_prob(x).mean().item() / math.log(2)
    assert 3.5 < bits < 5
    assert figures["loss"] < math.log(2) / 2


def test_what_it_cannot_model_is_refused():
    for kind, spec, message in (
        (RowLSTM, SampleSpec((1, 8, 8), None), "pixel-rnn-row models levelled"),
        (DiagonalBiLSTM, SampleSpec((30,), 3), "pixel-rnn-diagonal models images"),
    ):
        with pytest.raises(ModelError, match=message):
            kind(spec)
    for wrong in ({"kernel": 4}, {"width": 0}, {"dropout": 1.0}, {"steps": 0}, {"rate": 0.0}):
        with pytest.raises(ValueError, match="must be"):
            Config(**wrong)

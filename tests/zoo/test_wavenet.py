import math

import pytest
import torch
import torch.nn.functional as F

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import InputError, ModelError
from genbench.likelihood import every_state
from genbench.seeding import scoped
from zoo.sequence.wavenet import Config, Layer, OneStep, WaveNet, WholeSequence, describe

SMALL = {"channels": 6, "skip": 8, "blocks": 1, "steps": 10, "batch": 8}


def model(shape, levels, **config):
    """A WaveNet with random weights, strong enough for conditionals that are far from uniform."""
    with scoped(0, "test"):
        net = WaveNet(SampleSpec(shape, levels), Config(**{**SMALL, "largest": 4, **config}))
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(1.5).add_(0.3 * torch.randn_like(parameter))
    return net.eval()


def random_items(n, spec):
    return torch.randint(spec.levels, (n, *spec.shape), dtype=torch.uint8)


@pytest.mark.parametrize(("shape", "levels", "symbols"), [((5,), 3, False), ((7,), 2, True), ((2, 1, 2), 3, True)])
def test_masses_of_all_sequences_sum_to_one(shape, levels, symbols):
    net = model(shape, levels, symbols=symbols)
    log_prob = net.log_prob(every_state(math.prod(shape), levels).reshape(-1, *shape))
    assert log_prob.dtype == torch.float64
    assert log_prob.std() > 0.3
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("dilation", [1, 2, 5])
def test_a_layer_is_a_gated_dilated_convolution(dilation):
    with scoped(1, "test"):
        layer, x = Layer(3, 4, dilation, 0.0), torch.randn(2, 9, 3)
    with torch.no_grad():
        taps = torch.stack([layer.earlier.weight, layer.now.weight], 2)
        planes = F.conv1d(F.pad(x.mT, (dilation, 0)), taps, layer.now.bias, dilation=dilation).mT
        gated = torch.tanh(planes[..., :3]) * torch.sigmoid(planes[..., 3:])
        following, skip = layer(x, WholeSequence())
        torch.testing.assert_close(following, x + gated @ layer.residual.weight.T + layer.residual.bias)
        torch.testing.assert_close(skip, gated @ layer.skip.weight.T + layer.skip.bias)


@pytest.mark.parametrize(("largest", "blocks"), [(1, 1), (4, 1), (2, 3), (8, 2)])
def test_a_step_sees_exactly_the_receptive_field(largest, blocks):
    """Gradients of every step's logits by every embedded symbol: none from now or later, none from beyond the field."""
    net = model((1,), 5, largest=largest, blocks=blocks, symbols=True)
    field = net.receptive_field
    assert field == blocks * (2 * largest - 1) + 2
    length = field + 4
    embedded = net.embed(torch.randint(5, (6, length))).detach().requires_grad_()
    logits = net.logits(net.shift(embedded), WholeSequence())
    depends = torch.zeros(length, length, dtype=torch.bool)
    for step in range(length):
        (gradient,) = torch.autograd.grad(logits[:, step].square().sum(), embedded, retain_graph=True)
        depends[step] = (gradient != 0).any(2).any(0)
    back = torch.arange(length)[:, None] - torch.arange(length)
    assert torch.equal(depends, (back >= 1) & (back <= field))


@pytest.mark.parametrize(
    ("shape", "levels", "config"),
    [((40,), 256, {"largest": 8}), ((30,), 16, {"symbols": True, "blocks": 2}), ((3, 4, 5), 4, {})],
)
def test_cached_sampling_equals_full_passes(shape, levels, config, monkeypatch):
    net = model(shape, levels, **config)
    asked, draw = [], torch.multinomial

    def record(probabilities, count):
        asked.append(probabilities)
        return draw(probabilities, count)

    monkeypatch.setattr(torch, "multinomial", record)
    with scoped(2, "test"):
        cached = net.sample(5)
    conditionals = asked.copy()
    asked.clear()
    with scoped(2, "test"), torch.no_grad():
        naive = torch.zeros(5, net.spec.size, dtype=torch.uint8)
        for step in range(net.spec.size):
            logits = net.logits(net.shift(net.embed(naive)), WholeSequence())[:, step]
            naive[:, step] = record(logits.softmax(1), 1)[:, 0]
    tiny = torch.finfo(torch.float32).tiny
    log_cached, log_naive = (torch.stack(drawn).clamp(min=tiny).log() for drawn in (conditionals, asked))
    torch.testing.assert_close(log_cached, log_naive, atol=1e-5, rtol=1e-5)
    assert torch.equal(cached.flatten(1), naive)
    assert len(cached.unique(dim=0)) == 5


def test_the_cost_of_a_sample_grows_linearly(monkeypatch):
    """Each layer is evaluated at one position for each step, however long the sequence is and whatever came before."""
    positions, lengths = [], set()
    original = Layer.forward

    def counted(layer, x, view):
        positions.append(x.shape[1])
        output = original(layer, x, view)
        lengths.add((layer.dilation, len(view.queues[layer])))
        return output

    monkeypatch.setattr(Layer, "forward", counted)
    for length in (20, 40):
        net = model((length,), 3, largest=8)
        positions.clear()
        net.sample(2)
        assert sum(positions) == length * len(net.layers)
    assert lengths == {(1, 1), (2, 2), (4, 4), (8, 8)}, "a queue is as long as the dilation"


def test_a_queue_gives_back_what_went_in_a_dilation_ago():
    layer, view = Layer(1, 1, 3, 0.0), OneStep()
    given = []
    for view.step in range(8):
        given.append(view.before(layer, torch.full((1, 1, 1), view.step + 1.0)).item())
    assert given == [0, 0, 0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("psi", [1.0, 0.5])
def test_samples_have_the_frequencies_of_the_likelihood(psi):
    net, n = model((4,), 3), 20000
    states = every_state(4, 3)
    with scoped(3, "test"):
        drawn = net.sample_truncated(n, psi=psi)
    with torch.no_grad():
        tempered = (net.logits(net.shift(net.embed(states)), WholeSequence()) / psi).log_softmax(2)
    expected = tempered.gather(2, states.long().unsqueeze(2)).double().sum((1, 2)).exp()
    if psi == 1:
        torch.testing.assert_close(expected, net.log_prob(states).exp())
    counts = torch.bincount((drawn.long() * torch.tensor([27, 9, 3, 1])).sum(1), minlength=81)
    common = expected * n >= 5
    chi_squared = ((counts - n * expected)[common].square() / (n * expected)[common]).sum()
    freedom = int(common.sum())
    assert freedom > 5
    assert chi_squared < freedom + 4 * math.sqrt(2 * freedom)


def test_truncation_sharpens_and_is_none_at_one():
    net = model((20,), 3)
    with scoped(4, "test"):
        plain = net.sample(200)
    with scoped(4, "test"):
        untruncated = net.sample_truncated(200, psi=1.0)
    with scoped(4, "test"):
        sharp = net.sample_truncated(200, psi=0.3)
    assert torch.equal(plain, untruncated)
    assert net.log_prob(sharp).mean() > net.log_prob(plain).mean() + 1
    for psi in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="psi"):
            net.sample_truncated(2, psi=psi)


def test_large_inputs_are_split_into_parts():
    net = model((12,), 3)
    net.items_at_once, net.samples_at_once = 7, 5
    with scoped(5, "test"):
        x = random_items(17, net.spec)
        assert net.sample(12).shape == (12, 12)
    torch.testing.assert_close(net.log_prob(x), net.log_masses(x).detach().double().sum(1))
    assert not net.log_prob(x).requires_grad
    large = WaveNet(SampleSpec((3, 32, 32), 256), WaveNet.recipe(SampleSpec((3, 32, 32), 256)))
    assert large.receptive_field == 1024
    assert large.items_at_once * 320 * 3 * 32 * 32 <= 2**24


def test_only_a_far_enough_view_learns_an_echo():
    """Random bits that repeat after 6 steps: all but the first 6 are known to who looks 6 steps back."""
    spec = SampleSpec((18,), 2)
    with scoped(6, "test"):
        x = every_state(6).repeat(1, 3)
        bits = {}
        for largest in (2, 4):
            net = WaveNet(spec, Config(channels=12, skip=12, largest=largest, blocks=1, steps=80, batch=16, rate=2e-2))
            figures = net.fit(Dataset("echo", spec, x, x), Budget())
            bits[net.receptive_field] = -net.log_prob(x).mean().item() / math.log(2)
    assert bits[5] > 15
    assert 5.5 < bits[9] < 10
    assert figures["loss"] < 0.5 * math.log(2)


def test_heights_are_ordered_and_symbols_are_not():
    heights = describe(256, symbols=False)
    assert (heights.diff(dim=0) >= 0).all()
    assert (heights[:, :2].diff(dim=0) > 0).all()
    # Behind mu-law levels stand amplitudes: full scale at the ends, and the middle of the scale is soft.
    assert heights[[0, 255], 1].tolist() == pytest.approx([-1, 1])
    assert heights[192, 1] < 0.07
    assert torch.equal(describe(5, symbols=True), torch.eye(5))


def test_recipes_see_a_whole_item_where_they_can():
    for shape, levels, field in (((256,), 256, 256), ((24,), 16, 32), ((1, 8, 8), 17, 64), ((1024,), 256, 1024)):
        net = WaveNet(SampleSpec(shape, levels), WaveNet.recipe(SampleSpec(shape, levels)))
        assert net.receptive_field == field
        assert net.config.symbols == (levels <= 32)


def test_what_it_cannot_model_is_refused():
    with pytest.raises(ModelError, match="levelled"):
        WaveNet(SampleSpec((30,), None))
    net = model((6,), 3)
    for x, message in (
        (torch.zeros(2, 7, dtype=torch.uint8), "shape"),
        (torch.full((2, 6), 3, dtype=torch.uint8), "value 3"),
        (torch.zeros(2, 6), "uint8"),
    ):
        with pytest.raises(InputError, match=message):
            net.log_prob(x)
    for wrong in ({"largest": 3}, {"largest": 0}, {"channels": 0}, {"dropout": 1.0}, {"steps": 0}, {"rate": 0.0}):
        with pytest.raises(ValueError, match="must be"):
            Config(**wrong)

import dataclasses
import math

import pytest
import torch

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import InputError, ModelError
from genbench.likelihood import every_state
from genbench.seeding import scoped
from zoo.autoregressive.nade import NADE, Config, Scan

TINY = SampleSpec((1, 2, 3), 2)


def network(spec, hidden=5):
    """A NADE with random weights, strong enough for conditionals that are far from even."""
    with scoped(0, "test"):
        net = NADE(spec, Config(hidden=hidden))
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.copy_(1.5 * torch.randn(parameter.shape))
    return net.eval()


def random_images(n, spec):
    return torch.randint(2, (n, *spec.shape), dtype=torch.uint8)


@torch.no_grad()
def test_the_running_sum_equals_the_naive_definition():
    """h_d = sigmoid(c + W_(<d) x_(<d)), computed anew for every d."""
    net = network(SampleSpec((1, 3, 4), 2))
    with scoped(1, "test"):
        x = random_images(9, net.spec).flatten(1).double()
    w, c, v, b = (p.double() for p in (net.weight, net.hidden_bias, net.readout, net.visible_bias))
    naive = torch.stack([b[d] + (c + x[:, :d] @ w[:d]).sigmoid() @ v[d] for d in range(12)], 1)
    torch.testing.assert_close(net.logits(x).double(), naive, atol=1e-4, rtol=0)


def test_each_dimension_depends_on_earlier_ones_only_and_on_all_of_them():
    net = network(SampleSpec((2, 2, 2), 2))
    x = torch.rand(1, 2, 2, 2, requires_grad=True)
    rows = [torch.autograd.grad(value, x, retain_graph=True)[0].flatten() for value in net.logits(x)[0]]
    assert torch.equal(torch.stack(rows) != 0, torch.ones(8, 8).tril(-1).bool())


def test_masses_of_all_items_sum_to_one():
    log_prob = network(TINY).log_prob(every_state(6).reshape(-1, 1, 2, 3))
    assert log_prob.dtype == torch.float64
    assert log_prob.std() > 1
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_sampling_with_a_running_activation_equals_full_passes():
    net = network(SampleSpec((1, 4, 5), 2))
    with scoped(2, "test"):
        running = net.sample(40)
    with scoped(2, "test"), torch.no_grad():
        naive = torch.zeros(40, 20)
        for d in range(20):
            naive[:, d] = (torch.rand(40) < net.logits(naive)[:, d].sigmoid()).float()
    assert torch.equal(running.flatten(1), naive.to(torch.uint8))
    assert len(running.unique(dim=0)) > 20


def test_samples_have_the_frequencies_of_the_likelihood():
    net, n = network(TINY), 20000
    with scoped(3, "test"):
        x = net.sample(n)
    assert x.dtype == torch.uint8
    assert x.shape == (n, 1, 2, 3)
    expected = n * net.log_prob(every_state(6).reshape(-1, 1, 2, 3)).exp()
    counts = torch.bincount((x.flatten(1).long() * 2 ** torch.arange(5, -1, -1)).sum(1), minlength=64)
    common = expected >= 5
    chi_squared = ((counts - expected).square() / expected)[common].sum()
    assert common.sum() > 10
    assert chi_squared < common.sum() + 4 * math.sqrt(2 * common.sum())


def test_training_learns_what_logistic_conditionals_cannot():
    """The last pixel is the exclusive or of the first two: one bit less, and only for a hidden layer."""
    with scoped(4, "test"):
        spec = SampleSpec((3,), 2)
        pair = torch.randint(2, (200, 2), dtype=torch.uint8)
        x = torch.cat([pair, pair[:, :1] ^ pair[:, 1:]], 1)
        net = NADE(spec, Config(hidden=8, decay=0.0, steps=400, batch=50, rate=0.05))
        figures = net.fit(Dataset("xor", spec, x, x), Budget())
    assert -net.log_prob(x).mean().item() / math.log(2) == pytest.approx(2, abs=0.15)
    assert figures["loss"] == pytest.approx(2 * math.log(2), abs=0.15)


def test_an_item_does_not_depend_on_its_batch_and_large_inputs_are_split():
    net = network(TINY)
    net.items_at_once = 7
    with scoped(5, "test"):
        x = random_images(30, TINY)
        assert net.sample(20).shape == (20, 1, 2, 3)
    torch.testing.assert_close(net.log_prob(x), torch.cat([net.log_prob(part) for part in x.split(1)]))
    assert not net.log_prob(x).requires_grad


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 64, 64)])
def test_hidden_layers_of_all_dimensions_fit_into_memory(shape):
    spec = SampleSpec(shape, 2)
    recipe = NADE.recipe(spec)
    numbers = spec.size * recipe.hidden
    assert recipe.batch == 1 or recipe.batch * numbers <= 2**26
    items_at_once = NADE(spec, dataclasses.replace(recipe)).items_at_once
    assert items_at_once == 1 or items_at_once * numbers <= 2**26


def test_what_it_cannot_model_is_refused():
    with pytest.raises(ModelError, match="nade models data of two levels, not of 17"):
        NADE(SampleSpec((1, 8, 8), 17))
    with pytest.raises(ModelError, match="levelled"):
        NADE(SampleSpec((1, 8, 8), None))
    with pytest.raises(InputError, match="levels"):
        network(TINY).log_prob(torch.full((2, 1, 2, 3), 2, dtype=torch.uint8))
    for wrong in ({"hidden": 0}, {"decay": -1.0}, {"steps": 0}, {"rate": 0.0}):
        with pytest.raises(ValueError, match="must be"):
            Config(**wrong)


def test_the_scans_own_backward_is_the_gradient():
    net = NADE(SampleSpec((1, 2, 3), 2), Config(hidden=5)).double()
    x = (torch.rand(7, 6) < 0.5).double()
    parameters = (net.weight, net.hidden_bias, net.readout)
    assert torch.autograd.gradcheck(lambda w, c, v: Scan.apply(x, w, c, v), parameters)

import math

import pytest
import torch

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import InputError, ModelError
from genbench.likelihood import every_state
from genbench.seeding import scoped
from zoo.autoregressive.fvbn import FVBN, Config

TINY = SampleSpec((1, 2, 3), 2)


def network(spec, config=None):
    """An FVBN with random weights, above the diagonal too."""
    with scoped(0, "test"):
        net = FVBN(spec, config)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.copy_(1.5 * torch.randn(parameter.shape))
    return net


def random_images(n, spec):
    return torch.randint(2, (n, *spec.shape), dtype=torch.uint8)


@torch.no_grad()
def test_masses_are_the_products_of_neals_logistic_conditionals():
    net, x = network(TINY), every_state(6)
    expected = torch.zeros(64, dtype=torch.float64)
    for k, state in enumerate(x.double()):
        for d in range(6):
            odds = net.bias[d].double() + sum(net.weight[d, e].double() * state[e] for e in range(d))
            p = odds.sigmoid()
            expected[k] += (p if state[d] else 1 - p).log()
    log_prob = net.log_prob(x.reshape(-1, 1, 2, 3))
    assert log_prob.dtype == torch.float64
    torch.testing.assert_close(log_prob, expected, atol=1e-5, rtol=0)
    assert log_prob.std() > 1
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_each_dimension_depends_on_earlier_ones_only():
    net = network(SampleSpec((2, 2, 2), 2))
    x = torch.rand(1, 2, 2, 2, requires_grad=True)
    rows = [torch.autograd.grad(value, x, retain_graph=True)[0].flatten() for value in net.logits(x)[0]]
    assert torch.equal(torch.stack(rows) != 0, torch.ones(8, 8).tril(-1).bool())


def test_samples_have_the_frequencies_of_the_likelihood():
    net, n = network(TINY), 20000
    with scoped(1, "test"):
        x = net.sample(n)
    assert x.dtype == torch.uint8
    assert x.shape == (n, 1, 2, 3)
    expected = n * net.log_prob(every_state(6).reshape(-1, 1, 2, 3)).exp()
    counts = torch.bincount((x.flatten(1).long() * 2 ** torch.arange(5, -1, -1)).sum(1), minlength=64)
    common = expected >= 5
    chi_squared = ((counts - expected).square() / expected)[common].sum()
    assert common.sum() > 10
    assert chi_squared < common.sum() + 4 * math.sqrt(2 * common.sum())


def test_training_finds_the_one_optimum_of_the_penalised_likelihood():
    with scoped(2, "test"):
        spec = SampleSpec((1, 3, 3), 2)
        x = network(spec).sample(60)
        net = FVBN(spec, Config(decay=1.0, steps=200, batch=60, rate=0.1))
        net.fit(Dataset("drawn", spec, x, x), Budget())
    at_optimum = net.loss(x, 60)
    at_optimum.backward()
    assert net.weight.grad.abs().max() < 1e-3
    assert net.bias.grad.abs().max() < 1e-3
    with torch.no_grad():
        net.weight.add_(0.1)
        assert net.loss(x, 60) > at_optimum
    # At the optimum of the whole split's likelihood, the penalty is that of one Gaussian prior, not of one per item.
    net.zero_grad()
    with torch.no_grad():
        net.weight.sub_(0.1)
    (-net.log_masses(x).sum()).backward()
    torch.testing.assert_close(-net.weight.grad, net.strict.detach(), atol=0.1, rtol=0)


def test_training_starts_where_pixels_are_independent():
    with scoped(3, "test"):
        x = (torch.rand(200, 1, 2, 3) < 0.3).to(torch.uint8)
        net = network(TINY)
        net.start_at_base_rates(x)
    p = net.logits(x).sigmoid()
    assert (p == p[0]).all()
    torch.testing.assert_close(p[0], x.flatten(1).float().mean(0), atol=5e-3, rtol=0)


def test_an_item_does_not_depend_on_its_batch_and_large_inputs_are_split():
    net = network(TINY)
    net.items_at_once = 7
    with scoped(4, "test"):
        x = random_images(30, TINY)
        assert net.sample(20).shape == (20, 1, 2, 3)
    torch.testing.assert_close(net.log_prob(x), torch.cat([net.log_prob(part) for part in x.split(1)]))


def test_what_it_cannot_model_is_refused():
    with pytest.raises(ModelError, match="fvbn models data of two levels, not of 17"):
        FVBN(SampleSpec((1, 8, 8), 17))
    with pytest.raises(ModelError, match="levelled"):
        FVBN(SampleSpec((1, 8, 8), None))
    with pytest.raises(InputError, match="shape"):
        network(TINY).log_prob(torch.zeros(2, 1, 3, 2, dtype=torch.uint8))
    for wrong in ({"decay": -1.0}, {"steps": 0}, {"batch": 0}, {"rate": 0.0}):
        with pytest.raises(ValueError, match="must be"):
            Config(**wrong)

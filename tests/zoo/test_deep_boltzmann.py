import math

import pytest
import torch
from scipy import stats

from genbench.contracts import Budget, Dataset, Effort, SampleSpec, Setting
from genbench.errors import ModelError
from genbench.likelihood import every_state
from genbench.seeding import scoped
from zoo.energy.deep_boltzmann import Config, DeepBoltzmann, Layer

TINY = SampleSpec((1, 2, 3), 2)
V = every_state(6)
ITEMS = V.reshape(-1, 1, 2, 3)
H1, H2 = every_state(4), every_state(3)


@pytest.fixture
def tiny():
    """A machine with random weights in every part: 6 pixels, 4 and 3 hidden units."""
    return machine(hidden=4, top=3)


def machine(**config):
    with scoped(0, "test"), torch.no_grad():
        model = DeepBoltzmann(TINY, Config(**config))
        for tensor in (*model.parameters(), model.base):
            tensor.copy_(torch.randn(tensor.shape))
    return model


@torch.no_grad()
def negative_energies(model, beta=1.0):
    """-E of all states, from the definition, blended with the base: float64 (64, 16, 8)."""
    v, h1, h2 = V.double(), H1.double(), H2.double()
    pairs = (v @ model.weight.double() @ h1.T)[:, :, None] + (h1 @ model.top_weight.double() @ h2.T)[None]
    biases = (h1 @ model.hidden_bias.double())[None, :, None] + (h2 @ model.top_bias.double())[None, None]
    pixels = v @ (beta * model.visible_bias + (1 - beta) * model.base).double()
    return beta * (pairs + biases) + pixels[:, None, None]


def exact_log_prob(model):
    joint = negative_energies(model)
    return joint.flatten(1).logsumexp(1) - joint.flatten().logsumexp(0)


@torch.no_grad()
def test_chains_of_the_first_layer_sum_the_others_out(tiny):
    for beta in (0.0, 0.3, 1.0):
        summed = negative_energies(tiny, beta).logsumexp((0, 2))
        torch.testing.assert_close(
            tiny.log_unnormalised(tiny.chains_at(H1.float()), beta).double(), summed, atol=1e-4, rtol=0
        )
    assert tiny.base_log_z() == pytest.approx(negative_energies(tiny, 0.0).flatten().logsumexp(0).item(), abs=1e-6)
    assert tiny.log_z().value == pytest.approx(negative_energies(tiny).flatten().logsumexp(0).item(), abs=1e-9)


@torch.no_grad()
def test_the_first_layer_listens_to_both_its_neighbours(tiny):
    posterior = negative_energies(tiny).softmax(1)
    on = torch.einsum("vhu,hj->vuj", posterior, H1.double())
    v, h2 = V.repeat_interleave(8, 0).float(), H2.repeat(64, 1).float()
    odds = tiny.hidden_input(v, h2)
    torch.testing.assert_close(odds.sigmoid().double().reshape(64, 8, 4), on, atol=1e-5, rtol=0)


@torch.no_grad()
def test_mean_field_climbs_the_variational_bound(tiny):
    v = V.float()
    bounds = [tiny.variational_bound(v, *tiny.mean_field(v, n)) for n in range(1, 8)]
    rises = torch.stack([after - before for before, after in zip(bounds[:-1], bounds[1:], strict=True)])
    assert (rises > -1e-5).all()
    assert rises[0].max() > 0.01
    gap = exact_log_prob(tiny) - (bounds[-1].double() - tiny.log_z().value)
    assert (gap > -1e-5).all()
    assert gap.max() > 0.01


@torch.no_grad()
def test_the_variational_bound_is_the_expectation_under_the_factorial_distribution(tiny):
    v = V[[5, 40]].float()
    mean1, mean2 = tiny.mean_field(v, 2)
    q1 = torch.where(H1.bool()[None], mean1[:, None], 1 - mean1[:, None]).prod(2).double()
    q2 = torch.where(H2.bool()[None], mean2[:, None], 1 - mean2[:, None]).prod(2).double()
    q = q1[:, :, None] * q2[:, None]
    expected = (q * (negative_energies(tiny)[[5, 40]] - q.log())).sum((1, 2))
    torch.testing.assert_close(tiny.variational_bound(v, mean1, mean2).double(), expected, atol=1e-4, rtol=0)


def test_log_prob_lies_between_the_variational_bound_and_the_exact_likelihood(tiny):
    exact, repeats = exact_log_prob(tiny), 100
    assert tiny.log_prob_kind == "lower_bound"
    assert tiny.log_prob_interval is None
    v = V.float()
    variational = tiny.variational_bound(v, *tiny.mean_field(v)).detach().double() - tiny.log_z().value
    means = []
    for k in (1, 8, 200):
        tiny.effort = Effort(importance_samples=k)
        with scoped(1, "test"):
            values = tiny.log_prob(ITEMS.repeat(repeats, 1, 1, 1)).reshape(repeats, -1)
        error = 4 * values.std(0) / math.sqrt(repeats) + 1e-5
        assert (values.mean(0) > variational - error).all()
        assert (values.mean(0) < exact + error).all()
        means.append(values.mean().item())
    assert variational.mean() < means[0] < means[1] < means[2]
    assert means[2] == pytest.approx(exact.mean().item(), abs=0.02)


@pytest.mark.parametrize("beta", [0.4, 1.0])
def test_gibbs_steps_leave_the_distribution_as_it_is(tiny, beta):
    n, p = 40_000, negative_energies(tiny, beta).logsumexp((0, 2)).softmax(0)
    with scoped(2, "test"):
        before = H1[torch.multinomial(p, n, replacement=True)].float()
        after = tiny.step(tiny.chains_at(before), beta).h1
    assert (before != after).any(1).float().mean() > 0.2
    assert frequent(after, n * p)


def test_samples_have_the_frequencies_of_the_likelihood():
    model = machine(hidden=4, top=3, gibbs_steps=60)
    with scoped(3, "test"):
        x = model.sample(20_000)
    assert x.dtype == torch.uint8
    assert frequent(x.flatten(1), 20_000 * exact_log_prob(model).exp())


def frequent(states, expected):
    """Whether binary states (n, units) come with the expected counts, by a chi-squared test."""
    units = states.shape[1]
    counts = torch.bincount((states.long() * 2 ** torch.arange(units - 1, -1, -1)).sum(1), minlength=2**units)
    common = expected >= 5
    statistic = ((counts - expected).square() / expected)[common].sum()
    return statistic < stats.chi2.ppf(1 - 1e-5, int(common.sum()))


def stripes(rows, columns, n):
    line = torch.randint(2, (n, 1, 1, columns), dtype=torch.uint8)
    x = line.expand(n, 1, rows, columns).contiguous()
    return Dataset("stripes", SampleSpec((1, rows, columns), 2), x, x)


def test_it_learns_and_annealing_encloses_its_exact_log_z():
    """Independent pixels cost 6 bits for each image of 2 x 3 stripes, of which 3 are needed."""
    with scoped(4, "test"):
        data = stripes(2, 3, 200)
        model = DeepBoltzmann(data.spec, Config(hidden=8, top=3, k=1, decay=0.01, steps=400, rate=0.03, gibbs_steps=60))
        model.fit(data, Budget())
    model.effort = Effort(importance_samples=100)
    bits = -model.log_prob(data.train).mean().item() / math.log(2)
    assert 2.9 < bits < 4.5
    exact = model.log_z().value
    with scoped(5, "test"):
        fine = model.annealed_log_z(200, 200), model.reverse_log_z(200, 200)
        short = [(model.annealed_log_z(2, 1), model.reverse_log_z(2, 1)) for _ in range(60)]
    for estimate in fine:
        assert estimate.stderr < 0.2
        assert abs(estimate - exact) < 4 * estimate.stderr
    below, above = torch.tensor(short).mean(0) - exact
    assert below < -0.2
    assert above > 0.2
    assert (model.reconstruct(data.train) == data.train).float().mean() > 0.95


def test_the_effort_and_the_interval_of_a_machine_too_large_to_sum():
    data = stripes(2, 3, 30)
    model = DeepBoltzmann(data.spec, Config(hidden=21, top=4))
    model.prepare(Setting("dbm", "stripes", data, effort=Effort(ais_chains=9, ais_temperatures=3)))
    assert model.log_prob_kind == "estimate"
    low, high = model.log_prob_interval
    assert low < 0 < high
    sandwich = model.sandwich()
    assert low <= sandwich.forward - sandwich.reverse - 3 * sandwich.reverse.stderr + 1e-9
    assert high >= 3 * model.log_prob_error - 1e-9


def test_what_it_cannot_model_is_refused():
    with pytest.raises(ModelError, match="dbm models data of two levels, not of 17"):
        DeepBoltzmann(SampleSpec((1, 8, 8), 17))
    for wrong in ({"hidden": 0}, {"top": 0}, {"iterations": 0}, {"rate": 0.0}, {"decay": -1.0}):
        with pytest.raises(ValueError, match="must be"):
            Config(**wrong)


def test_a_layers_free_energy_sums_over_the_copies():
    """Against the energies of all states of both copies, for a layer doubled below and one doubled above."""
    states = every_state(2).float()
    for copies in ((2, 1), (1, 2)):
        layer = Layer(2, 2, copies)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.normal_()
        v = torch.tensor([[1.0, 0.0]])
        total = copies[0] * v
        inner = states @ layer.above_bias + (total @ layer.weight) @ states.T
        expected = -(total @ layer.below_bias + copies[1] * inner.logsumexp(1))
        assert torch.allclose(layer.free_energy(total), expected, atol=1e-5)
        assert layer.step(total.expand(50, -1)).max() <= copies[0]


def test_pretraining_leaves_both_layers_at_work():
    data = stripes(3, 3, 300)
    model = DeepBoltzmann(data.spec, Config(hidden=6, top=4, k=1, decay=0.0, steps=1, pretraining=300, rate=1e-6))
    model.pretrain(data.train, Budget())
    assert model.weight.abs().max() > 0.5
    assert model.top_weight.abs().max() > 0.05

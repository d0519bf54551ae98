import pytest
import torch
from scipy import stats

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import ModelError
from genbench.likelihood import every_state
from genbench.seeding import scoped
from zoo.energy import boltzmann_machine
from zoo.energy.boltzmann_machine import BoltzmannMachine, Config

TINY = SampleSpec((1, 2, 3), 2)
STATES = every_state(6)
PLACES = 2 ** torch.arange(5, -1, -1)


@pytest.fixture
def tiny(monkeypatch):
    """A machine with random couplings whose six units are updated in groups of 4 and 2."""
    monkeypatch.setattr(boltzmann_machine, "UNITS_AT_ONCE", 4)
    return machine(TINY)


def machine(spec, **config):
    with scoped(0, "test"), torch.no_grad():
        model = BoltzmannMachine(spec, Config(**config))
        for tensor in (model.weight, model.bias, model.base):
            tensor.copy_(torch.randn(tensor.shape))
    return model


def masses(model, beta=1.0):
    return model.log_unnormalised(STATES.float(), beta).detach().double().softmax(0)


def counts(states):
    return torch.bincount((states.long() * PLACES).sum(1), minlength=64).double()


def frequent(observed, expected):
    """Whether counts are those of their expectation, by a chi-squared test."""
    statistic = ((observed - expected).square() / expected)[expected >= 5].sum()
    return statistic < stats.chi2.ppf(1 - 1e-5, int((expected >= 5).sum()))


def test_each_pair_of_units_counts_twice_and_no_unit_meets_itself(tiny):
    x = torch.tensor([[1.0, 0, 1, 1, 0, 0]])
    w = tiny.couplings
    assert torch.equal(w, w.T)
    assert torch.equal(w.diagonal(), torch.zeros(6))
    pairs = 2 * (w[0, 2] + w[0, 3] + w[2, 3]) + tiny.bias[[0, 2, 3]].sum()
    torch.testing.assert_close(tiny.energy(x)[0], -pairs)
    on = torch.tensor([[1.0, 1, 1, 1, 0, 0]])
    torch.testing.assert_close((tiny.energy(x) - tiny.energy(on))[0], tiny.bias[1] + 2 * (w[1] @ x[0]))


def test_masses_of_all_states_sum_to_one(tiny):
    log_prob = tiny.log_prob(STATES.reshape(-1, 1, 2, 3))
    assert tiny.log_prob_kind == "exact"
    assert tiny.log_prob_interval is None
    assert log_prob.dtype == torch.float64
    assert log_prob.std() > 1
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_the_path_begins_at_the_base_distribution(tiny):
    torch.testing.assert_close(tiny.log_unnormalised(STATES.float(), 0.0), STATES.float() @ tiny.base)
    assert (STATES.double() @ tiny.base.double()).logsumexp(0).item() == pytest.approx(tiny.base_log_z(), abs=1e-9)


@pytest.mark.parametrize("beta", [0.4, 1.0])
@pytest.mark.parametrize("back", [False, True])
def test_sweeps_leave_the_distribution_as_it_is(tiny, beta, back):
    n, p = 40_000, masses(tiny, beta)
    with scoped(1, "test"):
        before = STATES[torch.multinomial(p, n, replacement=True)].float()
        after = tiny.step_back(before, beta) if back else tiny.step(before, beta)
    assert (before != after).any(1).float().mean() > 0.3
    assert frequent(counts(after), n * p)


def test_a_sweep_updates_each_unit_given_all_others(tiny):
    """In order: the first unit sees the old state, the last one sees the new."""
    x = torch.tensor([[1.0, 0, 1, 0, 1, 1]]).repeat(40_000, 1)
    odds = tiny.bias + 2 * x[0] @ tiny.couplings
    with scoped(2, "test"):
        forth, back = tiny.step(x, 1.0), tiny.step_back(x, 1.0)
    assert forth[:, 0].mean().item() == pytest.approx(odds[0].sigmoid().item(), abs=0.012)
    assert back[:, -1].mean().item() == pytest.approx(odds[-1].sigmoid().item(), abs=0.012)
    given = forth.clone()
    given[:, -1] = 0
    expected = (tiny.bias[-1] + 2 * given @ tiny.couplings[-1]).sigmoid().mean().item()
    assert forth[:, -1].mean().item() == pytest.approx(expected, abs=0.012)


def test_the_backward_sweep_is_the_reversal_of_the_forward_one():
    """p(x) K(x -> y) = p(y) K'(y -> x): pairs drawn either way are equally frequent."""
    spec = SampleSpec((3,), 2)
    model = machine(spec)
    states, places, n = every_state(3).float(), 2 ** torch.arange(3), 100_000
    p = (-model.energy(states)).detach().softmax(0)

    def pairs(moved_from_first, move):
        start = states[torch.multinomial(p, n, replacement=True)]
        first, second = (start, move(start, 1.0)) if moved_from_first else (move(start, 1.0), start)
        codes = (first @ places.float()) * 8 + second @ places.float()
        return torch.bincount(codes.long(), minlength=64).double()

    def agree(a, b):
        common = a + b >= 20
        statistic = ((a - b).square() / (a + b))[common].sum()
        return statistic < stats.chi2.ppf(1 - 1e-5, int(common.sum()))

    with scoped(3, "test"):
        forth = pairs(True, model.step)
        assert agree(forth, pairs(False, model.step_back))
        assert not agree(forth, pairs(False, model.step))


def stripes(rows, columns, n):
    line = torch.randint(2, (n, 1, 1, columns), dtype=torch.uint8)
    x = line.expand(n, 1, rows, columns).contiguous()
    return Dataset("stripes", SampleSpec((1, rows, columns), 2), x, x)


@pytest.mark.parametrize(("limit", "tolerance"), [(16, 0.005), (4, 0.05)])
def test_at_the_maximum_of_the_likelihood_the_correlations_are_those_of_the_data(monkeypatch, limit, tolerance):
    """By the exact gradient, and by persistent chains once the machine counts as too large for it."""
    monkeypatch.setattr(boltzmann_machine, "ENUMERABLE", limit)
    with scoped(4, "test"):
        x = STATES[torch.multinomial(masses(machine(TINY), 0.7), 400, replacement=True)]
        data = Dataset("tiny", TINY, x.reshape(-1, 1, 2, 3), x.reshape(-1, 1, 2, 3))
        model = BoltzmannMachine(TINY, Config(decay=0.0, batch=400, steps=400, rate=0.05))
        figures = model.fit(data, Budget())
    learnt = masses(model)
    expected = (x.double().T @ x.double()) / len(x)
    correlations = STATES.double().T @ (learnt[:, None] * STATES.double())
    torch.testing.assert_close(correlations, expected, atol=tolerance, rtol=0)
    if limit == 16:
        assert figures["nll"] == pytest.approx(-model.log_prob(data.train).mean().item(), abs=0.01)


def test_annealing_encloses_the_exact_log_z():
    with scoped(5, "test"):
        data = stripes(3, 4, 200)
        model = BoltzmannMachine(data.spec, Config(batch=50, steps=150, rate=0.05, gibbs_steps=60))
        model.fit(data, Budget())
    exact = model.enumerated_log_z()
    with scoped(6, "test"):
        fine = model.annealed_log_z(200, 200), model.reverse_log_z(200, 200)
        short = [(model.annealed_log_z(2, 2), model.reverse_log_z(2, 2)) for _ in range(30)]
    for estimate in fine:
        assert estimate.stderr < 0.1
        assert abs(estimate - exact) < 4 * estimate.stderr
    below, above = torch.tensor(short).mean(0) - exact
    assert below < -0.2
    assert above > 0.2


def test_samples_have_the_frequencies_of_the_likelihood():
    model = machine(TINY, gibbs_steps=40)
    with scoped(7, "test"):
        x = model.sample(20_000)
    assert x.dtype == torch.uint8
    assert frequent(counts(x.flatten(1)), 20_000 * masses(model))


def test_what_it_cannot_model_is_refused():
    with pytest.raises(ModelError, match="boltzmann-machine models data of two levels, not of 17"):
        BoltzmannMachine(SampleSpec((1, 8, 8), 17))
    for wrong in ({"sweeps": 0}, {"rate": 0.0}, {"decay": -1.0}, {"gibbs_steps": 0}):
        with pytest.raises(ValueError, match="must be"):
            Config(**wrong)

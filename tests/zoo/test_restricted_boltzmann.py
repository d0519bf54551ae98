import math
from dataclasses import replace

import pytest
import torch

from genbench.contracts import Budget, Dataset, Effort, SampleSpec, Setting
from genbench.errors import ModelError
from genbench.likelihood import every_state
from genbench.seeding import scoped
from zoo.energy.restricted_boltzmann import Config, ContrastiveDivergence, RestrictedBoltzmann, base_rates

TINY = SampleSpec((1, 2, 3), 2)


def machine(spec, hidden, scale=1.0, **config):
    """A machine with random couplings and biases, among them those of its base distribution."""
    with scoped(0, "test"):
        rbm = RestrictedBoltzmann(spec, Config(hidden=hidden, **config))
        with torch.no_grad():
            for tensor in (rbm.weight, rbm.visible_bias, rbm.hidden_bias, rbm.base):
                tensor.copy_(scale * torch.randn(tensor.shape))
    return rbm


def stripes(rows, columns, n):
    """Binary images of equal rows: a dataset whose entropy is `columns` bits."""
    line = torch.randint(2, (n, 1, 1, columns), dtype=torch.uint8)
    x = line.expand(n, 1, rows, columns).contiguous()
    return Dataset("stripes", SampleSpec((1, rows, columns), 2), x, x)


def energies(rbm, v, h):
    """E(v, h) of every pair: (len(v), len(h)), by its definition."""
    v, h = v.double(), h.double()
    return -v @ rbm.weight.double() @ h.T - (v @ rbm.visible_bias.double())[:, None] - h @ rbm.hidden_bias.double()


@torch.no_grad()
def test_free_energy_sums_over_the_hidden_states():
    rbm = machine(TINY, 4)
    v = every_state(6)
    summed = -(-energies(rbm, v, every_state(4))).logsumexp(1)
    torch.testing.assert_close(rbm.free_energy(v.float()).double(), summed, atol=1e-5, rtol=0)


@torch.no_grad()
def test_exact_log_z_and_masses_agree_with_the_sum_over_all_states():
    rbm = machine(TINY, 5)
    v = every_state(6)
    whole = (-energies(rbm, v, every_state(5))).flatten().logsumexp(0)
    assert rbm.log_prob_kind == "exact"
    assert rbm.log_z().value == pytest.approx(whole.item(), abs=1e-9)
    assert rbm.log_prob_error is None
    log_prob = rbm.log_prob(v.reshape(-1, 1, 2, 3))
    assert log_prob.dtype == torch.float64
    assert log_prob.std() > 1
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-5)


@torch.no_grad()
def test_the_path_runs_from_the_base_distribution_to_the_machine():
    rbm = machine(TINY, 3)
    v = every_state(6).float()
    torch.testing.assert_close(-rbm.free_energy(v, 0.0), v @ rbm.base + 3 * math.log(2))
    torch.testing.assert_close(rbm.free_energy(v, 1.0), rbm.free_energy(v))
    halfway = -rbm.free_energy(v, 0.5)
    joint = 0.5 * v @ rbm.base + 0.5 * v @ rbm.visible_bias
    hidden = every_state(3).float()
    expected = (0.5 * (v @ rbm.weight + rbm.hidden_bias) @ hidden.T).logsumexp(1) + joint
    torch.testing.assert_close(halfway, expected)


@pytest.fixture(scope="module")
def trained():
    """A machine of 12 hidden units after training on stripes: log Z is known, and its modes are far apart."""
    with scoped(1, "test"):
        data = stripes(4, 4, 200)
        rbm = RestrictedBoltzmann(data.spec, Config(hidden=12, k=1, steps=600, batch=50, rate=0.02))
        rbm.fit(data, Budget())
    return rbm


def test_annealing_finds_the_exact_log_z_of_a_trained_machine(trained):
    exact = trained.log_z().value
    with scoped(2, "test"):
        estimates = [trained.annealed_log_z(chains=100, temperatures=200) for _ in range(25)]
    scores = torch.tensor([(e.value - exact) / e.stderr for e in estimates])
    assert scores.abs().max() < 4
    assert 0.6 < scores.square().mean().sqrt() < 1.5
    assert max(e.stderr for e in estimates) < 0.2
    with scoped(3, "test"):
        fine = trained.annealed_log_z(chains=256, temperatures=1000)
    assert fine.value == pytest.approx(exact, abs=0.1)
    assert fine.stderr < 0.04
    assert abs(fine.value - exact) < 4 * fine.stderr


def test_the_two_ends_of_annealing_enclose_the_exact_log_z(trained):
    exact = trained.log_z().value
    with scoped(10, "test"):
        short = torch.tensor([(trained.annealed_log_z(4, 3), trained.reverse_log_z(4, 3)) for _ in range(10)]) - exact
        fine = torch.tensor([(trained.annealed_log_z(100, 300), trained.reverse_log_z(100, 300)) for _ in range(3)])
    assert short[:, 0].mean() < -0.5
    assert short[:, 1].mean() > 0.5
    assert (fine - exact).abs().max() < 0.2


def test_the_interval_reaches_from_the_forward_to_the_reverse_end():
    rbm = machine(TINY, 21)
    rbm.effort = Effort(ais_chains=30, ais_temperatures=4)
    state = torch.get_rng_state()
    low, high = rbm.log_prob_interval
    assert torch.equal(torch.get_rng_state(), state)
    sandwich = rbm.sandwich()
    assert sandwich.forward == rbm.log_z()
    assert sandwich.reverse > sandwich.forward
    assert low == pytest.approx(sandwich.forward - sandwich.reverse - 3 * sandwich.reverse.stderr)
    assert high == pytest.approx(3 * sandwich.forward.stderr)
    assert machine(TINY, 4).log_prob_interval is None


@pytest.mark.parametrize("beta", [0.4, 1.0])
def test_gibbs_steps_leave_the_distribution_as_it_is(beta):
    rbm = machine(TINY, 4, scale=1.5)
    v = every_state(6).float()
    with torch.no_grad():
        p = (-rbm.free_energy(v, beta)).double().softmax(0)
    n = 40000
    with scoped(4, "test"):
        start = v[torch.multinomial(p, n, replacement=True)]
        after = rbm.gibbs(start, steps=1, beta=beta)
    assert (start != after).any(1).float().mean() > 0.05
    assert chi_squared_excess(after, n * p) < 4


@pytest.mark.parametrize("seed", [5, 6])
def test_samples_have_the_frequencies_of_the_likelihood(seed):
    rbm = machine(TINY, 4, gibbs_steps=60)
    n = 20000
    with scoped(seed, "test"):
        x = rbm.sample(n)
    assert x.dtype == torch.uint8
    assert x.shape == (n, 1, 2, 3)
    expected = n * rbm.log_prob(every_state(6).reshape(-1, 1, 2, 3)).exp()
    assert chi_squared_excess(x.flatten(1), expected) < 4


def chi_squared_excess(states, expected):
    """Standard deviations by which the chi-squared statistic of states (n, 6) exceeds its mean."""
    places = 2 ** torch.arange(5, -1, -1)
    counts = torch.bincount((states.long() * places).sum(1), minlength=64).double()
    common = expected >= 5
    assert common.sum() > 10
    chi_squared = ((counts - expected).square() / expected)[common].sum()
    return (chi_squared - common.sum()) / math.sqrt(2 * common.sum())


def test_contrastive_divergence_has_hintons_gradient():
    rbm = machine(SampleSpec((3,), 2), 2)
    v = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    negative = torch.tensor([[0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    rbm.divergence(v, negative).backward()
    with torch.no_grad():
        p = [torch.sigmoid(u @ rbm.weight + rbm.hidden_bias) for u in (v, negative)]
    statistics = [sum(torch.outer(u[k], q[k]) for k in range(2)) / 2 for u, q in zip((v, negative), p, strict=True)]
    torch.testing.assert_close(rbm.weight.grad, statistics[1] - statistics[0])
    torch.testing.assert_close(rbm.visible_bias.grad, negative.mean(0) - v.mean(0))
    torch.testing.assert_close(rbm.hidden_bias.grad, p[1].mean(0) - p[0].mean(0))


def test_after_many_steps_contrastive_divergence_has_the_gradient_of_the_likelihood():
    """And after one step it has not: the chains have not yet forgotten the data."""
    rbm = machine(SampleSpec((4,), 2), 3, scale=2.0)
    v, states, h = torch.tensor([[1.0, 0, 1, 1], [0, 1, 1, 0]]), every_state(4).float(), every_state(3).float()
    energy = -(states @ rbm.weight @ h.T) - (states @ rbm.visible_bias)[:, None] - h @ rbm.hidden_bias
    expected = torch.autograd.grad(rbm.free_energy(v).mean() + (-energy).flatten().logsumexp(0), rbm.weight)[0]
    gradients = {}
    for k in (1, 100):
        with scoped(11, "test"):
            ends = rbm.gibbs(v.repeat(20_000, 1), k)
        gradients[k] = torch.autograd.grad(rbm.divergence(v, ends), rbm.weight)[0]
    torch.testing.assert_close(gradients[100], expected, atol=0.02, rtol=0)
    assert (gradients[1] - expected).abs().max() > 0.05


def test_the_model_named_after_contrastive_divergence_restarts_its_chains_and_is_else_the_same():
    ours, theirs = ContrastiveDivergence.recipe(TINY), RestrictedBoltzmann.recipe(TINY)
    assert theirs.persistent
    assert not ours.persistent
    assert replace(ours, persistent=True) == theirs
    with pytest.raises(ModelError, match="rbm-cd models data of two levels"):
        ContrastiveDivergence(SampleSpec((1, 8, 8), 17))


@pytest.mark.parametrize("persistent", [True, False])
def test_both_kinds_of_contrastive_divergence_learn_the_dependence_of_pixels(persistent):
    """Independent pixels cost 9 bits for each image of 3 x 3 stripes, of which 3 are needed."""
    with scoped(7, "test"):
        data = stripes(3, 3, 200)
        rbm = RestrictedBoltzmann(data.spec, Config(hidden=8, k=1, persistent=persistent, steps=800, rate=0.02))
        rbm.fit(data, Budget(steps=1))
        before = -rbm.log_prob(data.train).mean().item() / math.log(2)
        rbm.fit(data, Budget())
        after = -rbm.log_prob(data.train).mean().item() / math.log(2)
    assert before == pytest.approx(9, abs=0.3)
    assert 2.9 < after < 4.5


def test_persistent_chains_go_on_where_they_were_and_others_start_at_the_data(monkeypatch):
    with scoped(8, "test"):
        data = stripes(2, 3, 30)
        for persistent in (True, False):
            starts, ends, original = [], [], RestrictedBoltzmann.gibbs

            def watch(rbm, v, *rest, starts=starts, ends=ends, original=original):
                starts.append(v)
                ends.append(original(rbm, v, *rest))
                return ends[-1]

            with monkeypatch.context() as patch:
                patch.setattr(RestrictedBoltzmann, "gibbs", watch)
                rbm = RestrictedBoltzmann(data.spec, Config(hidden=4, persistent=persistent, batch=30))
                rbm.fit(data, Budget(steps=4))
            goes_on = [torch.equal(end, start) for end, start in zip(ends[:-1], starts[1:], strict=True)]
            assert goes_on == [persistent] * 3
            rows_agree = [bool((start[:, :3] == start[:, 3:]).all()) for start in starts]
            assert all(rows_agree) is not persistent


def test_persistent_chains_start_from_the_machine_and_are_annealed_anew(monkeypatch):
    """Wherever training is taken up, its chains are draws of the machine as it stands."""
    asked, original = [], RestrictedBoltzmann.draws

    def draws(rbm, n):
        asked.append(n)
        return original(rbm, n)

    monkeypatch.setattr(RestrictedBoltzmann, "draws", draws)
    with scoped(8, "test"):
        data = stripes(2, 3, 30)
        for settings, expected in (
            ({"persistent": False, "renew": 3}, 0),
            ({}, 1),
            ({"renew": 3}, 1 + 10 // 3),
            ({"persistent": False, "polish": 10}, 1),
        ):
            rbm = RestrictedBoltzmann(data.spec, Config(hidden=4, batch=30, gibbs_steps=20, **settings))
            asked.clear()
            rbm.fit(data, Budget(steps=10))
            assert asked == [30] * expected


def test_estimated_log_z_is_computed_once_and_leaves_the_random_state_alone():
    rbm = machine(TINY, 21)
    rbm.effort = Effort(ais_chains=20, ais_temperatures=10)
    assert rbm.log_prob_kind == "estimate"
    state = torch.get_rng_state()
    first = rbm.log_z()
    assert torch.equal(torch.get_rng_state(), state)
    assert rbm.log_z() is first
    assert rbm.log_prob_error == first.stderr > 0
    torch.manual_seed(999)
    rbm.forget()
    assert rbm.log_z().value == first.value
    assert set(rbm.state_dict()) == {"weight", "visible_bias", "hidden_bias", "base"}


def test_preparation_takes_the_effort_and_training_forgets_log_z():
    data = stripes(2, 3, 30)
    rbm = machine(data.spec, 21)
    effort = Effort(ais_chains=7, ais_temperatures=3)
    rbm.prepare(Setting("rbm", "stripes", data, effort=effort))
    with scoped(0, "log-z"):
        expected = rbm.annealed_log_z(7, 3)
    assert rbm.log_z().value == expected.value
    rbm.fit(data, Budget(steps=3))
    assert rbm.log_z().value != expected.value


def test_reconstruction_repairs_what_training_has_taught(trained):
    with scoped(9, "test"):
        x = stripes(4, 4, 50).train
    broken = x.clone()
    broken[:, 0, 1, 2] = 1 - broken[:, 0, 1, 2]
    repaired = trained.reconstruct(broken)
    assert repaired.shape == x.shape
    assert (repaired == x).float().mean() > 0.97
    assert (repaired == x).float().mean() > (broken == x).float().mean()


def test_base_rates_are_smoothed_log_odds():
    x = torch.tensor([[0, 1, 1], [0, 1, 0], [0, 1, 0]], dtype=torch.uint8)
    torch.testing.assert_close(base_rates(x), torch.tensor([0.5 / 3.5, 3.5 / 0.5, 1.5 / 2.5]).log())


def test_what_it_cannot_model_is_refused():
    for levels in (3, 17, None):
        with pytest.raises(ModelError, match="level"):
            RestrictedBoltzmann(SampleSpec((1, 2, 2), levels))
    for wrong in ({"hidden": 0}, {"k": 0}, {"rate": 0.0}, {"decay": -1.0}, {"gibbs_steps": 0}):
        with pytest.raises(ValueError, match="must be"):
            Config(**wrong)

import math

import pytest
import torch
from scipy import stats

from genbench.contracts import Budget, Dataset, Effort, SampleSpec, Setting
from genbench.errors import ModelError
from genbench.likelihood import every_state
from genbench.seeding import scoped
from zoo.energy import deep_belief
from zoo.energy.deep_belief import Config, DeepBelief

TINY = SampleSpec((1, 2, 3), 2)
STATES = every_state(6)
ITEMS = STATES.reshape(-1, 1, 2, 3)


@pytest.fixture
def tiny():
    """A network with random weights in every part."""
    return network(hidden=4, top=3)


def network(**config):
    with scoped(0, "test"), torch.no_grad():
        model = DeepBelief(TINY, Config(**config))
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return model


@torch.no_grad()
def exact_log_prob(model):
    """log p(v) of all states by the sum over h1 and h2, from the definition: float64 (64,)."""
    h1, h2 = every_state(model.config.hidden).double(), every_state(model.config.top).double()
    top, first = model.top, model.first
    joint = h1 @ top.weight.double() @ h2.T + (h1 @ top.visible_bias.double())[:, None] + h2 @ top.hidden_bias.double()
    log_prior = joint.logsumexp(1) - joint.flatten().logsumexp(0)
    odds = first.visible_bias.double() + h1 @ first.weight.double().T
    v = STATES.double()[:, None]
    log_given = (v * odds.sigmoid().log() + (1 - v) * (-odds).sigmoid().log()).sum(2)
    return (log_given + log_prior).logsumexp(1)


def bound(model, samples, repeats, seed=0):
    """The bound of every state, `repeats` times: (repeats, 64)."""
    model.importance_samples = samples
    with scoped(seed, "test"):
        return model.log_prob(ITEMS.repeat(repeats, 1, 1, 1)).reshape(repeats, -1)


def test_the_bound_lies_below_the_exact_likelihood_and_rises_to_it(tiny):
    exact = exact_log_prob(tiny)
    assert exact.exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert tiny.log_prob_kind == "lower_bound"
    assert tiny.log_prob_interval is None
    values = {k: bound(tiny, k, 100) for k in (1, 8, 200)}
    assert values[1].dtype == torch.float64
    for bounds in values.values():
        assert (bounds.mean(0) < exact + 4 * bounds.std(0) / math.sqrt(len(bounds)) + 1e-6).all()
    means = [bounds.mean() for bounds in values.values()]
    assert means == sorted(means)
    assert means[0] < exact.mean() - 0.5
    assert means[2] == pytest.approx(exact.mean().item(), abs=0.2)


def test_one_draw_is_the_variational_bound(tiny):
    """E_q[log p(v|h1) + log p(h1)] + H(q), summed over h1."""
    with torch.no_grad():
        h1, v = every_state(4).float(), STATES.float()
        odds = tiny.first.hidden_bias + v @ tiny.first.weight
        log_q = (odds[:, None] * h1).sum(2) - torch.nn.functional.softplus(odds).sum(1)[:, None]
        given = tiny.first.visible_bias + h1 @ tiny.first.weight.T
        log_given = v @ given.T - torch.nn.functional.softplus(given).sum(1)
        log_prior = -tiny.top.free_energy(h1) - tiny.top.log_z().value
        expected = (log_q.exp() * (log_given + log_prior - log_q)).sum(1).double()
    values = bound(tiny, 1, 400)
    assert ((values.mean(0) - expected).abs() < 5 * values.std(0) / 20 + 1e-4).all()


def test_a_top_machine_turned_upside_down_starts_as_the_first_machine_itself():
    """Every importance weight is then p(v) of the first machine, so that the bound does not drop."""
    model = network(hidden=5, top=6)
    model.start_top()
    first = model.first.log_prob(ITEMS)
    values = bound(model, 1, 3)
    torch.testing.assert_close(values, first.expand(3, -1), atol=1e-4, rtol=0)
    assert model.top.log_z().value == pytest.approx(model.first.log_z().value, abs=1e-4)


def stripes(rows, columns, n):
    line = torch.randint(2, (n, 1, 1, columns), dtype=torch.uint8)
    x = line.expand(n, 1, rows, columns).contiguous()
    return Dataset("stripes", SampleSpec((1, rows, columns), 2), x, x)


def test_layers_are_trained_one_after_the_other_and_learn():
    """Independent pixels cost 6 bits for each image of 2 x 3 stripes, of which 3 are needed."""
    reports = []
    with scoped(1, "test"):
        data = stripes(2, 3, 200)
        model = DeepBelief(
            data.spec,
            Config(
                hidden=6,
                top=6,
                k=1,
                top_k=1,
                persistent=True,
                top_persistent=True,
                decay=0.01,
                top_decay=0.01,
                rate=0.05,
                top_rate=0.05,
            ),
        )

        def watch(step, steps, figures):
            first = model.first.weight.detach().clone()
            reports.append((step, steps, first, model.top.weight.detach().clone()))

        model.fit(data, Budget(steps=400, progress=watch))
    assert [(step, steps) for step, steps, *_ in reports] == [(step, 800) for step in range(1, 801)]
    assert torch.equal(reports[0][3], reports[399][3])
    assert not torch.equal(reports[400][3], reports[799][3])
    assert torch.equal(reports[400][2], reports[799][2])
    bits = -exact_log_prob(model)[(STATES[:, :3] == STATES[:, 3:]).all(1)].mean().item() / math.log(2)
    assert 2.9 < bits < 4.5


def test_each_layer_has_a_recipe_of_its_own():
    first, top = Config(k=25, rate=1e-2, top_k=5, top_persistent=True, top_renew=9, top_rate=1e-4).layers
    assert (first.k, first.persistent, first.renew, first.rate) == (25, False, 0, 1e-2)
    assert (top.k, top.persistent, top.renew, top.rate) == (5, True, 9, 1e-4)


def test_up_down_follows_the_delta_rules_of_its_paper(monkeypatch):
    """Each weight moves with the state before it times what the state after it is over what was predicted."""
    model = network(hidden=4, top=3, updown=1)
    v, h = STATES[3:6].float(), every_state(4)[5:8].float()
    dreamt, generated = every_state(4)[9:12].float(), STATES[20:23].float()
    monkeypatch.setattr(model, "infer", lambda x: h)
    monkeypatch.setattr(model.top, "gibbs", lambda start, steps: dreamt)
    monkeypatch.setattr(deep_belief, "coin", lambda p: generated)
    model.updown_loss(ITEMS[3:6]).backward()
    first, top = model.first, model.top
    rules = {
        first.weight: (v - first.visible_input(h).sigmoid()).T @ h,
        first.visible_bias: (v - first.visible_input(h).sigmoid()).sum(0),
        model.recognition.weight: (dreamt - model.recognition(generated).sigmoid()).T @ generated,
        model.recognition.bias: (dreamt - model.recognition(generated).sigmoid()).sum(0),
        top.weight: h.T @ top.hidden_input(h).sigmoid() - dreamt.T @ top.hidden_input(dreamt).sigmoid(),
        top.visible_bias: (h - dreamt).sum(0),
    }
    for parameter, ascent in rules.items():
        torch.testing.assert_close(-parameter.grad, ascent.detach() / 3)
    assert first.hidden_bias.grad is None


def test_up_down_is_trained_after_both_layers_from_where_they_stand():
    weights = []
    with scoped(3, "test"):
        data = stripes(2, 3, 100)
        model = DeepBelief(data.spec, Config(hidden=6, top=6, k=1, updown=1, updown_rate=0.01))

        def watch(step, steps, figures):
            weights.append((step, steps, model.recognition.weight.detach().clone()))

        figures = model.fit(data, Budget(steps=40, progress=watch))
    assert [(step, steps) for step, steps, _ in weights] == [(step, 120) for step in range(1, 121)]
    assert torch.equal(weights[40][2], weights[79][2])
    assert not torch.equal(weights[79][2], model.recognition.weight)
    assert not torch.equal(model.recognition.weight, model.first.weight.T), "two duties, two sets of weights"
    assert set(figures) == {"first_divergence", "top_divergence", "updown_loss"}


def test_samples_have_the_frequencies_of_the_likelihood():
    model = network(hidden=4, top=3, gibbs_steps=60)
    n = 20_000
    with scoped(2, "test"):
        x = model.sample(n)
    assert x.dtype == torch.uint8
    counts = torch.bincount((x.flatten(1).long() * 2 ** torch.arange(5, -1, -1)).sum(1), minlength=64)
    expected = n * exact_log_prob(model).exp()
    common = expected >= 5
    statistic = ((counts - expected).square() / expected)[common].sum()
    assert statistic < stats.chi2.ppf(1 - 1e-5, int(common.sum()))


def test_the_top_machine_takes_the_effort_and_gives_its_interval():
    data = stripes(2, 3, 30)
    model = DeepBelief(data.spec, Config(hidden=5, top=21))
    effort = Effort(importance_samples=7, ais_chains=9, ais_temperatures=3)
    model.prepare(Setting("dbn", "stripes", data, effort=effort))
    assert model.importance_samples == 7
    assert model.log_prob_kind == "estimate"
    assert model.log_prob_error == model.top.log_z().stderr
    low, high = model.log_prob_interval
    assert (low, high) == model.top.log_prob_interval
    assert low < 0 < high


def test_what_it_cannot_model_is_refused():
    with pytest.raises(ModelError, match="dbn models data of two levels, not of 17"):
        DeepBelief(SampleSpec((1, 8, 8), 17))
    for wrong in ({"hidden": 0}, {"top": 0}, {"rate": 0.0}, {"top_decay": -1.0}, {"updown": -1}):
        with pytest.raises(ValueError, match="must be"):
            Config(**wrong)

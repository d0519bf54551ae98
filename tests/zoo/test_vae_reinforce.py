import dataclasses
import json
import math
import re

import pytest
import torch

from genbench.contracts import Budget, Dataset, SampleSpec, capabilities
from genbench.errors import ModelError
from genbench.likelihood import every_state
from genbench.plugins import registry
from genbench.seeding import scoped
from zoo.checkpoints import SHIPPED
from zoo.vae.vae import VAE
from zoo.vae.vae_reinforce import Config, ReinforceVAE, leave_one_out, score_function, total_variance

TINY = SampleSpec((1, 2, 2), 2)
STATES = every_state(4).reshape(16, 1, 2, 2)
REPEATS = 20_000


def moments(gradient, repeats):
    """Mean and covariance's diagonal of a random gradient, over independent repeats: (P,) each."""
    drawn = torch.stack([torch.cat([part.flatten() for part in gradient()]).double() for _ in range(repeats)])
    return drawn.mean(0), drawn.var(0)


@pytest.mark.parametrize(
    ("draws", "baseline", "mean_variance"),
    [
        (1, lambda f: torch.zeros_like(f), 15.0),  # z^3
        (1, lambda f: torch.ones_like(f), 10.0),  # (z^2 - 1) z
        (2, leave_one_out, 6.0),  # (z1 - z2)^2 (z1 + z2) / 2
    ],
)
def test_moments_of_a_quadratics_gradient_are_the_known_ones(draws, baseline, mean_variance):
    """E z^2 = mean^2 + exp(2 log_std) has the gradient (0, 2) at N(0, 1), where the estimator of its first part is
    z^3 without a baseline, of variance 15; the reparametrised one is 2 z, of variance 4."""
    parameters = torch.zeros(REPEATS, requires_grad=True), torch.zeros(REPEATS, requires_grad=True)
    with scoped(0, "test"):
        z = torch.randn(draws, REPEATS)
    mean, log_std = parameters
    log_q = -0.5 * ((z - mean) / log_std.exp()) ** 2 - log_std
    f = z**2
    value = score_function(f, log_q, baseline(f)).mean(0)
    torch.testing.assert_close(value, f.mean(0))
    got = torch.autograd.grad(value.sum(), parameters)
    for estimates, truth in zip(got, (0.0, 2.0), strict=True):
        assert abs(estimates.mean() - truth) < 4 * estimates.std() / math.sqrt(REPEATS)
    assert got[0].var() == pytest.approx(mean_variance, rel=0.1)


def test_the_leave_one_out_baseline_is_the_mean_of_the_others():
    f = torch.tensor([[1.0, 10.0], [2.0, 20.0], [6.0, 60.0]])
    torch.testing.assert_close(leave_one_out(f), torch.tensor([[4.0, 40.0], [3.5, 35.0], [1.5, 15.0]]))


def test_total_variance_is_the_trace_of_the_covariance():
    with scoped(1, "test"):
        drawn = 1e4 + torch.randn(50, 6, dtype=torch.float64) * torch.arange(1, 7)
    parts = iter(drawn)
    got = total_variance(lambda: next(parts).split([4, 2]), 50)
    assert got == pytest.approx(drawn.T.cov().trace().item(), rel=1e-9)


@pytest.fixture(scope="module")
def tiny():
    """A VAE of one latent dimension after a short training by the score function, and four of its items."""
    with scoped(2, "test"):
        data = STATES[[0, 0, 0, 15, 15, 15, 3, 12, 5]].repeat(30, 1, 1, 1)
        config = Config(latent=1, hidden=8, features=2, dropout=0.0, steps=150, batch=90, rate=1e-2, probes=2)
        model = ReinforceVAE(TINY, config)
        figures = model.fit(Dataset("tiny", TINY, data, data), Budget())
    assert figures["loss"] < math.log(2)
    return model, STATES[[0, 3, 6, 15]]


def estimators(model, x):
    """The encoder's gradient of the mean ELBO by each estimator, with the draws of z that each takes."""
    parameters = list(model.encoder.parameters())
    elbos = {
        "reparametrised": (1, lambda: model.elbo(x)),
        "score_function": (1, lambda: model.score_function_elbo(x, 1, "none")),
        "score_function_running": (1, lambda: model.score_function_elbo(x, 1, "running")),
        "score_function_baseline": (4, lambda: model.score_function_elbo(x, 4, "leave-one-out")),
    }
    return {
        name: (draws, lambda elbo=elbo: torch.autograd.grad(elbo().mean(), parameters))
        for name, (draws, elbo) in elbos.items()
    }


def test_all_estimators_of_the_gradient_have_one_mean_and_baselines_lower_the_variance(tiny):
    model, x = tiny
    repeats = 400
    results = {}
    for name, (draws, gradient) in estimators(model, x).items():
        with scoped(3, "test", name):
            results[name] = draws, *moments(gradient, repeats)
    _, truth, variance = results["reparametrised"]
    assert truth.norm() > 0.05
    for name, (_, mean, spread) in results.items():
        # Many dependent components: the distance of two estimates against what chance leaves between them.
        assert (mean - truth).square().sum() < 4 * (spread.sum() + variance.sum()) / repeats, name
    trace = {name: draws * spread.sum().item() for name, (draws, _, spread) in results.items()}
    assert trace["score_function"] > 10 * trace["reparametrised"]
    assert trace["score_function_running"] < 0.7 * trace["score_function"]
    assert trace["score_function_baseline"] < 0.7 * trace["score_function"]


def test_the_decoder_learns_as_in_the_vae(tiny):
    model, x = tiny
    parameters = list(model.decoder.parameters())
    for name in ("none", "leave-one-out"):
        with scoped(4, "test"):
            got = torch.autograd.grad(model.score_function_elbo(x, 3, name).mean(), parameters)
        with scoped(4, "test"):
            mean, log_std = model.encode(x)
            z = mean + log_std.exp() * torch.randn(3, *mean.shape)
            repeated = x.repeat(3, 1, 1, 1)
            given = model.observation.log_prob(model.parameters_given(z.detach().flatten(0, 1)), repeated)
            expected = torch.autograd.grad(given.mean(), parameters)
        for a, b in zip(got, expected, strict=True):
            torch.testing.assert_close(a, b)


def test_its_value_is_the_bound_of_the_vae(tiny):
    model, x = tiny
    with torch.no_grad(), scoped(5, "test"):
        first = model.elbo(x.repeat(5000, 1, 1, 1)).reshape(5000, 4)
        other = model.score_function_elbo(x.repeat(5000, 1, 1, 1), 2, "leave-one-out").reshape(5000, 4)
    error = ((first.var(0) + other.var(0)) / 5000).sqrt()
    assert ((first.mean(0) - other.mean(0)).abs() < 4 * error).all()


def test_measured_variances_are_per_item_and_draw(tiny):
    model, x = tiny
    with scoped(6, "test"):
        figures = model.variances(x, 20)
    with scoped(6, "test"):
        for name, (draws, gradient) in estimators(model, x).items():
            # The gradient of the mean over independent items varies by that of one item, divided by their number.
            expected = moments(gradient, 20)[1].sum().item() * len(x) * draws
            assert figures.pop(f"variance_{name}") == pytest.approx(expected, rel=1e-4)
    assert not figures


def test_a_single_draw_is_compared_with_the_running_mean():
    with scoped(8, "test"):
        model = ReinforceVAE(TINY, Config(draws=1, hidden=8, probes=2))
        model.fit(Dataset("tiny", TINY, STATES, STATES), Budget(steps=100))
    with torch.no_grad():
        f = model.observation.log_prob(model.parameters_given(model.encode(STATES)[0]), STATES)
    assert model.running == pytest.approx(f.mean().item(), abs=1)
    assert "running" in model.state_dict()


def test_networks_and_likelihood_are_those_of_the_vae():
    for spec in (TINY, SampleSpec((1, 28, 28), 256)):
        ours, theirs = dataclasses.asdict(ReinforceVAE.recipe(spec)), dataclasses.asdict(VAE.recipe(spec))
        for field in ("latent", "hidden", "features"):
            assert ours[field] == theirs[field]
    model, vae = ReinforceVAE(TINY), VAE(TINY)
    vae.load_state_dict({name: value for name, value in model.state_dict().items() if name != "running"})
    values = []
    for each in (model, vae):
        with scoped(9, "test"):
            values.append(each.eval().log_prob(STATES))
    assert torch.equal(*values)
    assert capabilities(model) == ("log_prob", "truncation", "reconstruction", "latent", "training")


def test_the_card_states_the_recorded_ratio():
    figures = json.loads((SHIPPED / "digits" / "vae-reinforce.json").read_text())["figures"]
    summary = registry.models()["vae-reinforce"].summary
    plain, with_baseline = (float(number.replace(",", "")) for number in re.findall(r"\d[\d,.]*\d", summary))
    base = figures["variance_reparametrised"]
    assert plain == pytest.approx(figures["variance_score_function"] / base, rel=0.05)
    assert with_baseline == pytest.approx(figures["variance_score_function_baseline"] / base, rel=0.05)


def test_what_it_cannot_model_is_refused():
    with pytest.raises(ModelError, match="vae-reinforce models levelled data"):
        ReinforceVAE(SampleSpec((4,), None))
    for wrong in ({"draws": 0}, {"probes": 1}, {"latent": 0}):
        with pytest.raises(ValueError, match="must be"):
            Config(**wrong)

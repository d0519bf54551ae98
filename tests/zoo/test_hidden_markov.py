from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.data.strokes import strokes
from genbench.errors import InputError, ModelError
from genbench.likelihood import every_state
from zoo.sequence.hidden_markov import Config, HiddenMarkov, HiddenMarkovMixture

FREE = Config(states=3, iterations=10)
CHAINS = Config(states=2, chains=2, topology="left-to-right", iterations=10)


def symbols(n: int = 60, steps: int = 4, levels: int = 3) -> torch.Tensor:
    rows = torch.rand(n, steps, generator=torch.Generator().manual_seed(1)).cumsum(1)
    return (rows * levels).long().remainder(levels).to(torch.uint8)


def vectors(n: int = 60) -> torch.Tensor:
    noise = torch.randn(n, 4, 2, generator=torch.Generator().manual_seed(2))
    return noise.cumsum(1) * torch.tensor([1.0, 3.0]) + 5


def dataset(x: torch.Tensor, levels: int | None) -> Dataset:
    return Dataset("tiny", SampleSpec(tuple(x.shape[1:]), levels), x, x)


def fitted(x: torch.Tensor, levels: int | None, config: Config, steps: int | None = None) -> HiddenMarkov:
    data = dataset(x, levels)
    model = HiddenMarkov(data.spec, config)
    model.fit(data, Budget(steps=steps))
    return model


def emission_by_hand(model: HiddenMarkov, x: torch.Tensor) -> torch.Tensor:
    """log p(x_t | state) (T, chains, states) of one item."""
    if model.spec.levels is not None:
        return model.emission.p[:, :, x.long()].log().permute(2, 0, 1)
    normal = MultivariateNormal(model.emission.mean, model.emission.covariance)
    return torch.stack([normal.log_prob(value) for value in x.double()])


def every_path(model: HiddenMarkov, x: torch.Tensor) -> dict[tuple[int, ...], float]:
    """log p(path, x) of one item for all paths of states of all chains, term by term."""
    log_probs = {}
    emission = emission_by_hand(model, x).tolist()
    weight, initial, transition = model.weight.tolist(), model.initial.tolist(), model.transition.tolist()
    chains, states = model.config.chains, model.config.states
    for chain, path in itertools.product(range(chains), itertools.product(range(states), repeat=len(x))):
        p = weight[chain] * initial[chain][path[0]]
        for before, after in itertools.pairwise(path):
            p *= transition[chain][before][after]
        log_p = math.log(p) if p else -math.inf
        log_p += sum(emission[t][chain][state] for t, state in enumerate(path))
        log_probs[tuple(chain * states + state for state in path)] = log_p
    return log_probs


@pytest.mark.parametrize("config", [FREE, CHAINS], ids=["ergodic", "left-to-right"])
@pytest.mark.parametrize(("x", "levels"), [(symbols(), 3), (vectors(), None)], ids=["symbols", "vectors"])
def test_forward_viterbi_and_posterior_are_those_of_all_paths(
    config: Config, x: torch.Tensor, levels: int | None
) -> None:
    model = fitted(x, levels, config, steps=2)
    items = x[:3]
    log_p, posterior, (paths, best) = model.log_prob(items), model.posterior(items), model.viterbi(items)
    assert log_p.dtype == posterior.dtype == best.dtype == torch.float64
    for i, item in enumerate(items):
        table = every_path(model, item)
        values = torch.tensor(list(table.values()), dtype=torch.float64)
        total = values.logsumexp(0)
        assert log_p[i].item() == pytest.approx(total.item(), abs=1e-9)
        assert best[i].item() == pytest.approx(values.max().item(), abs=1e-9)
        assert table[tuple(paths[i].tolist())] == pytest.approx(best[i].item(), abs=1e-9)
        expected = torch.zeros_like(posterior[i])
        for path, value in table.items():
            expected[torch.arange(len(path)), torch.tensor(path)] += math.exp(value - total.item())
        torch.testing.assert_close(posterior[i], expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("config", [FREE, CHAINS], ids=["ergodic", "left-to-right"])
def test_masses_sum_to_one_and_samples_are_as_frequent(config: Config) -> None:
    model = fitted(symbols(), 3, config)
    states = every_state(4, 3)
    mass = model.log_prob(states).exp()
    assert mass.sum().item() == pytest.approx(1, abs=1e-12)
    drawn = model.sample(20_000)
    assert (drawn.dtype, drawn.shape) == (torch.uint8, (20_000, 4))
    frequency = (drawn[:, None] == states).all(-1).double().mean(0)
    assert ((frequency - mass).abs() < 4.5 * (mass * (1 - mass) / len(drawn)).sqrt() + 1e-9).all()


@pytest.mark.parametrize("topology", ["ergodic", "left-to-right"])
@pytest.mark.parametrize(("x", "levels"), [(symbols(), 3), (vectors(), None)], ids=["symbols", "vectors"])
def test_no_iteration_of_em_loses_likelihood(topology: str, x: torch.Tensor, levels: int | None) -> None:
    # Next to no smoothing: with more, it is the posterior of the parameters that rises.
    config = Config(states=3, chains=2, topology=topology, smoothing=1e-12, floor=0.2)
    model = HiddenMarkov(dataset(x, levels).spec, config)
    with torch.no_grad():
        sequences = model.sequences(x)
        model.guess(sequences)
        log_p = torch.tensor([model.improve(sequences) for _ in range(25)])
    assert (log_p.diff() > -1e-6).all()
    assert log_p[-1] - log_p[0] > 1


def test_the_parameters_of_a_known_chain_are_recovered() -> None:
    true = HiddenMarkov(SampleSpec((25,), 3), Config(states=2))
    true.transition.copy_(torch.tensor([[[0.95, 0.05], [0.1, 0.9]]]))
    true.emission.p.copy_(torch.tensor([[[0.9, 0.05, 0.05], [0.05, 0.15, 0.8]]]))
    x = true.sample(400)
    model = fitted(x, 3, Config(states=2, iterations=40))
    order = model.emission.p[0, :, 0].argsort(descending=True)
    torch.testing.assert_close(model.transition[0][order][:, order], true.transition[0], atol=0.05, rtol=0)
    torch.testing.assert_close(model.emission.p[0, order], true.emission.p[0], atol=0.05, rtol=0)
    assert model.log_prob(x).mean().item() == pytest.approx(true.log_prob(x).mean().item(), abs=0.05)


def test_gaussian_densities_integrate_to_one_and_the_floor_holds() -> None:
    x = torch.cat([torch.zeros(20, 1), torch.ones(20, 1)])  # without the floor, the densities would be infinite
    model = fitted(x, None, Config(states=2, iterations=5))
    grid = torch.linspace(-3, 4, 7001)
    assert model.log_prob(grid[:, None]).exp().sum().item() * 0.001 == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(model.emission.covariance.flatten(), torch.full((2,), 0.05**2, dtype=torch.float64))
    drawn = model.sample(2000)
    assert (drawn.dtype, drawn.shape) == (torch.float32, (2000, 1))
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.05)


def test_the_state_moves_only_forward_along_the_writing_of_a_two() -> None:
    data = strokes()
    twos = data.train[data.train_labels == 2]
    model = fitted(twos, 16, Config(states=16, topology="left-to-right", iterations=10))
    states, log_p = model.viterbi(twos)
    moves = states.diff(dim=1)
    assert (states[:, 0] == 0).all()
    assert ((moves >= 0) & (moves <= 2)).all()
    assert states[:, -1].double().mean() > 10, "most of the states are passed"
    assert (log_p < model.log_prob(twos)).all()
    others = data.heldout[data.heldout_labels != 2]
    heldout_twos = data.heldout[data.heldout_labels == 2]
    assert model.log_prob(heldout_twos).mean() > model.log_prob(others).mean() + 10


def test_long_sequences_neither_underflow_nor_leave_a_chain_behind() -> None:
    model = HiddenMarkov(SampleSpec((2000,), 4), Config(states=3, chains=2))
    x = torch.zeros(1, 2000, dtype=torch.uint8)
    assert model.log_prob(x).item() == pytest.approx(-2000 * math.log(4))
    # Chain 1 is e^-3000 times less likely half way, and more likely in the end.
    model.emission.p[0] = torch.tensor([0.9, 0.1 - 2e-9, 1e-9, 1e-9])
    model.emission.p[1] = torch.tensor([0.9 * math.exp(-3), 0.05, 0.05, 0.9 - 0.9 * math.exp(-3)])
    x[0, 1000:] = 3
    chain = model.emission.p[1, 0].log()
    assert model.log_prob(x).item() == pytest.approx((1000 * (chain[0] + chain[3]) + math.log(0.5)).item())
    assert model.posterior(x)[0, :, 3:].sum(-1).min().item() == pytest.approx(1)


def test_what_does_not_fit_is_refused_in_a_sentence() -> None:
    model = HiddenMarkov(SampleSpec((4,), 3), FREE)
    with pytest.raises(InputError, match=r"the levels are 0\.\.2"):
        model.log_prob(torch.full((1, 4), 3, dtype=torch.uint8))
    with pytest.raises(InputError, match=r"items have shape \(5,\), the model is for \(4,\)"):
        model.viterbi(torch.zeros(1, 5, dtype=torch.uint8))
    with pytest.raises(InputError, match="uint8"):
        model.posterior(torch.zeros(1, 4))
    with pytest.raises(ModelError, match=r"hidden-markov models .*, not real-valued items of shape \(1, 8, 8\)"):
        HiddenMarkov(SampleSpec((1, 8, 8), None))
    with pytest.raises(ModelError, match=r"not items of shape \(4, 2\)"):
        HiddenMarkov(SampleSpec((4, 2), 3))
    with pytest.raises(ValueError, match="topology"):
        Config(topology="circular")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        Config(states=0)
    with pytest.raises(ValueError, match="positive"):
        Config(smoothing=0.0)


def test_the_plain_model_is_one_chain_and_the_mixture_has_one_for_each_way_of_writing():
    symbols, positions = SampleSpec((24,), 16), SampleSpec((24, 2), None)
    for spec in (symbols, positions):
        assert (HiddenMarkov.recipe(spec).chains, HiddenMarkov.recipe(spec).states) == (1, 16)
        assert HiddenMarkov.recipe(spec).topology == "ergodic"
        assert HiddenMarkovMixture.recipe(spec).topology == "left-to-right"
    assert (HiddenMarkovMixture.recipe(symbols).chains, HiddenMarkovMixture.recipe(positions).chains) == (20, 40)
    assert HiddenMarkov.recipe(SampleSpec((30,), 3)).states == 3

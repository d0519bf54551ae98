from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.data.weather import TRANSITIONS, stationary, weather
from genbench.errors import InputError, ModelError
from genbench.likelihood import every_state
from zoo.sequence.markov_chain import Config, MarkovChain, OrderTwo, OrderZero


def fitted(x: torch.Tensor, levels: int, config: Config) -> MarkovChain:
    spec = SampleSpec(tuple(x.shape[1:]), levels)
    model = MarkovChain(spec, config)
    model.fit(Dataset("tiny", spec, x, x), Budget())
    return model


def tiny(n: int = 40, shape: tuple[int, ...] = (5,), levels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (levels * torch.rand(n, *shape, generator=generator) ** 2).to(torch.uint8)


@pytest.mark.parametrize("order", [0, 1, 2, 6])
@pytest.mark.parametrize("homogeneous", [True, False])
def test_masses_sum_to_one(order: int, homogeneous: bool) -> None:
    model = fitted(tiny(), 3, Config(order, homogeneous))
    mass = model.log_prob(every_state(5, 3)).exp()
    assert mass.dtype == torch.float64
    assert mass.sum().item() == pytest.approx(1, abs=1e-5)
    assert mass.min() > 0


@pytest.mark.parametrize("homogeneous", [True, False])
def test_log_prob_is_that_of_counting_by_hand(homogeneous: bool) -> None:
    x, levels, order, strength = tiny(), 3, 2, 1.7
    rows = x.tolist()

    def table(position: int) -> int:
        return min(position, order) if homogeneous else position

    def p(position: int, history: tuple[int, ...], symbol: int) -> float:
        followers: Counter[int] = Counter()
        for row in rows:
            for t in range(len(row)):
                before = tuple(row[t - len(history) : t]) if len(history) <= t else None
                if table(t) == table(position) and before == history:
                    followers[row[t]] += 1
        shorter = p(position, history[1:], symbol) if history else 1 / levels
        return (followers[symbol] + strength * shorter) / (sum(followers.values()) + strength)

    model = fitted(x, levels, Config(order, homogeneous, strength))
    item = [2, 0, 0, 1, 2]
    expected = sum(np.log(p(t, tuple(item[max(0, t - order) : t]), item[t])) for t in range(5))
    assert model.log_prob(torch.tensor([item], dtype=torch.uint8)).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("config", [Config(1), Config(2, False), Config(3)])
def test_samples_are_as_frequent_as_their_mass(config: Config) -> None:
    model = fitted(tiny(shape=(1, 2, 2), levels=2), 2, config)
    torch.manual_seed(0)
    drawn = model.sample(20_500)
    assert drawn.shape == (20_500, 1, 2, 2)
    assert drawn.dtype == torch.uint8
    states = every_state(4)
    mass = model.log_prob(states.reshape(-1, 1, 2, 2)).exp()
    frequency = (drawn.flatten(1)[:, None] == states).all(-1).double().mean(0)
    error = (mass * (1 - mass) / len(drawn)).sqrt()
    assert ((frequency - mass).abs() < 4.5 * error).all()


def test_weather_is_recovered_up_to_its_sampling_error() -> None:
    dataset = weather()
    model = MarkovChain(dataset.spec, MarkovChain.recipe(dataset.spec))
    model.fit(dataset, Budget())
    torch.testing.assert_close(model.log_p[1].exp().double(), torch.from_numpy(TRANSITIONS), atol=0.02, rtol=0)
    torch.testing.assert_close(
        model.log_p[0, 0].exp().double(), torch.from_numpy(stationary(TRANSITIONS)), atol=0.05, rtol=0
    )

    log_prob = model.log_prob(dataset.heldout)
    assert dataset.true_log_prob is not None
    assert dataset.entropy is not None
    gap = dataset.true_log_prob(dataset.heldout) - log_prob
    # Fitting p free parameters to n items costs p / 2n nats on new data: here 8 / 2000.
    assert gap.mean().item() == pytest.approx(0.004, abs=4 * (gap.std() / len(gap) ** 0.5).item())
    assert -log_prob.mean().item() == pytest.approx(dataset.entropy, abs=4 * (log_prob.std() / len(gap) ** 0.5).item())


def test_sampling_goes_on_from_the_newest_symbols() -> None:
    # Each symbol repeats the one two days before it; any other reading of the context breaks the pattern.
    x = torch.tensor([[0, 1, 0, 1, 0, 1], [0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1]]).to(torch.uint8)
    drawn = fitted(x.repeat(100, 1), 2, Config(2, strength=1e-6)).sample(50)
    assert torch.equal(drawn[:, 2:], drawn[:, :-2])
    assert len(drawn[:, :2].unique(dim=0)) == 4


def test_recipes_stay_small_and_too_large_tables_are_refused() -> None:
    for shape, levels in [((1, 8, 8), 17), ((1, 8, 8), 2), ((1, 28, 28), 256), ((3, 32, 32), 256), ((1, 1, 2), 2)]:
        spec = SampleSpec(shape, levels)
        model = MarkovChain(spec, MarkovChain.recipe(spec))
        assert model.log_p.numel() <= 2**19
        assert model.sample(2).shape == (2, *shape)
    with pytest.raises(ModelError, match="table entries"):
        MarkovChain(SampleSpec((3, 32, 32), 256), Config(3))
    with pytest.raises(ModelError, match="levelled"):
        MarkovChain(SampleSpec((4,), None))
    with pytest.raises(ValueError, match="strength"):
        Config(strength=0.0)


def test_what_an_order_is_worth_on_the_weather() -> None:
    data = weather()
    nll = {}
    for kind in (OrderZero, MarkovChain, OrderTwo):
        model = kind(data.spec, kind.recipe(data.spec))
        model.fit(data, Budget())
        nll[kind.__name__] = -model.log_prob(data.heldout).mean().item()
    start = stationary(TRANSITIONS)
    # Without memory, each of the 30 days costs the entropy of the stationary distribution.
    assert nll["OrderZero"] == pytest.approx(-30 * (start * np.log(start)).sum(), abs=0.5)
    assert nll["OrderZero"] > nll["MarkovChain"] + 5
    # A second day of memory tells nothing new and has its price in free parameters.
    assert 0 < nll["OrderTwo"] - nll["MarkovChain"] < 0.03


def test_the_orders_keep_their_word_and_too_many_levels_lower_the_second() -> None:
    few, many = SampleSpec((24,), 16), SampleSpec((1, 28, 28), 256)
    assert [kind.recipe(few).order for kind in (OrderZero, MarkovChain, OrderTwo)] == [0, 1, 2]
    assert (OrderZero.recipe(many).order, OrderTwo.recipe(many).order) == (0, 1)
    drawn = fitted(torch.tensor([[0, 0, 0, 1]] * 500, dtype=torch.uint8), 2, OrderZero.recipe(few)).sample(4000)
    torch.testing.assert_close(drawn.float().mean(0), torch.full((4,), 0.25), atol=0.03, rtol=0)


def test_items_that_do_not_fit_are_named() -> None:
    model = fitted(tiny(), 3, Config(1))
    with pytest.raises(InputError, match=r"items hold the value 3; the levels are 0\.\.2"):
        model.log_prob(torch.full((1, 5), 3, dtype=torch.uint8))
    with pytest.raises(InputError, match=r"items have shape \(4,\), the model is for \(5,\)"):
        model.log_prob(torch.zeros(1, 4, dtype=torch.uint8))

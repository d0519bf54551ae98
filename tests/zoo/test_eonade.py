import math

import pytest
import torch
from scipy import stats

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import ModelError
from genbench.likelihood import every_state
from genbench.seeding import scoped
from zoo.autoregressive.eonade import Config, EoNADE

SPEC = SampleSpec((1, 2, 3), 2)
STATES = every_state(6).reshape(-1, 1, 2, 3)


def network(**config):
    with scoped(0, "test"), torch.no_grad():
        model = EoNADE(SPEC, Config(**{"hidden": 5, "orderings": 3, **config}))
        for parameter in model.parameters():
            parameter.copy_(1.5 * torch.randn(parameter.shape))
    return model


def test_every_ordering_is_a_distribution_and_so_is_the_ensemble():
    model = network()
    flat = STATES.flatten(1).float()
    with torch.no_grad():
        members = torch.stack([model.log_masses(flat, ordering) for ordering in model.orderings])
    torch.testing.assert_close(members.exp().sum(1), torch.ones(3, dtype=torch.float64))
    assert members.std(0).mean() > 0.1, "orderings differ"
    torch.testing.assert_close(model.log_prob(STATES).exp(), members.exp().mean(0))


def test_an_ordering_predicts_each_dimension_from_those_before_alone():
    model = network()
    flat = STATES.flatten(1).float()
    with torch.no_grad():
        for ordering in model.orderings:
            total = torch.zeros(64, dtype=torch.float64)
            for place, d in enumerate(ordering):
                given = torch.zeros(64, 6)
                given[:, ordering[:place]] = 1
                log_odds = model.logits(flat, given)[:, d].double()
                total += torch.where(flat[:, d] == 1, log_odds, -log_odds).sigmoid().log()
            torch.testing.assert_close(model.log_masses(flat, ordering), total, atol=1e-5, rtol=0)


def test_the_loss_is_that_of_orderings_on_average():
    """Over all 720 orderings exactly; over draws within five standard errors."""
    model, x = network(), STATES[37:38].flatten(1).float()
    orderings = torch.tensor(list(torch.cartesian_prod(*[torch.arange(6)] * 6).tolist()))
    orderings = orderings[(orderings.sort(1).values == torch.arange(6)).all(1)]
    with scoped(1, "test"), torch.no_grad():
        exact = -torch.cat([model.log_masses(x, ordering) for ordering in orderings]).mean()
        draws = model.ordering_loss(x.expand(40_000, -1)).double()
    assert abs(draws.mean() - exact) < 5 * draws.std() / 200


def test_samples_have_the_frequencies_of_the_likelihood():
    model, n = network(), 20_000
    with scoped(2, "test"):
        x = model.sample(n)
    counts = torch.bincount((x.flatten(1).long() * 2 ** torch.arange(5, -1, -1)).sum(1), minlength=64)
    expected = n * model.log_prob(STATES).exp()
    common = expected >= 5
    statistic = ((counts - expected).square() / expected)[common].sum()
    assert statistic < stats.chi2.ppf(1 - 1e-5, int(common.sum()))


def test_it_learns_copies_in_whatever_order():
    """Three bits and their copies: 3 bits of 6 where either is predicted from the other."""
    with scoped(3, "test"):
        x = STATES[(STATES[:, :, 0] == STATES[:, :, 1]).flatten(1).all(1)].repeat(25, 1, 1, 1)
        config = Config(hidden=24, orderings=4, decay=0.0, steps=600, batch=50, rate=2e-2, validation=0)
        model = EoNADE(SPEC, config)
        model.fit(Dataset("copies", SPEC, x, x), Budget())
    assert -model.log_prob(x).mean().item() / math.log(2) < 4


def test_what_it_cannot_model_is_refused():
    with pytest.raises(ModelError, match="eonade models data of two levels, not of 17"):
        EoNADE(SampleSpec((1, 8, 8), 17))
    for wrong in ({"hidden": 0}, {"orderings": 0}, {"rate": 0.0}, {"decay": -1.0}):
        with pytest.raises(ValueError, match="must be"):
            Config(**wrong)

"""MADE: masks that keep the orderings, a mixture that sums to 1, and samples that follow it."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import ModelError
from genbench.likelihood import every_state
from zoo.autoregressive.made import MADE, Config

SPEC = SampleSpec((1, 2, 3), 2)
STATES = every_state(6).reshape(-1, 1, 2, 3)


@pytest.mark.parametrize("hidden", [(7,), (5, 6), (4, 4, 4)])
def test_the_masses_of_all_items_sum_to_1(hidden):
    model = MADE(SPEC, Config(hidden=hidden, masks=3)).double()
    assert model.log_prob(STATES).exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_every_output_depends_on_the_dimensions_before_it_in_the_masks_own_ordering():
    model = MADE(SPEC, Config(hidden=(64, 64), masks=4)).double()
    x = torch.rand(1, 6, dtype=torch.float64)
    orders = model.numbers_0.tolist()
    assert len(set(map(tuple, orders))) > 1
    for mask, order in enumerate(orders):
        jacobian = torch.autograd.functional.jacobian(lambda v, m=mask: model.logits(v, m)[0], x)[:, 0]
        place = torch.tensor(order)
        before = place[None] < place[:, None]
        assert (jacobian[~before] == 0).all()
        assert (jacobian[before] != 0).double().mean() > 0.8


def test_one_mask_reads_in_raster_order():
    assert MADE(SPEC, Config(masks=1)).numbers_0.tolist() == [[0, 1, 2, 3, 4, 5]]


def test_samples_follow_the_likelihood():
    model = MADE(SPEC, Config(hidden=(8,), masks=3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    places = 2 ** torch.arange(5, -1, -1)
    counts = torch.bincount(model.sample(20_000).flatten(1).long() @ places, minlength=64)
    expected = model.log_prob(STATES).exp() * 20_000
    assert ((counts - expected) ** 2 / expected).sum() < stats.chi2.ppf(1 - 1e-6, 63)
    assert model.sample(0).shape == (0, 1, 2, 3)


def test_it_learns_what_no_product_of_dimensions_knows():
    x = STATES[[0, 63]].repeat(100, 1, 1, 1)
    model = MADE(SPEC, Config(hidden=(32,), masks=2, decay=0.0, steps=300, batch=50, rate=0.02, validation=0))
    model.fit(Dataset("twins", SPEC, x, x), Budget())
    assert model.log_prob(x).mean() > -1.5  # the entropy is 0.69, that of independent dimensions 4.16


def test_what_it_cannot_model_is_refused():
    with pytest.raises(ModelError, match="two levels"):
        MADE(SampleSpec((4,), 3))
    for wrong in ({"hidden": ()}, {"masks": 0}, {"rate": 0.0}, {"decay": -1.0}):
        with pytest.raises(ValueError, match="must be"):
            Config(**wrong)

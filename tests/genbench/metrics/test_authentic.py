"""Authenticity by hand, against all distances, and what it says of copies."""

from __future__ import annotations

import math

import pytest
import torch
from views import direct

from genbench.errors import InputError
from genbench.metrics.authentic import Authenticity, authenticity


def by_all_distances(train: torch.Tensor, fake: torch.Tensor) -> float:
    within = torch.cdist(train.double(), train.double(), compute_mode="donot_use_mm_for_euclid_dist")
    within.fill_diagonal_(torch.inf)
    across = torch.cdist(fake.double(), train.double(), compute_mode="donot_use_mm_for_euclid_dist").min(1)
    return float((within.min(1).values[across.indices] < across.values).double().mean())


def test_by_hand():
    train = torch.tensor([[0.0], [1.0], [5.0]])  # nearest others at 1, 1 and 4
    # 0.4: its nearest is 0, 0.4 away, no farther than 1; 2.5: 1.5 from 1; 2.0: exactly 1 from 1; 8.0: 3 from 5.
    share = authenticity(train, torch.tensor([[0.4], [2.5], [2.0], [8.0]]))
    assert share == 0.25
    assert share.stderr == pytest.approx((0.25 * 0.75 / 3) ** 0.5)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_it_is_that_of_all_distances(offset):
    rng = torch.Generator().manual_seed(0)
    train, fake = torch.randn(900, 3, generator=rng), 1.3 * torch.randn(700, 3, generator=rng)
    train[100:200] = train[:100]  # duplicates, of which one may copy nothing but the other
    fake[:50] = train[300:350]
    train, fake = train + offset, fake + offset
    assert authenticity(train, fake) == pytest.approx(by_all_distances(train, fake), abs=1e-9)


def test_many_items_are_taken_block_by_block():
    rng = torch.Generator().manual_seed(1)
    train, fake = torch.randn(4500, 2, generator=rng), torch.randn(300, 2, generator=rng)
    share = authenticity(train, fake)
    assert share == by_all_distances(train, fake)
    # A point and its nearest neighbour are nearest to each other with this probability in the plane.
    mutual = 6 * math.pi / (8 * math.pi + 3 * 3**0.5)
    assert share == pytest.approx(1 - mutual, abs=0.1)


def test_copies_are_not_authentic_and_the_order_matters():
    rng = torch.Generator().manual_seed(2)
    train, far = torch.randn(60, 4, generator=rng), torch.randn(50, 4, generator=rng) + 50
    assert authenticity(train, train[:40]) == 0
    assert authenticity(train, far) == 1
    assert Authenticity().compute(direct(far, train[:40], train))["authenticity"].value == 0
    with pytest.raises(InputError, match="at least 2"):
        authenticity(train[:1], far)

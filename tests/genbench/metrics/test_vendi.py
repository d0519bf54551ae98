"""The Vendi score against its definition on the kernel matrix, closed forms, and its error against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from stand_in import evidence

from genbench.contracts import Features, parts_read
from genbench.errors import InputError
from genbench.metrics.vendi import VendiScore, vendi_score

ORDERS = (0.5, 1.0, 2.0, math.inf)


def by_definition(x: np.ndarray, order: float) -> float:
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(unit @ unit.T / len(x))
    values = values[values > 1e-12]
    if order == 1:
        return math.exp(-(values * np.log(values)).sum())
    return 1 / values.max() if order == math.inf else (values**order).sum() ** (1 / (1 - order))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", [(40, 7), (15, 30), (20, 20)])
def test_either_product_of_the_features_has_the_eigenvalues_of_the_kernel_matrix(shape, order):
    x = np.random.default_rng(1).normal(size=shape) + 0.5
    assert vendi_score(x, order) == pytest.approx(by_definition(x, order), rel=1e-8)
    assert vendi_score((1e8 * x).astype(np.float32), order) == pytest.approx(by_definition(x, order), rel=1e-5)


@pytest.mark.parametrize("order", ORDERS)
def test_kinds_that_share_nothing_are_counted(order):
    assert vendi_score(np.repeat(np.eye(5), 8, axis=0), order) == pytest.approx(5)
    assert vendi_score(np.eye(9), order) == pytest.approx(9)
    assert vendi_score(np.ones((9, 4)), order) == pytest.approx(1)


def test_rare_kinds_count_less_the_higher_the_order():
    x = np.repeat(np.eye(3), (6, 3, 1), axis=0)
    p = np.array([0.6, 0.3, 0.1])
    assert vendi_score(x) == pytest.approx(math.exp(-(p * np.log(p)).sum()))
    assert vendi_score(x, 2) == pytest.approx(1 / (p**2).sum())
    assert vendi_score(x, math.inf) == pytest.approx(1 / 0.6)


def test_only_directions_count_and_vectors_of_zeros_are_one_of_their_own():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(30, 4))
    lengths = 10 ** rng.uniform(-300, 300, size=(30, 1))
    assert vendi_score(x * lengths) == pytest.approx(vendi_score(x))
    with_zeros = np.concatenate([np.repeat(np.eye(3), 4, axis=0), np.zeros((4, 3))])
    assert vendi_score(with_zeros) == pytest.approx(4)


@pytest.mark.parametrize("order", [0.5, 1.0, 2.0])
def test_error_matches_simulation(order):
    rng = torch.Generator().manual_seed(3)
    spread = torch.linspace(0.3, 2, 8)
    scores = [vendi_score(torch.randn(200, 8, generator=rng) * spread + 0.3, order) for _ in range(400)]
    claimed = np.mean([estimate.stderr for estimate in scores])
    assert claimed == pytest.approx(np.std(scores, ddof=1), rel=0.15)


def test_the_interval_is_that_of_endless_samples():
    rng, spread = torch.Generator().manual_seed(9), torch.linspace(0.3, 2, 8)
    truth = float(vendi_score(torch.randn(200_000, 8, generator=rng) * spread + 0.3))
    scores = [vendi_score(torch.randn(60, 8, generator=rng) * spread + 0.3) for _ in range(200)]
    assert np.mean([score.low <= truth <= score.high for score in scores]) > 0.88
    assert np.mean([abs(score - truth) <= 1.96 * score.stderr for score in scores]) < 0.85, "the bias is not small"


def test_no_error_is_claimed_for_few_samples():
    x = np.random.default_rng(4).normal(size=(60, 20))
    assert vendi_score(x).stderr is not None
    assert vendi_score(x[:59]).stderr is None


def test_bad_input_is_told():
    for fake, order, words in (
        (np.ones((3, 2)), 0.0, "order must be above 0"),
        (np.ones((3, 2)), math.nan, "order must be above 0"),
        (np.full((3, 2), np.nan), 1.0, "not finite"),
        (np.ones(3), 1.0, "must be of shape"),
        (np.ones((0, 3)), 1.0, "must be of shape"),
    ):
        with pytest.raises(InputError, match=words):
            vendi_score(fake, order)


def test_the_column_reads_the_samples_alone():
    score = VendiScore().compute(evidence(fake=Features(torch.eye(4).repeat(5, 1))))["vendi"]
    assert score.value == pytest.approx(4)
    assert parts_read(VendiScore()) == ("samples",)

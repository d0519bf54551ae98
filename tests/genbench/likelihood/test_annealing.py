import math

import pytest
import torch

from genbench.likelihood import Sandwich, annealed_importance_sampling, reverse_annealed_importance_sampling
from genbench.numerics.estimate import Estimate
from genbench.seeding import scoped

# Four states on a ring, uniform at beta = 0. A forward move visits the pairs (0, 1), (2, 3) and then (1, 2), (3, 0):
# each half satisfies detailed balance, the whole does not.
LOG_MASS = torch.tensor([0.0, 3.0, -2.0, 1.5], dtype=torch.float64)
LOG_Z = LOG_MASS.logsumexp(0).item()
PAIRS = torch.tensor([[1, 0, 3, 2], [3, 2, 1, 0]])


def log_unnormalised(state, beta):
    return beta * LOG_MASS[state]


def visit(state, beta, halves):
    for partners in PAIRS[halves]:
        other = partners[state]
        odds = log_unnormalised(other, beta) - log_unnormalised(state, beta)
        state = torch.where(torch.rand(len(state), dtype=torch.float64) < odds.sigmoid(), other, state)
    return state


def forwards(state, beta):
    return visit(state, beta, [0, 1])


def backwards(state, beta):
    return visit(state, beta, [1, 0])


def forward_estimate(chains, temperatures):
    start = torch.randint(4, (chains,))
    return annealed_importance_sampling(start, log_unnormalised, forwards, math.log(4), temperatures)


def reverse_estimate(chains, temperatures):
    exact_draws = torch.multinomial(LOG_MASS.softmax(0), chains, replacement=True)
    return reverse_annealed_importance_sampling(exact_draws, log_unnormalised, backwards, math.log(4), temperatures)


@pytest.mark.parametrize("temperatures", [1, 2, 5])
def test_reverse_annealing_estimates_the_inverse_of_z_without_bias(temperatures):
    with scoped(0, "test"):
        estimate = reverse_estimate(200_000, temperatures)
    assert estimate.stderr < 0.01
    assert abs(estimate - LOG_Z) < 4 * estimate.stderr


def test_the_two_ends_close_upon_log_z():
    """Few chains, so that the bias of the logarithm shows: below the truth from the base, above it from the target."""
    gaps = []
    for temperatures in (2, 10, 50):
        with scoped(2, "test", temperatures):
            below = torch.tensor([forward_estimate(2, temperatures) - LOG_Z for _ in range(80)])
            above = torch.tensor([reverse_estimate(2, temperatures) - LOG_Z for _ in range(80)])
        assert below.mean() < 2 * below.std() / 80**0.5
        assert above.mean() > -2 * above.std() / 80**0.5
        gaps.append((above.mean() - below.mean()).item())
    assert gaps[0] > 0.5
    assert gaps[0] > 2 * gaps[1] > 0
    assert abs(gaps[2]) < 0.1


def test_the_standard_error_of_the_reverse_end_holds():
    with scoped(3, "test"):
        estimates = [reverse_estimate(200, 20) for _ in range(150)]
    scores = torch.tensor([(e - LOG_Z) / e.stderr for e in estimates])
    assert 0.8 < scores.square().mean().sqrt() < 1.25


def test_reverse_annealing_moves_only_between_the_ends():
    betas = []
    state = torch.zeros(3, dtype=torch.long)
    reverse_annealed_importance_sampling(state, log_unnormalised, lambda x, beta: betas.append(beta) or x, 0.0, 4)
    assert betas == [0.75, 0.5, 0.25]


def test_a_sandwich_spans_both_ends_and_their_errors():
    sandwich = Sandwich(forward=Estimate(10.0, 0.1), reverse=Estimate(11.0, 0.2))
    assert (sandwich.low, sandwich.high) == pytest.approx((9.7, 11.6))
    crossed = Sandwich(forward=Estimate(11.0, 0.1), reverse=Estimate(10.0, 0.1))
    assert (crossed.low, crossed.high) == pytest.approx((10.0, 11.3))
    exact = Sandwich(Estimate(5.0), Estimate(5.0))
    assert (exact.low, exact.high) == (5.0, 5.0)

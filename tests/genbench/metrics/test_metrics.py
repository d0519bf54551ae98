"""Every metric against closed forms, second implementations, and the conventions that it must not confuse."""

from __future__ import annotations

import math
import pickle
import warnings

import numpy as np
import prdc
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

import genbench
from genbench.errors import ConformanceError, InputError
from genbench.metrics import (
    Moments,
    frechet_distance,
    frechet_influence,
    inception_score,
    negative_log_likelihood,
    precision_recall,
)
from genbench.numerics.estimate import Estimate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch_fidelity import metric_fid, metric_isc, metric_prc


def features(n: int, dim: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    mix = torch.randn(dim, dim, generator=rng) / math.sqrt(dim)
    return scale * torch.randn(n, dim, generator=rng) @ mix + shift


def probabilities(n: int, classes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), size=n)


# Fréchet distance


def test_fid_agrees_with_torch_fidelity():
    real, fake = features(400, 16, 1), features(300, 16, 2, scale=1.3, shift=0.5)
    statistics = [metric_fid.fid_features_to_statistics(x) for x in (real, fake)]
    expected = metric_fid.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-6)


def test_fid_between_gaussians_of_known_moments_has_its_closed_form():
    narrow = Moments(10, torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
    two = Moments(10, torch.tensor([3.0, 4.0], dtype=torch.float64), 4 * torch.eye(2, dtype=torch.float64))
    assert frechet_distance(narrow, two) == pytest.approx(25 + 2 * (2 - 1) ** 2)
    assert frechet_distance(narrow, two).stderr is None


def test_covariance_divides_by_n_minus_one():
    x = features(7, 3, 0).double()
    np.testing.assert_allclose(Moments.of(x).covariance, np.cov(x.numpy().T), rtol=1e-10)


@pytest.mark.parametrize("n", [5, 50])
def test_fid_is_zero_on_itself_even_when_singular(n):
    x = features(n, 20, 0)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(x, x) >= 0


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 30), st.integers(1, 8), st.integers(0, 10**6), st.sampled_from([1e-8, 1.0, 1e8]))
def test_fid_is_symmetric_non_negative_and_scales_with_the_square(n, dim, seed, scale):
    real, fake = features(n, dim, seed).double(), features(n + 3, dim, seed + 1, shift=0.3).double()
    distance = frechet_distance(real, fake)
    assert distance >= 0
    assert frechet_distance(fake, real) == pytest.approx(distance, rel=1e-5, abs=1e-9)
    assert frechet_distance(scale * real, scale * fake) == pytest.approx(scale**2 * distance, rel=1e-5)


def test_fid_of_constant_features_is_the_squared_shift():
    assert frechet_distance(torch.zeros(5, 3), torch.full((5, 3), 2.0)) == pytest.approx(12)


def test_influence_is_the_derivative_of_the_distance():
    real, fake = Moments.of(features(200, 4, 1)), features(100, 4, 2, shift=0.4).double()
    base, extra = frechet_distance(real, Moments.of(fake)), fake[:1] * 3
    moments, weight = Moments.of(fake), 1e-5
    # The distribution moved towards a point mass at `extra`, to first order in the weight.
    mean = (1 - weight) * moments.mean + weight * extra[0]
    offset = (extra[0] - moments.mean)[:, None]
    covariance = (1 - weight) * moments.covariance + weight * offset @ offset.T
    moved = frechet_distance(real, Moments(100, mean, covariance))
    both = frechet_influence(real, moments, torch.cat([extra, fake]))
    # The influence is defined up to a constant; its mean over the fake samples is the one to subtract.
    expected = float(both[0] - both[1:].mean() * 100 / 99)
    assert (moved - base) / weight == pytest.approx(expected, rel=1e-3)


def test_fid_names_what_does_not_fit():
    with pytest.raises(InputError, match="real has 3 features and fake 2"):
        frechet_distance(torch.zeros(5, 3), torch.zeros(5, 2))
    with pytest.raises(InputError, match="at least 2 samples"):
        frechet_distance(torch.zeros(5, 3), torch.zeros(1, 3))
    with pytest.raises(InputError, match="not finite"):
        frechet_distance(torch.full((5, 3), torch.nan), torch.zeros(5, 3))


# Inception Score


def test_is_agrees_with_torch_fidelity():
    p = probabilities(537, 7)
    for shuffle in (True, False):
        ours = inception_score(p, shuffle=shuffle)
        theirs = metric_isc.isc_features_to_metric(torch.from_numpy(p).log(), splits=10, shuffle=shuffle)
        assert ours.mean == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
        assert ours.std == pytest.approx(theirs["inception_score_std"], rel=1e-9)


def test_the_order_of_samples_does_not_empty_the_splits():
    by_class = np.repeat(np.eye(10), 100, axis=0)
    assert inception_score(by_class, shuffle=False).mean == pytest.approx(1)
    assert inception_score(by_class).mean == pytest.approx(9.4, abs=0.3)


def test_is_is_the_exponential_of_the_mean_divergence_in_nats():
    p = probabilities(50, 4)
    assert inception_score(p, splits=1).mean == pytest.approx(np.exp(np.mean([entropy(q, p.mean(0)) for q in p])))
    assert inception_score(p).unsplit == pytest.approx(inception_score(p, splits=1).mean.value, rel=1e-12)
    # To first order in 1 / n the log of the marginal's entropy falls short by this.
    bias = (p.var(0, ddof=1) / p.mean(0)).sum() / (2 * len(p))
    assert inception_score(p).corrected == pytest.approx(inception_score(p).unsplit * np.exp(bias))


def test_is_ranges_from_one_to_the_number_of_classes():
    assert inception_score(np.full((20, 5), 0.2)).mean == pytest.approx(1)
    assert inception_score(np.tile(np.eye(5), (10, 1)), shuffle=False).mean == pytest.approx(5)
    assert inception_score(np.tile(np.eye(5)[:1], (20, 1))).mean == pytest.approx(1)


def test_is_splits_report_the_population_deviation():
    p = probabilities(40, 3)
    parts = [inception_score(part, splits=1).mean for part in np.split(p, 4)]
    assert inception_score(p, splits=4, shuffle=False).std == pytest.approx(np.std(parts, ddof=0))


def test_is_names_what_does_not_fit():
    with pytest.raises(InputError, match="at least as many samples as splits"):
        inception_score(probabilities(5, 3))
    with pytest.raises(InputError, match="summing to 1"):
        inception_score(np.ones((20, 3)))


# Precision and recall


def test_precision_recall_agrees_with_prdc_and_torch_fidelity():
    real, fake = features(300, 8, 1), features(250, 8, 2, scale=0.6, shift=0.5)
    ours = precision_recall(real, fake, k=5)
    theirs = prdc.compute_prdc(real.double().numpy(), fake.double().numpy(), nearest_k=5)
    assert ours.precision == pytest.approx(theirs["precision"])
    assert ours.recall == pytest.approx(theirs["recall"])
    assert abs(ours.precision - ours.recall) > 0.1, "the test must tell the two apart"
    # torch-fidelity's first argument is the generated set.
    peer = metric_prc.prc_features_to_metric(fake, real, prc_neighborhood=5, prc_batch_size=100, verbose=False)
    assert ours.precision == pytest.approx(peer["precision"], abs=0.01)


def test_precision_and_recall_are_not_swapped():
    real = torch.cat([features(100, 2, 1), features(100, 2, 1, shift=50.0)])
    collapsed = precision_recall(real, features(200, 2, 3) * 0.1)
    assert collapsed.precision > 0.9
    assert collapsed.recall < 0.5


def test_balls_are_closed_and_the_point_itself_is_no_neighbour():
    real = torch.tensor([[0.0], [1.0], [3.0]])
    # Radii of the first neighbour: 1, 1, 2. Points at exactly the border are inside.
    fake = torch.tensor([[-1.0], [5.0], [-1.001], [5.001]])
    assert precision_recall(real, fake, k=1).precision == pytest.approx(0.5)


def test_duplicates_and_constant_features_are_decided_exactly():
    x = torch.full((10, 4), 1e6)
    same = precision_recall(x, x.clone())
    assert (same.precision, same.recall) == (1, 1)
    assert precision_recall(x, x + 1).precision == 0


def test_precision_recall_names_what_does_not_fit():
    with pytest.raises(InputError, match="more than k = 3"):
        precision_recall(torch.zeros(9, 2), torch.zeros(3, 2))
    with pytest.raises(InputError, match="they must be the same"):
        precision_recall(torch.zeros(9, 2), torch.zeros(9, 3))


# Log-likelihood and the estimate itself


def test_nll_is_the_mean_with_its_standard_error_and_the_shared_one():
    values = torch.tensor([-1.0, -2.0, -6.0], dtype=torch.float64)
    nll = negative_log_likelihood(values, shared_error=0.3)
    assert nll == pytest.approx(3)
    assert nll.stderr == pytest.approx(math.hypot(np.std([1, 2, 6], ddof=1) / math.sqrt(3), 0.3))


def test_an_estimate_is_a_float_and_survives_pickling():
    e = Estimate(2.5, 0.5)
    assert e + 1 == 3.5
    again = pickle.loads(pickle.dumps(e))
    assert (again, again.value, again.stderr) == (2.5, 2.5, 0.5)


class Between:
    """All log-probabilities are -10 nats, truly between -10.5 and -9.75."""

    spec = genbench.SampleSpec((1, 8, 8), 2)
    log_prob_kind = "estimate"
    log_prob_interval = (-0.5, 0.25)

    def sample(self, n):
        return torch.randint(2, (n, 1, 8, 8)).to(torch.uint8)

    def log_prob(self, x):
        return torch.full((len(x),), -10.0, dtype=torch.float64)


def test_a_lower_log_probability_is_the_higher_end_of_the_nll():
    report = genbench.evaluate(Between(), "digits-binary", metrics=["likelihood"])
    rows = {row.column: row for row in report.results}
    assert (rows["nll"].low, rows["nll"].value, rows["nll"].high) == (9.75, 10, 10.5)
    assert rows["bpd"].low == pytest.approx(9.75 / (64 * math.log(2)))
    assert genbench.check(Between()) == ("log_prob",)


def test_an_interval_that_leaves_its_value_out_is_a_fault():
    wrong = Between()
    wrong.log_prob_interval = (0.5, 0.7)
    with pytest.raises(ConformanceError, match="log_prob_interval"):
        genbench.check(wrong)

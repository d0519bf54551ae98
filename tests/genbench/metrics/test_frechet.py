"""The Fréchet distance: streaming moments, files, few samples, hard inputs, the limit of many samples, and classes."""

from __future__ import annotations

import math
import sys
import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_in import evidence

from genbench.contracts import Features
from genbench.errors import DataError, InputError, Unsupported
from genbench.metrics import Moments, MomentsBuilder
from genbench.metrics.frechet import FrechetDistance, comparison_of, frechet_distance, frechet_influence
from genbench.metrics.per_class import PerClassFid, frechet_distance_per_class
from genbench.metrics.second_order import Alignment
from genbench.metrics.unbiased_fid import FidInfinity, fid_infinity

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch_fidelity import metric_fid


def features(n: int, dim: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    mix = torch.randn(dim, dim, generator=rng) / dim**0.5
    return scale * torch.randn(n, dim, generator=rng) @ mix + shift


def reference(real: np.ndarray, fake: np.ndarray) -> float:
    """The textbook formula, by scipy's Schur method, for covariances that it can take."""
    first, second = (np.cov(x, rowvar=False) for x in (real, fake))
    root = scipy.linalg.sqrtm(first @ second).real
    return ((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root)


# Moments


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.lists(st.integers(1, 9), min_size=1, max_size=5), st.sampled_from([0.0, 1e4]))
def test_moments_of_batches_and_of_merged_parts_are_those_of_the_whole(dim, sizes, shift):
    batches = [features(n, dim, 7 * i + n).double() + shift for i, n in enumerate([*sizes, 2])]
    x = torch.cat(batches).numpy()
    streamed, left, right = MomentsBuilder(), MomentsBuilder(), MomentsBuilder()
    for i, batch in enumerate(batches):
        streamed.add(batch)
        (left if i % 2 else right).add(batch)
    again = right.merge(left).moments()
    backwards = MomentsBuilder().add(x[::-1])
    for moments in (streamed.moments(), again, backwards.moments(), Moments.of(x)):
        assert moments.n == len(x)
        np.testing.assert_allclose(moments.mean, x.mean(0), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(moments.covariance, np.cov(x.T).reshape(dim, dim), rtol=1e-9, atol=1e-9)
        assert torch.equal(moments.covariance, moments.covariance.T)


def test_merging_leaves_the_other_and_later_batches_leave_earlier_moments():
    first, other = MomentsBuilder().add(features(5, 3, 1)), MomentsBuilder().add(features(6, 3, 2))
    before, empty = other.moments(), MomentsBuilder()
    empty.merge(other).add(features(7, 3, 3))
    first.merge(other).merge(MomentsBuilder()).add(features(4, 3, 4))
    assert first.n == 15
    after = other.moments()
    assert torch.equal(before.covariance, after.covariance)
    assert torch.equal(before.mean, after.mean)


def test_moments_are_float64_sums_of_any_kind_of_number(monkeypatch):
    monkeypatch.setattr("genbench.numerics.moments.BLOCK_ELEMENTS", 7 * 3)
    monkeypatch.setattr("genbench.numerics.moments.PANEL", 2)
    x = features(50, 3, 0, shift=1000.0)
    for given_ in (x, x.numpy(), x.double(), x.half(), x.numpy()[:, ::-1], (x > 1000).numpy(), x.int()):
        exact = np.asarray(given_, dtype=np.float64)
        moments = Moments.of(given_)
        assert moments.covariance.dtype == torch.float64
        np.testing.assert_allclose(moments.covariance, np.cov(exact.T), rtol=1e-10, atol=1e-10)


def test_moments_name_what_does_not_fit():
    with pytest.raises(InputError, match="4 columns as before, got 3"):
        MomentsBuilder().add(features(5, 4, 0)).add(features(5, 3, 0))
    with pytest.raises(InputError, match="not finite"):
        MomentsBuilder().add(torch.tensor([[1.0, torch.inf]]))
    with pytest.raises(InputError, match="at least 2 samples, got 0"):
        MomentsBuilder().moments()


# Files


def test_files_keep_every_bit_and_those_of_pytorch_fid_are_read(tmp_path):
    moments = Moments.of(features(20, 4, 0))
    moments.save(tmp_path / "own.stats")
    again = Moments.load(tmp_path / "own.stats")
    assert again.n == 20
    assert torch.equal(again.mean, moments.mean)
    assert torch.equal(again.covariance, moments.covariance)
    x = features(30, 4, 1).numpy()
    np.savez_compressed(tmp_path / "theirs.npz", mu=np.mean(x, axis=0), sigma=np.cov(x, rowvar=False))
    theirs = Moments.load(str(tmp_path / "theirs.npz"))
    assert theirs.n is None
    assert frechet_distance(theirs, x) == pytest.approx(0, abs=1e-6)
    theirs.save(tmp_path / "unknown.npz")
    assert Moments.load(tmp_path / "unknown.npz").n is None


def test_files_that_are_no_statistics_are_refused(tmp_path):
    path, mu, sigma = tmp_path / "stats.npz", np.zeros(3), np.eye(3)
    skew = sigma + np.triu(np.ones((3, 3)), 1)
    for arrays, message in (
        ({"mu": mu}, "has no array named sigma"),
        ({"arr_0": mu}, "has no array named mu and none named sigma"),
        ({"mu": mu, "sigma": np.eye(4)}, r"expected \(D,\) and \(D, D\)"),
        ({"mu": mu[None], "sigma": sigma}, r"expected \(D,\) and \(D, D\)"),
        ({"mu": mu, "sigma": sigma * np.nan}, "not finite"),
        ({"mu": mu, "sigma": skew}, "not symmetric"),
        ({"mu": mu, "sigma": -sigma}, "negative variances"),
        ({"mu": mu.astype(complex), "sigma": sigma}, "real numbers"),
        ({"mu": np.array([{}], dtype=object), "sigma": sigma}, "pickled objects"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(DataError, match=message):
            Moments.load(path)
    np.save(tmp_path / "one.npy", mu)
    with pytest.raises(DataError, match="no array named mu"):
        Moments.load(tmp_path / "one.npy")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot read"):
        Moments.load(path)
    with pytest.raises(DataError, match="does not exist"):
        Moments.load(tmp_path / "absent.npz")


# The distance


@pytest.mark.parametrize("dim", [3, 40])
def test_distance_agrees_with_scipy_and_torch_fidelity_on_full_rank(dim):
    real, fake = features(5 * dim, dim, 1).double(), features(4 * dim, dim, 2, 1.3, 0.2).double()
    distance = frechet_distance(real, fake)
    assert distance == pytest.approx(reference(real.numpy(), fake.numpy()), rel=1e-9)
    statistics = [metric_fid.fid_features_to_statistics(x) for x in (real, fake)]
    theirs = metric_fid.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert distance == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 17), (20, 10), (24, 30), (30, 24)])
def test_few_features_give_the_distance_and_error_of_their_covariances(n, m):
    real, fake = features(n, 30, 1).double(), features(m, 30, 2, 1.2, 0.3).double()
    distance, by_moments = frechet_distance(real, fake), frechet_distance(Moments.of(real), fake)
    assert distance == pytest.approx(by_moments.value, rel=1e-10)
    assert distance.stderr == pytest.approx(by_moments.stderr, rel=1e-6)
    total = comparison_of(real, fake).total_stderr
    assert total == pytest.approx(math.hypot(distance.stderr, frechet_distance(fake, real).stderr), rel=1e-9)
    influence, other = frechet_influence(real, fake), frechet_influence(Moments.of(real), Moments.of(fake), fake)
    torch.testing.assert_close(influence, other, rtol=1e-6, atol=1e-6)
    # Embedded in the span of both, the covariances are small, but singular still: the nuclear norm itself.
    x, y = ((side - side.mean(0)).numpy() / (len(side) - 1) ** 0.5 for side in (real, fake))
    trace = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    shift = ((real.mean(0) - fake.mean(0)) ** 2).sum()
    assert distance == pytest.approx(float(shift + (x**2).sum() + (y**2).sum() - 2 * trace), rel=1e-11)


def test_influence_of_few_features_is_what_leaving_one_out_changes():
    real, fake = features(40, 100, 1).double(), features(50, 100, 2, 1.2, 0.3).double()
    influence, n = frechet_influence(real, fake), len(fake)
    exact = [frechet_distance(real, torch.cat([fake[:i], fake[i + 1 :]])) for i in range(n)]
    change = (n - 1) * (frechet_distance(real, fake) - torch.tensor(exact, dtype=torch.float64))
    assert torch.corrcoef(torch.stack([change, influence]))[0, 1] > 0.95
    assert float(change.std() / influence.std()) == pytest.approx(1, abs=0.1)
    worst = torch.cat([fake[:-1], fake[-1:] + 30])
    assert int(frechet_influence(real, worst).argmax()) == n - 1


def polar(x: torch.Tensor) -> str:
    return "polar"


def hard_cases() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    x, y = features(60, 12, 1).double(), features(60, 12, 2, 1.3, 0.2).double()
    line = torch.linspace(-1, 1, 60, dtype=torch.float64)[:, None] * torch.ones(12, dtype=torch.float64)
    return {
        "singular": (torch.cat([x, x], 1), torch.cat([y, y], 1)),
        "constant fake": (x, torch.ones_like(y)),
        "constant columns": (x * (torch.arange(12) < 9), y * (torch.arange(12) < 9)),
        "rank one": (line, 2 * line + 1),
        "n = D": (features(12, 12, 3).double(), features(12, 12, 4).double()),
        "huge": (x * 1e8, y * 1e8),
        "tiny": (x * 1e-8, y * 1e-8),
        "nearly equal": (x, x + 1e-7 * y),
        "far": (x + 1e6, y + 1e6),
    }


@pytest.mark.parametrize("case", hard_cases())
def test_hard_inputs_give_exact_real_distances_that_are_not_negative(case):
    real, fake = hard_cases()[case]
    distance = frechet_distance(real, fake)
    x, y = ((side - side.mean(0)).numpy() / (len(side) - 1) ** 0.5 for side in (real, fake))
    shift, size = float(((real.mean(0) - fake.mean(0)) ** 2).sum()), (x**2).sum() + (y**2).sum()
    expected = shift + size - 2 * np.linalg.svd(x @ y.T, compute_uv=False).sum()
    assert distance >= 0
    assert distance.stderr >= 0
    assert distance == pytest.approx(expected, rel=1e-9, abs=1e-13 * size)
    assert frechet_distance(fake, real) == pytest.approx(distance.value, rel=1e-9, abs=1e-13 * size)


def test_rank_one_and_constant_features_have_closed_forms():
    line, point = hard_cases()["rank one"]
    spread = float(line.square().sum() / 59)
    assert frechet_distance(line, point) == pytest.approx(12 + spread * (2 - 1) ** 2)
    assert frechet_distance(line, torch.ones(5, 12)) == pytest.approx(12 + spread)


def test_standard_error_of_few_samples_in_many_dimensions_matches_simulation():
    rng = torch.Generator().manual_seed(3)
    scales = torch.arange(1, 301).double() ** -1.5
    real = torch.randn(60, 300, generator=rng).double() * scales
    distances = [
        frechet_distance(real, torch.randn(120, 300, generator=rng).double() * scales * 1.5 + 0.05) for _ in range(150)
    ]
    claimed = np.mean([distance.stderr for distance in distances])
    assert claimed == pytest.approx(np.std(distances, ddof=1), rel=0.2)


@pytest.mark.parametrize("n", [30, 400])
def test_matrix_products_alone_give_the_same_distance_and_error(n, monkeypatch):
    real, fake = features(500, 40, 1), features(n, 40, 2, 1.2, 0.1)
    expected = frechet_distance(real, fake)
    monkeypatch.setattr(sys.modules["genbench.metrics.frechet"], "product_method", polar)
    distance = frechet_distance(real, fake)
    assert distance == pytest.approx(expected.value, rel=1e-8)
    assert distance.stderr == pytest.approx(expected.stderr, rel=1e-4)


def test_influence_of_moments_alone_needs_samples():
    x = features(20, 3, 0)
    with pytest.raises(InputError, match="as y"):
        frechet_influence(x, Moments.of(x))


# The limit of many samples


@pytest.mark.parametrize(("n", "dim"), [(400, 12), (12, 12), (9, 12)])
def test_one_decomposition_tells_the_effects_of_both_sides(n, dim):
    real, fake = features(60, dim, 1).double(), (features(n, dim, 2) * torch.arange(1, dim + 1) ** -3.0).double()
    first, second = Moments.of(real), Moments.of(fake)
    shared = Alignment(first, second)
    assert shared.distance() == pytest.approx(frechet_distance(real, fake).value, rel=1e-12)
    for effect, alone in (
        (shared.effect_of_first(real), Alignment(second, first).effect_of_second(real)),
        (shared.effect_of_second(fake), Alignment(second, first).effect_of_first(fake)),
    ):
        assert effect.bias == pytest.approx(alone.bias, rel=1e-6)
        assert effect.variance == pytest.approx(alone.variance, rel=1e-9)


def test_fid_infinity_finds_the_distance_of_gaussians_where_fid_is_biased():
    rng, dim = torch.Generator().manual_seed(5), 24
    # N(0, 4 I) against N(0.3, I): the distance is D (0.3^2 + (2 - 1)^2)
    real = Moments(None, torch.full((dim,), 0.3, dtype=torch.float64), torch.eye(dim, dtype=torch.float64))
    truth = dim * (0.3**2 + 1)
    draws = [2 * torch.randn(20 * dim, dim, generator=rng, dtype=torch.float64) for _ in range(60)]
    extrapolated, plain = [fid_infinity(real, x) for x in draws], [frechet_distance(real, x) for x in draws]
    noise = np.std(extrapolated, ddof=1)
    assert np.mean(plain) - truth > 6 * noise / len(draws) ** 0.5
    assert abs(np.mean(extrapolated) - truth) < 3 * noise / len(draws) ** 0.5
    assert np.mean([estimate.stderr for estimate in extrapolated]) == pytest.approx(noise, rel=0.25)


def test_the_bias_of_a_finite_side_has_its_closed_form_for_gaussians():
    """Between N(0, a^2 I) and N(0, b^2 I) all s are a b, so that the sum is (a b / 2n) (D^2 + D) / 2."""
    rng, dim, n, a, b = torch.Generator().manual_seed(6), 12, 4000, 1.5, 0.7
    fake, real = (scale * torch.randn(n, dim, generator=rng, dtype=torch.float64) for scale in (a, b))
    effect = Alignment(Moments.of(fake), Moments.of(real)).effect_of_first(fake)
    assert effect.bias == pytest.approx(a**2 * dim / n + a * b * (dim**2 + dim) / (4 * n), rel=0.05)
    assert effect.variance**0.5 == pytest.approx(frechet_distance(real, fake).stderr, rel=1e-6)
    other = Alignment(Moments.of(real), Moments.of(fake)).effect_of_first(real)
    assert other.variance**0.5 == pytest.approx(frechet_distance(fake, real).stderr, rel=1e-6)


@pytest.mark.parametrize(("n", "dim"), [(20, 12), (12, 12), (9, 12)])
def test_singular_covariances_have_finite_effects(n, dim):
    real, fake = features(40, dim, 1).double(), features(n, dim, 2).double()
    fake[:, -1] = 3
    for own, other, samples in ((fake, real, fake), (real, fake, real)):
        effect = Alignment(Moments.of(own), Moments.of(other)).effect_of_first(samples)
        assert np.isfinite([effect.bias, effect.variance]).all()
        assert effect.bias > 0
    influence = frechet_influence(real, fake)
    expected = float(influence.var()) / n
    assert Alignment(Moments.of(fake), Moments.of(real)).effect_of_first(fake).variance == pytest.approx(
        expected, rel=1e-4
    )


def test_the_interval_is_that_of_endless_samples_and_items():
    """Equal distributions are at distance 0, which FID of 100 samples is far from."""
    rng, inside, plain = torch.Generator().manual_seed(7), 0, []
    for _ in range(60):
        sides = [Features(torch.randn(100, 6, generator=rng)) for _ in range(2)]
        score = FrechetDistance().compute(evidence(real=sides[0], fake=sides[1]))["fid"]
        inside += score.low <= 0 <= score.high
        plain.append(score.value > 2 * score.stderr)
        assert score.total_stderr > score.stderr
    assert inside >= 53
    assert np.mean(plain) > 0.8


def test_statistics_allow_the_distance_and_no_more():
    x, y = features(60, 4, 1), features(50, 4, 2)

    class Alone:
        def __init__(self, moments):
            self.moments = moments

        @property
        def embeddings(self):
            raise Unsupported("statistics hold no images")

        def once(self, key, compute):
            return self.moments if key == "moments" else compute()

    expected = frechet_distance(x, y)
    score = FrechetDistance().compute(evidence(real=Alone(Moments.of(x)), fake=Features(y)))["fid"]
    assert (score.value, score.stderr, score.low) == (
        pytest.approx(expected.value),
        pytest.approx(expected.stderr),
        None,
    )
    score = FrechetDistance().compute(evidence(real=Features(x), fake=Alone(Moments.of(y))))["fid"]
    assert (score.value, score.stderr, score.biased) == (pytest.approx(expected.value), None, False)


def test_fid_infinity_says_when_samples_are_too_few():
    x, y = features(100, 4, 1), features(100, 4, 2)
    effect = Alignment(Moments.of(y), Moments.of(x)).effect_of_first(y)
    assert fid_infinity(x, y) == pytest.approx(frechet_distance(x, y) - effect.bias)
    assert fid_infinity(x, y).stderr == pytest.approx(frechet_distance(x, y).stderr)
    with pytest.raises(InputError, match="16 are needed"):
        fid_infinity(x, y[:15])
    score = FidInfinity().compute(evidence(real=Features(x), fake=Features(y)))["fid_infinity"]
    assert score.value == fid_infinity(x, y)
    other = Alignment(Moments.of(x), Moments.of(y)).effect_of_first(x)
    assert score.detail.startswith("against endless real items ")
    assert score.total_stderr == pytest.approx((effect.variance + other.variance) ** 0.5)
    assert score.low <= score.value - other.bias <= score.high
    # Halves say how far second order goes, and the interval as far.
    assert score.high - score.low >= 2 * 1.95 * score.total_stderr or score.low == 0
    with pytest.raises(Unsupported, match="too few"):
        FidInfinity().compute(evidence(real=Features(x), fake=Features(y[:15])))


# Classes


def test_classes_are_compared_with_their_own():
    real, fake = features(90, 4, 1), features(60, 4, 2)
    real_labels, fake_labels = torch.arange(90) % 3, torch.arange(60) % 3
    fake[fake_labels == 2] += 5
    by_label = frechet_distance_per_class(real, real_labels, fake.numpy(), fake_labels.numpy())
    assert list(by_label) == [0, 1, 2]
    for label, estimate in by_label.items():
        direct = frechet_distance(real[real_labels == label], fake[fake_labels == label])
        assert (estimate.value, estimate.stderr) == (direct.value, direct.stderr)
    parts = {"real": Features(real), "fake": Features(fake), "real_labels": real_labels}
    named = evidence(**parts, fake_labels=fake_labels, classes=("cat", "dog", "owl"))
    score = PerClassFid().compute(named)["fid_class"]
    bias = 0.0
    for label in by_label:
        sides = [side[own == label] for side, own in ((real, real_labels), (fake, fake_labels))]
        first, second = (Moments.of(side) for side in sides)
        bias += (
            Alignment(first, second).effect_of_first(sides[0]).bias
            + Alignment(second, first).effect_of_first(sides[1]).bias
        )
    assert score.value == pytest.approx(np.mean(list(by_label.values())) - bias / 3)
    assert not score.biased
    assert score.stderr == pytest.approx(np.linalg.norm([each.stderr for each in by_label.values()]) / 3)
    assert score.detail.startswith("worst: class owl, ")
    nameless = PerClassFid().compute(evidence(**parts, fake_labels=fake_labels))["fid_class"]
    assert nameless.detail.startswith("worst: class 2"), "files have labels, and no names for them"
    with pytest.raises(Unsupported, match="class 2 has 30 real and 0 fake"):
        PerClassFid().compute(evidence(**parts, fake_labels=fake_labels % 2))
    rare = torch.tensor([0] * 40 + [1] * 16 + [2] * 4)
    with pytest.raises(Unsupported, match="than 4 dimensions; class 2 has 30 real and 4 fake"):
        PerClassFid().compute(evidence(**parts, fake_labels=rare))
    rare[40] = 2
    few = PerClassFid().compute(evidence(**parts, fake_labels=rare))["fid_class"]
    assert few.biased
    assert few.detail.endswith("5 samples of a class are few for 4 dimensions, biased upwards")
    with pytest.raises(Unsupported, match="not known"):
        PerClassFid().compute(evidence(**parts, fake_labels=None))


def test_classes_name_what_does_not_fit():
    x, labels = features(6, 2, 0), torch.tensor([0, 0, 0, 1, 1, 1])
    with pytest.raises(InputError, match="class 1 has 3 real and 1 fake"):
        frechet_distance_per_class(x, labels, x, torch.tensor([0, 0, 0, 0, 0, 1]))
    with pytest.raises(InputError, match="one integer for each of 6 samples"):
        frechet_distance_per_class(x, labels[:5], x, labels)
    with pytest.raises(InputError, match="one integer"):
        frechet_distance_per_class(x, labels, x, labels.float())

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score

import genbench
from genbench.contracts import Dataset, SampleSpec
from genbench.data.outliers import outliers, photographs, shuffled
from genbench.errors import InputError
from genbench.evaluation import benchmarks
from genbench.metrics import auroc
from genbench.metrics.outliers import OutlierDetection, squared_errors
from genbench.metrics.reconstruction import Reconstruction, corrupted, root_mean_square


def test_auroc_is_scikit_learns_with_ties_and_turns_round_with_its_arguments():
    rng = np.random.default_rng(0)
    normal, odd = rng.integers(0, 8, 300) / 2, rng.integers(3, 12, 200) / 2
    expected = roc_auc_score(np.r_[np.zeros(300), np.ones(200)], np.r_[normal, odd])
    assert float(auroc(normal, odd)) == pytest.approx(expected, abs=1e-12)
    assert float(auroc(odd, normal)) == pytest.approx(1 - expected, abs=1e-12)
    assert float(auroc(np.zeros(5), np.ones(4))) == 1


def test_the_standard_error_of_auroc_is_that_of_repeated_draws():
    rng = np.random.default_rng(1)
    draws = [auroc(rng.normal(0, 1, 80), rng.normal(1, 2, 120)) for _ in range(400)]
    spread = np.std([float(draw) for draw in draws], ddof=1)
    assert np.mean([draw.stderr for draw in draws]) == pytest.approx(spread, rel=0.12)


def test_perfect_separation_is_never_without_an_interval():
    perfect = auroc(np.arange(60.0), np.arange(100.0, 130.0))
    assert (perfect.value, perfect.stderr, perfect.high) == (1, None, 1)
    assert perfect.low == pytest.approx(1 - 3 / 30)
    wrong = auroc(np.arange(100.0, 130.0), np.arange(60.0))
    assert (wrong.value, wrong.low, wrong.high) == (0, 0, pytest.approx(0.1))


@pytest.mark.parametrize("distance", [0.5, 2.5, 3.5])
def test_the_interval_of_auroc_covers(distance):
    rng, truth = np.random.default_rng(3), stats.norm.cdf(distance / 2**0.5)
    draws = [auroc(rng.normal(0, 1, 200), rng.normal(distance, 1, 150)) for _ in range(200)]
    assert np.mean([draw.low <= truth <= draw.high for draw in draws]) > 0.89  # 4 deviations below 95 percent


def test_auroc_refuses_what_has_no_answer():
    with pytest.raises(InputError, match="at least 2 scores"):
        auroc([1.0], [1.0, 2.0])
    with pytest.raises(InputError, match="finite"):
        auroc([1.0, float("nan")], [1.0, 2.0])


@pytest.mark.parametrize("spec", [SampleSpec((1, 8, 8), 17), SampleSpec((3, 32, 32), 256), SampleSpec((1, 28, 28), 2)])
def test_photographs_fit_every_image_spec_and_repeat(spec):
    x = photographs(50, spec)
    assert x.dtype == torch.uint8
    assert tuple(x.shape) == (50, *spec.shape)
    assert int(x.max()) == spec.levels - 1
    assert torch.equal(x, photographs(50, spec))


def test_shuffled_sequences_keep_their_symbols():
    x = torch.arange(60, dtype=torch.uint8).reshape(3, 20)
    y = shuffled(x)
    assert not torch.equal(x, y)
    assert torch.equal(y.sort(1).values, x)
    pens = torch.randn(4, 9, 2)
    rows = {tuple(row.tolist()) for row in shuffled(pens)[2]}
    assert rows == {tuple(row.tolist()) for row in pens[2]}, "a position moves as a whole"


def test_there_are_never_more_outliers_than_held_out_items():
    x = torch.zeros(7, 1, 8, 8, dtype=torch.uint8)
    assert len(outliers(Dataset("few", SampleSpec((1, 8, 8), 17), x, x))) == 7


def test_corruption_has_the_stated_rate_and_range():
    x = torch.zeros(200, 1, 8, 8, dtype=torch.uint8)
    y = corrupted(x, 17, 0.25)
    # A level drawn uniformly is the old one once in 17 times.
    assert (y != 0).double().mean().item() == pytest.approx(0.25 * 16 / 17, abs=0.01)
    assert int(y.max()) == 16
    assert torch.equal(y, corrupted(x, 17, 0.25))
    real = torch.randn(300, 5)
    mixed = corrupted(real, None, 0.5)
    assert (mixed != real).double().mean().item() == pytest.approx(0.5, abs=0.05)
    assert set(mixed[:, 2].tolist()) <= set(real[:, 2].tolist())


def test_root_mean_square_and_its_error_are_those_of_repeated_draws():
    rng = np.random.default_rng(2)
    draws = [root_mean_square(torch.from_numpy(rng.normal(0, 3, 400) ** 2)) for _ in range(300)]
    assert np.mean([float(draw) for draw in draws]) == pytest.approx(3, rel=0.01)
    spread = np.std([float(draw) for draw in draws], ddof=1)
    assert np.mean([draw.stderr for draw in draws]) == pytest.approx(spread, rel=0.15)
    assert root_mean_square(torch.zeros(5)).stderr is None


class Bright:
    """Gives bright items a low likelihood; reconstructs every item as black."""

    spec = SampleSpec((1, 8, 8), 17)
    log_prob_kind = "estimate"

    def sample(self, n):
        return torch.randint(17, (n, 1, 8, 8)).to(torch.uint8)

    def log_prob(self, x):
        return -x.flatten(1).double().sum(1)


class Black:
    spec = Bright.spec
    sample = Bright.sample

    def reconstruct(self, x):
        return torch.zeros_like(x)


def test_columns_use_the_likelihood_first_and_the_reconstruction_else():
    task = benchmarks.load("digits", metrics=["outliers", "reconstruction"])
    heldout, odd = task.dataset.heldout, task.reference.outliers
    report = genbench.evaluate(Bright(), "digits", metrics=["outliers", "reconstruction"])
    row = report.table.loc["auroc"] if "auroc" in report.table.index else report.table.set_index("column").loc["auroc"]
    expected = roc_auc_score([0] * 797 + [1] * 797, np.r_[heldout.flatten(1).sum(1), odd.flatten(1).sum(1)])
    assert row["value"] == pytest.approx(expected)
    assert row["detail"] == "by log_prob"
    report = genbench.evaluate(Black(), "digits", metrics=["outliers", "reconstruction"])
    rows = {result.column: result for result in report.results}
    squares = (heldout.double() / 16).square().flatten(1).mean(1)
    assert rows["auroc"].detail == "by the error of reconstruction"
    assert rows["reconstruction"].value == pytest.approx(math.sqrt(squares.mean()))
    assert rows["denoising"].value == rows["reconstruction"].value
    assert torch.equal(squared_errors(torch.zeros_like(heldout), heldout, 17), squares)


def test_a_model_with_neither_is_unsupported():
    class Plain:
        spec, sample = Bright.spec, Bright.sample

    report = genbench.evaluate(Plain(), "digits", metrics=["outliers", "reconstruction"])
    assert {result.status for result in report.results} == {"unsupported"}


def test_other_outliers_or_another_rate_are_another_protocol():
    task = benchmarks.load("digits")
    other = benchmarks.load("digits-binary")
    assert task.protocol.fingerprint(OutlierDetection()) != other.protocol.fingerprint(OutlierDetection())
    assert task.protocol.fingerprint(Reconstruction()) != task.protocol.fingerprint(Reconstruction(rate=0.5))
    moved = dataclasses.replace(task)
    moved.reference.__dict__["outliers"] = task.reference.outliers.flip(0)
    assert moved.protocol.fingerprint(OutlierDetection()) != task.protocol.fingerprint(OutlierDetection())

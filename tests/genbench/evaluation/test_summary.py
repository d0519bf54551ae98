"""Moments in place of features: the same distances, errors and intervals, in memory that does not grow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import genbench
from genbench.cli.entry import main
from genbench.contracts import Features, held_by
from genbench.errors import InputError, Unsupported
from genbench.evaluation import extraction, image_pass, processes, summary
from genbench.evaluation.summary import KnownAlone, Summary, of_arrays
from genbench.metrics.frechet import FrechetDistance, compared
from genbench.metrics.maximum_mean_discrepancy import KernelDistance
from genbench.metrics.unbiased_fid import FidInfinity
from genbench.numerics import reduced_transport


def features(n: int, dim: int, scale: float) -> torch.Tensor:
    rng = torch.Generator().manual_seed(n)
    return scale * torch.randn(n, dim, generator=rng) / torch.arange(1, dim + 1) + 3


def summarized(x: torch.Tensor, sizes: int) -> KnownAlone:
    whole = Summary(len(x))
    for batch in x.split(sizes):
        whole.add(batch)
    return of_arrays(whole.arrays())


@pytest.mark.parametrize("batch", [64, 7])
def test_a_summary_gives_what_all_features_give_where_its_rows_are_all(batch, monkeypatch):
    monkeypatch.setattr(summary, "BLOCK", 100)
    x, y = features(900, 6, 1.0), features(700, 6, 1.3)
    whole = compared(Features(x), Features(y))
    summed = compared(summarized(x, batch), summarized(y, batch))
    assert summed.distance == pytest.approx(whole.distance, rel=1e-9)
    for name in ("stderr", "total_stderr", "low", "high"):
        assert getattr(summed.estimate, name) == pytest.approx(getattr(whole.estimate, name), rel=1e-6)


def test_some_rows_stand_for_all(monkeypatch):
    monkeypatch.setattr(reduced_transport, "SAMPLES", 2000)
    monkeypatch.setattr(summary, "BLOCK", 500)
    x, y = features(9000, 12, 1.0), features(8000, 12, 1.1)
    fake = summarized(y, 64)
    assert torch.equal(fake.once("rows", lambda: y), y[::5])
    whole, summed = compared(Features(x), Features(y)), compared(summarized(x, 64), fake)
    assert summed.distance == pytest.approx(whole.distance, rel=1e-9)
    assert summed.stderr == pytest.approx(whole.stderr, rel=0.1)
    assert summed.total_stderr == pytest.approx(whole.total_stderr, rel=0.1)
    assert summed.fake_effect.bias == pytest.approx(whole.fake_effect.bias, rel=0.1)
    assert summed.real_effect.bias == pytest.approx(whole.real_effect.bias, rel=0.1)
    assert summed.estimate.low == pytest.approx(whole.estimate.low, abs=0.3 * whole.total_stderr)
    with pytest.raises(Unsupported, match="beside fid"):
        _ = fake.embeddings


def test_every_other_row_is_of_either_half(monkeypatch):
    monkeypatch.setattr(reduced_transport, "SAMPLES", 100)
    rows = torch.arange(0, 350, reduced_transport.row_step(350))
    assert set((rows % 2).tolist()) == {0, 1}
    assert (rows[::2] % 2 == 0).all()
    assert (rows[1::2] % 2 == 1).all()


@pytest.fixture
def pair(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(extraction, "MANY", 100)
    rng = np.random.default_rng(0)
    return [rng.integers(0, top, (150, 2, 2, 3)).astype(np.uint8) for top in (200, 220)]


def test_files_are_summed_where_moments_are_enough(pair, tmp_path, monkeypatch):
    alone = genbench.score(*pair, "identity", ["fid", "fid-infinity"])
    assert isinstance(alone.fake.features, KnownAlone)
    with pytest.raises(InputError, match="beside fid"):
        alone.costliest()
    both = genbench.score(*pair, "identity", ["fid", "fid-infinity", "kid"])
    assert isinstance(both.fake.features, Features)
    for row, other in zip(alone.results, both.results[:2], strict=True):
        assert row.value == pytest.approx(other.value, rel=1e-9)
        assert row.stderr == pytest.approx(other.stderr, rel=1e-6)
        assert row.total_stderr == pytest.approx(other.total_stderr, rel=1e-6)
        assert (row.protocol, row.status) == (other.protocol, "ok")
    # Features that are known already serve as they are.
    again = genbench.score(*pair, "identity", ["fid"])
    assert isinstance(again.fake.features, Features)


@pytest.mark.parametrize("metric", ["fid", "kid"])
def test_several_processes_sum_and_hold_what_one_does_to_the_last_bit(pair, tmp_path, monkeypatch, metric):
    """Rounds, runs and batches are those of three processes, one after the other; a file in between cannot be read."""
    monkeypatch.setattr(image_pass, "ROUND", 128)
    (tmp_path / "real").mkdir()
    for index, pixels in enumerate(pair[0]):
        Image.fromarray(pixels).save(tmp_path / "real" / f"{index:03}.png")
    (tmp_path / "real" / "070.png").write_text("no picture")
    told = []
    reading = genbench.Reading(on_bad_file="skip", tell=lambda *progress: told.append(progress))

    def scores():
        return genbench.score(tmp_path / "real", pair[1], "identity", [metric], reading=reading)

    alone = scores()
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "another"))
    monkeypatch.setattr(processes, "size", lambda: 3)
    monkeypatch.setattr(processes, "rank", lambda: 0)
    monkeypatch.setattr(processes, "gathered", lambda value: [value])
    monkeypatch.setattr(processes, "shared", lambda count, make: [make(index) for index in range(count)])
    told.clear()
    shared = scores()
    assert isinstance(shared.real.features, KnownAlone if metric == "fid" else Features)
    assert [(row.value, row.stderr, row.protocol) for row in shared.results] == [
        (row.value, row.stderr, row.protocol) for row in alone.results
    ]
    images = [(done, total) for name, done, total in told if name == "real"]
    assert images
    assert all(done <= total == 150 for done, total in images)


def test_statistics_are_summed_and_known_again(pair, tmp_path):
    np.save(tmp_path / "real.npy", pair[0])
    words = ["stats", str(tmp_path / "real.npy"), "-o", str(tmp_path / "real.npz"), "--features", "identity"]
    written = CliRunner().invoke(main, words)
    assert written.exit_code == 0, written.output
    assert "150 images, 12 features" in written.output
    with np.load(tmp_path / "real.npz") as stored:
        sigma = stored["sigma"]
    embeddings = genbench.score(pair[0], pair[1], "identity", ["fid", "kid"]).real.features.embeddings
    np.testing.assert_allclose(sigma, np.cov(embeddings.double().numpy(), rowvar=False), rtol=1e-9)


def test_few_images_for_their_features_are_held(pair):
    few = genbench.score(*pair, "identity", ["fid"])
    assert isinstance(few.real.features, KnownAlone)
    wide = [side.repeat(2, 1).repeat(2, 2) for side in pair]  # 48 features
    assert isinstance(genbench.score(*wide, "identity", ["fid"]).real.features, Features)


def test_metrics_say_what_they_hold():
    assert held_by(FrechetDistance()) == held_by(FidInfinity()) == "moments"
    assert held_by(KernelDistance()) == "features"


def test_memory_is_that_of_a_covariance():
    whole = Summary(10**6)
    for _ in range(40):
        whole.add(torch.randn(1000, 8))
    held = sum(len(rows) for rows in whole.rows) + sum(map(len, whole._waiting))
    assert held <= 40000 / whole.step + summary.BLOCK

"""Truncation curves: every model and psi is checked before the first number, and a failing metric ends nothing."""

from __future__ import annotations

import math

import plugins
import pytest
import torch
from click.testing import CliRunner

from genbench.cli.entry import main
from genbench.errors import InputError
from genbench.evaluation import benchmarks, truncation
from zoo.gan.stylegan import Config, StyleGAN


class Threshold(plugins.Grey):
    """Truncates as GANs do; psi has no effect, and `calls` counts the draws of all of its kind."""

    truncation = "threshold"
    calls = 0

    def sample(self, n):
        Threshold.calls += 1
        return super().sample(n)

    def sample_truncated(self, n, *, psi):
        return self.sample(n)


class Interpolation(Threshold):
    truncation = "interpolation"


class Temperature(Threshold):
    truncation = "temperature"


class OfOtherItems(Threshold):
    spec = plugins.WrongSpec.spec


@pytest.mark.parametrize("psi", [0.0, 1e-50, 1e-4])
def test_a_threshold_under_which_no_normal_number_falls_is_refused(psi):
    with pytest.raises(InputError, match=rf"psi of mine is a threshold on z, within 0\.001 to inf; got {psi:g}"):
        truncation.points(Threshold(), [0.5, psi], "mine")
    assert truncation.points(Threshold(), [truncation.SMALLEST, 7.0]) == [truncation.SMALLEST, 7.0, math.inf]


@pytest.mark.parametrize("kind", [Interpolation, Temperature])
@pytest.mark.parametrize("psi", [1.5, 3.0, math.inf])
def test_nothing_beyond_the_untruncated_passes_for_it(kind, psi):
    with pytest.raises(InputError, match=f"within 0 to 1; got {psi:g}"):
        truncation.points(kind(), [0.5, psi])


@pytest.mark.parametrize("kind", [Interpolation, Temperature])
def test_psi_0_is_a_point_where_the_model_takes_it(kind):
    assert truncation.parse_psis("0") == (0.0,)
    curve = truncation.sweep(kind(), benchmarks.load("digits", n=60, metrics=["fid"]), [0.0])
    assert curve["psi"].tolist() == [0.0, 1.0]


def test_a_stylegan_is_held_to_interpolation():
    model = StyleGAN(plugins.SPEC, Config(latent=4, depth=1))
    assert truncation.points(model, [0.0, 0.5]) == [0.0, 0.5, 1.0]
    with pytest.raises(InputError, match="within 0 to 1; got 3"):
        truncation.points(model, [3.0])


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ("Interpolation", "psi of test_truncation:Interpolation is a strength of truncation, within 0 to 1; got inf"),
        ("OfOtherItems", "the benchmark has"),
        ("Missing", "no attribute 'Missing'"),
    ],
)
def test_no_model_is_drawn_from_before_all_are_checked(tmp_path, monkeypatch, second, reason):
    monkeypatch.setattr(Threshold, "calls", 0)
    arguments = ["tradeoff", "test_truncation:Threshold", f"test_truncation:{second}", "--psi", "0.5,inf"]
    result = CliRunner().invoke(main, [*arguments, "-n", "60", "--metric", "fid", "--out", str(tmp_path / "out")])
    assert result.exit_code in (1, 2), result.output
    assert reason in result.stderr
    assert (result.stdout, Threshold.calls) == ("", 0)
    assert not (tmp_path / "out").exists()


def test_the_command_asks_for_batches_of_the_size_that_it_is_given(tmp_path, monkeypatch):
    monkeypatch.setattr(Threshold, "calls", 0)
    arguments = ["tradeoff", "test_truncation:Threshold", "--psi", "inf", "--metric", "precision", "-n", "60"]
    result = CliRunner().invoke(main, [*arguments, "--batch-size", "20", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert Threshold.calls == 3


def test_a_metric_that_raises_leaves_its_column_empty_and_the_curve_goes_on():
    task = benchmarks.load("digits", n=60, metrics=["strangers:Divides", "fid"])
    curve = truncation.sweep(Threshold(), task, [0.5])
    assert curve["psi"].tolist() == [0.5, math.inf]
    assert curve["divides"].isna().all()
    assert torch.isfinite(torch.tensor(curve["fid"].tolist())).all()

"""Image-to-image translation: what is measured of translations, what a translator must keep to, what is drawn."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import plugins
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from stand_in import evidence

import genbench
from genbench.cli.entry import main
from genbench.contracts import Dataset, Features, SampleSpec, Setting, Source, capabilities
from genbench.data import translation as data
from genbench.data.digits import digits
from genbench.errors import ConformanceError, InputError, ModelError, Unsupported
from genbench.evaluation import benchmarks, generators, run
from genbench.evaluation.generator_evidence import of_generator
from genbench.leaderboard import pictures
from genbench.metrics.translation import ClassKept, CycleError, PairedError
from genbench.plugins.metrics import metric_named

BOARDS = ("edges2digits", "thin2bold", "pose", "slant")
GREY, OUTLINES = data.GREY, SampleSpec((1, 8, 8), 2)
WHOLE = digits()


def translated_parts(**parts):
    """Four sources of 2 levels, all 0, labelled 0 0 1 1; four targets of 17 levels, all 4, labelled 1."""
    source = Source(SampleSpec((1, 1, 2), 2), *[torch.zeros(4, 1, 1, 2, dtype=torch.uint8)] * 2, True)
    source = dataclasses.replace(source, heldout_labels=torch.tensor([0, 0, 1, 1]))
    targets = torch.full((4, 1, 1, 2), 4, dtype=torch.uint8)
    dataset = Dataset("test", SampleSpec((1, 1, 2), 17), targets, targets, source=source)
    real = Features(torch.zeros(4, 1), torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]))
    return evidence(**{"dataset": dataset, "real": real, "real_labels": torch.ones(4).long()} | parts)


def test_errors_are_root_mean_squares_against_the_pair_and_against_the_source():
    near = torch.tensor([4, 4, 12, 12], dtype=torch.uint8)[:, None, None, None].expand(4, 1, 1, 2)
    score = PairedError().compute(translated_parts(translated=near))["paired_error"]
    assert score.value == pytest.approx(math.sqrt(0.5) / 2), "half the range away in half of the items"
    assert score.stderr == pytest.approx(torch.tensor([0, 0, 0.25, 0.25]).std().item() / 2 / (2 * score.value))
    back = torch.tensor([[0, 0], [0, 1]], dtype=torch.uint8)[:, None, None]
    score = CycleError().compute(translated_parts(cycled=back))["cycle_error"]
    assert score.value == pytest.approx(0.5), "one of four values is off by the whole range of the source"
    assert score.parts.mean().item() == pytest.approx(0.5)
    assert score.parts.std().item() / math.sqrt(2) == pytest.approx(score.stderr), "errors are those of the parts"
    with pytest.raises(Unsupported, match="has no pairs"):
        PairedError().compute(translated_parts(dataset=data.thin2bold(), translated=near))
    for metric in (PairedError(), CycleError(), ClassKept()):
        with pytest.raises(Unsupported, match="digits has no sources"):
            metric.compute(translated_parts(dataset=WHOLE))


def test_the_class_kept_is_that_of_the_source():
    labels = torch.tensor([0, 1, 1])
    agreement = ClassKept().compute(translated_parts(translated=torch.zeros(3), fake_labels=labels))["kept_class"]
    assert agreement.value == pytest.approx(2 / 3)
    assert agreement.stderr == pytest.approx(math.sqrt(2 / 27))
    assert agreement.detail == "of real items: 0.750"
    with pytest.raises(Unsupported, match="know no classes"):
        ClassKept().compute(translated_parts(translated=torch.zeros(3), fake_labels=None))


class Filler:
    """Fills an outline with a level, and finds it again."""

    spec, source_spec = GREY, OUTLINES

    def sample(self, n):
        return torch.randint(17, (n, 1, 8, 8)).to(torch.uint8)

    def translate(self, x):
        return 9 * x

    def cycle(self, x):
        return x ^ (x.flatten(1).sum(1) % 2)[:, None, None, None].to(torch.uint8)


class Noisy(Filler):
    def translate(self, x):
        return 9 * x + torch.randint(7, x.shape).to(torch.uint8)


class Raises(Filler):
    def translate(self, x):
        raise RuntimeError("no such style")


class WrongShape(Filler):
    def translate(self, x):
        return x[:, 0]


class WrongLevels(Filler):
    def translate(self, x):
        return 17 * x


class OtherSources(Filler):
    source_spec = GREY


class WrongCycle(Filler):
    def cycle(self, x):
        return 9 * x


@pytest.fixture(scope="module")
def task():
    return benchmarks.load("edges2digits", n=60)


def rows(model, task, **options):
    computed, collected = run.evaluate_generator(model(), task, options.get("seed", 0), "model")
    return {row.column: row for row in computed}, collected


def test_samples_are_the_translations_of_the_first_held_out_sources(task):
    by_column, collected = rows(Filler, task)
    expected = 9 * task.dataset.source.heldout[:60]
    assert torch.equal(collected.samples, expected)
    wrong = ((expected.double() - task.dataset.heldout[:60].double()) / 16).square().mean().sqrt().item()
    assert by_column["paired_error"].value == pytest.approx(wrong)
    odd = (task.dataset.source.heldout[:60].flatten(1).sum(1) % 2).double().mean().item()
    assert by_column["cycle_error"].value == pytest.approx(math.sqrt(odd))
    predicted = task.extractor(expected).probabilities.argmax(1)
    share = (predicted == task.dataset.source.heldout_labels[:60]).double().mean().item()
    assert by_column["kept_class"].value == pytest.approx(share)
    assert {row.n for row in by_column.values()} == {60}
    assert all(row.status == "ok" for row in by_column.values())


def test_translations_repeat_under_a_seed_and_come_in_chunks(task, monkeypatch):
    first, again, other = (rows(Noisy, task, seed=seed)[1].samples for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    monkeypatch.setattr(generators, "CHUNK", 25)
    sizes = []
    monkeypatch.setattr(Filler, "translate", lambda self, x: sizes.append(len(x)) or 9 * x)
    stages = []
    collected = of_generator(Filler(), task, 0, lambda *stage: stages.append(stage))
    assert torch.equal(collected.translated, 9 * task.dataset.source.heldout[:60])
    assert sizes == [25, 25, 10]
    assert stages == [("translating", done, 60) for done in (0, 25, 50, 60)]


def test_a_model_without_translate_is_judged_by_its_samples(task):
    by_column, collected = rows(plugins.Grey, task)
    assert torch.equal(collected.samples, generators.draw(plugins.Grey().sample, GREY, 60, 0))
    for column, reason in (
        ("paired_error", "the model defines no translate"),
        ("cycle_error", "the model defines no cycle"),
        ("kept_class", "the model defines no translate"),
    ):
        assert (by_column[column].status, by_column[column].detail) == ("unsupported", reason)
    elsewhere = benchmarks.load("digits", n=60, metrics=["fid", "paired-error"])
    by_column, collected = rows(Filler, elsewhere)
    assert torch.equal(collected.samples, generators.draw(Filler().sample, GREY, 60, 0))
    assert by_column["paired_error"].detail == "digits has no sources to translate"


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Raises, "translate raised RuntimeError: no such style"),
        (WrongShape, "translate(60) returned shape (60, 8, 8), not (60, 1, 8, 8)"),
        (WrongLevels, "translate(60) returned the value 17; the levels are 0..16"),
        (OtherSources, "it translates items of shape (1, 8, 8) with 17 levels, the sources have (1, 8, 8) with 2"),
        (WrongCycle, "cycle(60) returned the value 9; the levels are 0..1"),
    ],
)
def test_a_broken_translator_fails_in_one_sentence(task, model, reason):
    by_column, _ = rows(model, task)
    column = "cycle_error" if model is WrongCycle else "fid"
    assert (by_column[column].status, by_column[column].detail) == ("failed", reason)


def test_the_protocol_says_that_sources_are_translated(task):
    for name in ("fid", "class-kept"):
        metric = metric_named(name)
        protocol = task.protocol.of(metric)
        assert protocol["samples"] == f"translations of the first n held-out sources of {task.dataset.sha256}"
        assert protocol["n"] == 60
        assert "samples" not in benchmarks.load("digits", n=60).protocol.of(metric)
    with pytest.raises(InputError, match="thin2bold has 399 held-out sources to translate, n is 400"):
        benchmarks.load("thin2bold", n=400)
    for name in BOARDS:
        loaded = benchmarks.load(name)
        assert loaded.n == len(loaded.dataset.source.heldout)
        assert not loaded.warnings()


def test_the_check_holds_translators_to_both_specs():
    assert genbench.check(Filler()) == ("translation", "cycle")
    for model, fault in (
        (WrongShape, "translate(8) returned shape (8, 8, 8)"),
        (WrongLevels, "translate(8) returned the value 17"),
        (WrongCycle, "cycle(8) returned the value 9; the levels are 0..1"),
    ):
        with pytest.raises(ConformanceError) as caught:
            genbench.check(model())
        assert len(caught.value.faults) == 1
        assert caught.value.faults[0].startswith(fault)


def test_the_copy_is_the_sources_first_channels_in_the_targets_levels():
    anchor = pytest.importorskip("zoo.anchors.copy")
    outlines = data.edges2digits()
    copy = anchor.Copy(Setting("copy", "edges2digits", outlines))
    assert capabilities(copy) == ("translation",)
    assert torch.equal(copy.translate(outlines.source.heldout), 16 * outlines.source.heldout)
    told = data.slant()
    copy = anchor.Copy(Setting("copy", "slant", told))
    assert torch.equal(copy.translate(told.source.heldout), told.source.heldout[:, :1])
    drawn = copy.sample(5).flatten(1)
    assert (drawn[:, None] == told.source.train[:, :1].flatten(1)).all(2).any(1).all()
    with pytest.raises(ModelError, match="digits translates nothing"):
        anchor.Copy(Setting("copy", "digits", WHOLE))


def test_a_cell_shows_parts_beside_each_other_below_their_headings(tmp_path):
    spec = SampleSpec((1, 1, 2), 6)
    first = torch.arange(6, dtype=torch.uint8)[:, None, None, None].expand(6, 1, 1, 2)
    pictures.save_beside([("a", first, spec), ("b", 5 - first, spec), ("c", first, spec)], tmp_path / "cells.png")
    with Image.open(tmp_path / "cells.png") as image:
        pixels = np.asarray(image)
    headings, grid = pixels[: pictures.HEADING], pixels[pictures.HEADING :]
    scale = math.ceil(pictures.WIDTH_BESIDE / (4 * 9 + 1))
    small = grid[::scale, ::scale]
    assert np.array_equal(small.repeat(scale, 0).repeat(scale, 1), grid)
    assert small.shape == (2 * 2 + 1, 4 * 9 + 1, 3)
    assert (small == small[..., :1]).all(), "grey"
    border, divider = pictures.BORDER, pictures.DIVIDER
    second = [51, 51, border, 204, 204, border, 51, 51]
    assert small[1, 9:19, 0].tolist() == [divider, *second, divider]
    assert small[3, :19, 0].tolist()[9:] == [divider, 255, 255, border, 0, 0, border, 255, 255, divider]
    assert (small[0] == divider).all()
    dark = np.flatnonzero((headings < 200).any((0, 2))) / scale
    for cell in range(4):
        for part in range(3):
            left = 9 * cell + 1 + 3 * part
            assert ((left < dark) & (dark < left + 2)).any(), "a heading above each part"
    sequences = SampleSpec((2,), 6)
    pictures.save_beside([("a", first[:, 0, 0], sequences)] * 2, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


@pytest.mark.parametrize(
    ("board", "headings"),
    [
        ("edges2digits", ["source", "output", "target"]),
        ("thin2bold", ["source", "output"]),
        ("pose", ["source", "condition", "output", "target"]),
    ],
)
def test_what_a_model_is_told_beside_an_image_is_its_condition(board, headings):
    d = getattr(data, board)()
    parts = pictures.translations(d, d.heldout[:5])
    assert [heading for heading, _, _ in parts] == headings
    assert all(tuple(items.shape[1:]) == spec.shape == (1, 8, 8) for _, items, spec in parts)
    if board == "pose":
        told = d.source.heldout[:5, 1:]
        assert torch.equal(parts[1][1][:, 0], torch.stack([told[:, channel] for channel in range(4)]).amax(0))


@pytest.mark.parametrize(("board", "images"), [("edges2digits", 3), ("thin2bold", 2), ("pose", 4)])
def test_a_run_draws_sources_beside_translations(board, images, tmp_path):
    command = ["run", board, "--model", "copy", "--metric", "class-kept", "-n", "70", "--out", str(tmp_path)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert "class kept" in done.stdout
    with Image.open(tmp_path / "samples" / "copy.png") as image:
        width, height = image.size
    columns, rows = pictures.COLUMNS_BESIDE * 9 * images + 1, pictures.ROWS_BESIDE * 9 + 1
    assert (width / columns) == ((height - pictures.HEADING) / rows), "60 cells, each of so many images"

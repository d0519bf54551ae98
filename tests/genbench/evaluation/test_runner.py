"""Runs: nothing computed twice, nothing lost to a kill, one failure never touches another row."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import commands
import plugins
import pytest
import torch
from sklearn.naive_bayes import GaussianNB

import genbench
from genbench.errors import ConformanceError, GenbenchError, InputError, RegistryError, Unsupported
from genbench.evaluation import benchmarks, generators
from genbench.evaluation import run as runner
from genbench.evaluation.truncation import parse_psis
from genbench.leaderboard import boards, pairs
from genbench.metrics import frechet_distance, precision_recall
from genbench.plugins.metrics import metric_named
from genbench.storage import results

ROOT = Path(__file__).parents[3]
COLUMNS = sum(len(metric_named(name).columns) for name in benchmarks.find("digits").metrics)


@pytest.fixture(scope="module")
def task() -> benchmarks.Task:
    return benchmarks.load("digits", n=60)


def cards(*names):
    return [generators.resolve(name) for name in names]


def values(outcome):
    return {(row.model, row.column): row.value for row in outcome.rows}


def test_rows_hold_the_numbers_of_the_metrics(task):
    outcome = runner.run(task, cards("plugins:Grey"), runner.Options(seed=5))
    numbers = values(outcome)
    samples = generators.draw(plugins.Grey().sample, plugins.SPEC, 60, seed=5)
    real, fake = task.extractor(task.dataset.heldout), task.extractor(samples)
    assert numbers["plugins:Grey", "fid"] == pytest.approx(frechet_distance(real.embeddings, fake.embeddings))
    expected = precision_recall(real.embeddings, fake.embeddings)
    assert numbers["plugins:Grey", "precision"] == expected.precision
    assert numbers["plugins:Grey", "recall"] == expected.recall
    assert numbers["plugins:Grey", "bpd"] == pytest.approx(4.0875, abs=1e-4)  # log2(17)
    kinds = {row.column: (row.kind, row.n) for row in outcome.rows}
    assert kinds["bpd"] == ("exact", 797)
    assert kinds["fid"] == ("", 60)


def test_the_same_seed_gives_the_same_rows_and_another_does_not(task):
    first, again, other = (
        values(runner.run(task, cards("plugins:NumpyGrey"), runner.Options(seed=s))) for s in (1, 1, 2)
    )
    assert first == again
    assert first["plugins:NumpyGrey", "fid"] != other["plugins:NumpyGrey", "fid"]


def test_a_second_run_computes_only_what_is_missing_or_changed(task, tmp_path, monkeypatch):
    plugins.Counting.calls = 0
    go = lambda **options: runner.run(task, cards("plugins:Counting"), runner.Options(out=tmp_path, **options))  # noqa: E731
    first = go()
    assert (first.computed, plugins.Counting.calls) == (["plugins:Counting"], 1)
    second = go()
    assert (second.computed, plugins.Counting.calls) == ([], 1)
    assert values(second) == values(first)
    monkeypatch.setattr(plugins.Counting, "version", "2")
    assert go().computed == ["plugins:Counting"]
    assert go(fresh=True).computed == ["plugins:Counting"]
    rows = results.read(tmp_path / "results.jsonl")
    assert len(rows) == 3 * COLUMNS, "every row that was ever computed is kept"
    assert len(results.current(rows)) == COLUMNS, "and the newest of each counts"
    assert go(seed=1).computed == ["plugins:Counting"], "another seed is another row"
    assert len(results.current(results.read(tmp_path / "results.jsonl"))) == 2 * COLUMNS


def test_a_missing_metric_is_computed_alone(task, tmp_path):
    only = benchmarks.load("digits", n=60, metrics=["fid"])
    runner.run(only, cards("plugins:Grey"), runner.Options(out=tmp_path))
    before = results.read(tmp_path / "results.jsonl")
    runner.run(task, cards("plugins:Grey"), runner.Options(out=tmp_path))
    after = results.read(tmp_path / "results.jsonl")
    assert after[: len(before)] == before, "the row that was there is the row that stays"
    assert {row.column for row in after} == {column.name for metric in task.metrics for column in metric.columns}


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        ("Raises", "sample raised RuntimeError: the weights are gone"),
        ("WrongShape", "returned shape (60, 8, 8), not (60, 1, 8, 8)"),
        ("TooFew", "59 samples in place of 60"),
        ("WrongDtype", "levelled samples are uint8, scaled to 0..levels-1 and rounded"),
        ("NotFinite", "values that are not finite"),
        ("OutOfRange", "returned the value 17; the levels are 0..16"),
        ("WrongSpec", "it makes items of shape (1, 28, 28) with 256 levels, the benchmark has (1, 8, 8) with 17"),
        ("NoSpec", "it has no spec"),
        ("two_arguments", "a factory takes a Setting or nothing"),
        ("number", "neither a factory nor a generator"),
        ("missing", "no attribute 'missing'"),
    ],
)
def test_a_broken_model_fails_in_one_sentence_and_the_others_go_on(task, tmp_path, plugin, reason):
    models = cards("plugins:Grey", f"plugins:{plugin}", "plugins:NumpyGrey")
    # The probe for the version draws too: it must break as clearly as the draw for the metrics.
    outcome = runner.run(task, models, runner.Options(out=tmp_path))
    by_model = {}
    for row in outcome.rows:
        by_model.setdefault(row.model, []).append(row)
    failed = by_model[f"plugins:{plugin}"]
    assert all(row.status == "failed" and row.value is None for row in failed if row.column != "nll")
    said = failed[0].detail
    assert reason.replace("60", "16").replace("59", "15") in said or reason in said
    assert "\n" not in said
    assert "failed" not in {row.status for row in by_model["plugins:Grey"]}
    assert {row.status for row in by_model["plugins:NumpyGrey"]} == {"ok", "unsupported"}


def test_a_broken_likelihood_leaves_the_sample_metrics_alone(task):
    rows = {row.column: row for row in runner.run(task, cards("plugins:NanLikelihood"), runner.Options()).rows}
    assert rows["fid"].status == "ok"
    assert rows["nll"].status == rows["bpd"].status == "failed"
    assert rows["nll"].detail == "log_prob returned NaN for 797 of 797 items"


def test_factories_and_ready_generators_are_taken(task):
    outcome = runner.run(task, cards("plugins:with_setting", "plugins:ready", "plugins:Grey"), runner.Options())
    assert {row.status for row in outcome.rows} == {"ok", "unsupported"}
    assert len({row.value for row in outcome.rows if row.column == "fid"}) == 1


SLOW = """
import time, plugins
class Slow(plugins.Grey):
    version = "1"
    def sample(self, n):
        time.sleep(0.4)
        return super().sample(n)
"""


def test_a_killed_run_is_completed_by_the_next(tmp_path, monkeypatch):
    (tmp_path / "slow.py").write_text(SLOW + "\n".join(f"class S{i}(Slow): version = '{i}'" for i in range(4)))
    models = [part for i in range(4) for part in ("-m", f"slow:S{i}")]
    command = ["run", "digits", "-n", "60", "--out", tmp_path / "out", *models]
    path = tmp_path / "out" / "results.jsonl"
    begun = commands.genbench(*command, folder=tmp_path)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (path.exists() and path.stat().st_size):
        time.sleep(0.02)
    begun.process.kill()
    begun.wait()
    finished = results.read(path)
    assert 0 < len(finished) < 4 * COLUMNS, "killed in the midst of it"
    with path.open("a") as file:
        file.write('{"schema": 1, "model": "slow')  # what a kill in the midst of a write leaves
    monkeypatch.chdir(tmp_path)
    done = commands.genbench_here(*command, "--json")
    assert done.returncode == 0, done.stderr
    rows = results.read(path)
    assert len(rows) == len({row.key for row in rows}) == 4 * COLUMNS
    assert rows[: len(finished)] == finished
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 4 * COLUMNS
    assert "torn" in done.stderr


def test_each_part_of_the_protocol_changes_the_fingerprint(task):
    by_name = {metric.name: metric for metric in task.metrics}
    fid, likelihood = by_name["fid"], by_name["likelihood"]
    base = task.protocol.fingerprint(fid)
    assert base != benchmarks.load("digits", n=61).protocol.fingerprint(fid)
    assert base != benchmarks.load("digits", n=60, features="identity").protocol.fingerprint(fid)
    assert base != benchmarks.load("digits-binary", n=60).protocol.fingerprint(fid)
    assert base == benchmarks.load("digits", n=60, metrics=["fid"]).protocol.fingerprint(fid)
    assert likelihood is not None
    assert task.protocol.fingerprint(likelihood) == benchmarks.load("digits", n=61).protocol.fingerprint(likelihood)
    from dataclasses import replace

    from genbench.contracts import Effort
    from genbench.metrics.prdc import PrecisionRecall

    more = replace(task, benchmark=replace(task.benchmark, effort=Effort(importance_samples=64)))
    assert more.protocol.fingerprint(likelihood) != task.protocol.fingerprint(likelihood)
    assert task.protocol.fingerprint(PrecisionRecall(k=5)) != task.protocol.fingerprint(PrecisionRecall(k=3))


def test_wrong_requests_say_what_to_do():
    with pytest.raises(RegistryError, match="did you mean digits"):
        benchmarks.load("digit")
    with pytest.raises(RegistryError, match=r"no metric is called 'fd'; did you mean fid"):
        benchmarks.load("digits", metrics=["fd"])
    with pytest.raises(InputError, match="precision-recall needs at least 4 samples, n is 3"):
        benchmarks.load("digits", n=3, metrics=["precision-recall"])
    with pytest.raises(InputError, match="digits-cnn reads"):
        benchmarks.load("weather", features="digits-cnn")
    with pytest.raises(GenbenchError, match="does not exist"):
        benchmarks.load("no/such/folder")


def test_few_samples_warn_for_fid():
    assert "biased upwards" in benchmarks.load("digits", n=50).warnings()[0]
    assert benchmarks.load("digits", n=100).warnings() == []


def test_evaluate_reports_and_repeats_what_run_finds(task):
    report = genbench.evaluate(plugins.Grey(), "digits", n=60, seed=5)
    run = values(runner.run(task, cards("plugins:Grey"), runner.Options(seed=5)))
    assert report.table.loc["fid", "value"] == run["plugins:Grey", "fid"]
    assert report.table.loc["fid", "stderr"] > 0
    assert report.samples.shape == (60, 1, 8, 8)
    assert "FID" in str(report)
    assert "<table" in report._repr_html_()
    with pytest.raises(GenbenchError, match="the benchmark has"):
        genbench.evaluate(plugins.WrongSpec(), "digits", n=60)
    broken = genbench.evaluate(plugins.Raises(), "digits", n=60)
    assert broken.failed
    assert broken.samples is None
    assert {row.status for row in broken.results} == {"failed"}
    assert "the weights are gone" in str(broken)


class Discriminant(plugins.Grey):
    """A generative classifier whose accuracy scikit-learn knows too."""

    def __init__(self):
        data = benchmarks.load_dataset(benchmarks.find("digits"))
        self.model = GaussianNB(var_smoothing=1e-2).fit(data.train.flatten(1), data.train_labels)
        self.score = self.model.score(data.heldout.flatten(1), data.heldout_labels)

    log_prob_kind = "estimate"

    def class_log_joint(self, x):
        return torch.from_numpy(self.model.predict_joint_log_proba(x.flatten(1).numpy()))


def test_accuracy_agrees_with_scikit_learn_and_needs_classes():
    model = Discriminant()
    assert genbench.check(model) == ("log_prob", "class_joint")
    table = genbench.evaluate(model, "digits", metrics=["accuracy"]).table
    assert table.loc["accuracy", "value"] == pytest.approx(model.score)
    assert table.loc["accuracy", "stderr"] == pytest.approx((model.score * (1 - model.score) / 797) ** 0.5)
    assert genbench.evaluate(plugins.Grey(), metrics=["accuracy"]).table.loc["accuracy", "status"] == "unsupported"


def test_the_gap_to_the_truth_of_uniform_noise_has_its_closed_form():
    task = benchmarks.load("weather", metrics=["gap"])
    (row,) = runner.run(task, cards("noise"), runner.Options()).rows
    assert row.value == pytest.approx(30 * math.log(3) - task.dataset.entropy, abs=4 * row.stderr)
    unknown = genbench.evaluate(plugins.Grey(), "digits", metrics=["gap"]).table
    assert unknown.loc["gap", "detail"] == "the true distribution of digits is not known"


class Blurred(plugins.Grey):
    """Truncation by temperature: levels pulled towards the middle."""

    truncation = "temperature"

    def sample(self, n):
        return self.sample_truncated(n, psi=1.0)

    def sample_truncated(self, n, *, psi):
        return (8 + psi * (torch.randint(17, (n, 1, 8, 8)) - 8)).round().to(torch.uint8)


def test_a_tradeoff_ends_where_an_evaluation_stands(task):
    curve = genbench.tradeoff(Blurred(), "digits", psis=[0.5], n=60, seed=2)
    assert curve["psi"].tolist() == [0.5, 1.0]
    whole = genbench.evaluate(Blurred(), "digits", n=60, seed=2).table
    for column in ("fid", "is", "precision", "recall"):
        assert curve[column].iloc[1] == whole.loc[column, "value"]
        assert curve[f"{column}_stderr"].iloc[1] == whole.loc[column, "stderr"]
    assert curve["fid"].iloc[0] != curve["fid"].iloc[1]
    with pytest.raises(Unsupported, match="defines no truncation"):
        genbench.tradeoff(plugins.Grey(), "digits", n=60)


@pytest.mark.parametrize(("text", "psis"), [("0.2:0.6:0.2", (0.2, 0.4, 0.6)), ("0.5,inf", (0.5, math.inf))])
def test_psis_are_read_as_written(text, psis):
    assert parse_psis(text) == psis


@pytest.mark.parametrize("text", ["", "1:0.5:0.1", "-1:1:0.1", "0.5,-1", "a", "0.1:1", "0.1:inf:0.1"])
def test_impossible_psis_are_refused(text):
    with pytest.raises(InputError, match="psi must read"):
        parse_psis(text)


def test_check_finds_every_fault_at_once():
    assert genbench.check(plugins.Grey()) == ("log_prob",)
    assert genbench.check(plugins.NumpyGrey()) == ()
    with pytest.raises(ConformanceError) as caught:
        genbench.check(plugins.Clock())
    text = "\n".join(caught.value.faults)
    for part in (
        "not deterministic under a seed",
        "log_prob_kind must be one of exact, lower_bound, estimate",
        "log_prob returned shape (8, 1), not (8,)",
        "returned the value 200",
    ):
        assert part in text
    assert len(caught.value.faults) == 4
    with pytest.raises(ConformanceError, match="no spec"):
        genbench.check(plugins.NoSpec())


class Tiny:
    """Four binary states with chosen log-masses."""

    spec = genbench.SampleSpec((2,), 2)
    log_prob_kind = "exact"

    def __init__(self, masses):
        self.masses = torch.tensor(masses, dtype=torch.float64)

    def sample(self, n):
        return torch.randint(2, (n, 2)).to(torch.uint8)

    def log_prob(self, x):
        return self.masses[(2 * x[:, 0] + x[:, 1]).long()].log()


def test_check_sums_small_spaces_and_refuses_impossible_masses():
    assert genbench.check(Tiny([0.1, 0.2, 0.3, 0.4])) == ("log_prob",)
    with pytest.raises(ConformanceError, match=r"sum to 1\.1000"):
        genbench.check(Tiny([0.2, 0.2, 0.3, 0.4]))
    with pytest.raises(ConformanceError, match="above 0"):
        genbench.check(Tiny([1.2, 1.2, 1.3, 1.4]))


def test_check_sees_a_dependence_on_the_batch():
    class Standardised(plugins.Grey):
        def log_prob(self, x):
            return super().log_prob(x) - x.double().flatten(1).mean(1) / (x.double().std() + 1)

    with pytest.raises(ConformanceError, match="depends on the other items"):
        genbench.check(Standardised())


def test_boards_read_what_runs_wrote(task, tmp_path):
    runner.run(task, cards("plugins:Grey", "plugins:NumpyGrey"), runner.Options(out=tmp_path))
    frame = genbench.leaderboard(tmp_path)
    assert list(frame["model"]) == ["plugins:NumpyGrey", "plugins:Grey"] or list(frame["model"]) == [
        "plugins:Grey",
        "plugins:NumpyGrey",
    ]
    assert frame["fid"].is_monotonic_increasing
    assert boards.leaderboard(tmp_path, sort="nll")["model"].iloc[0] == "plugins:Grey"


def test_errors_and_shares_of_held_out_items_are_compared_in_pairs(tmp_path):
    task = benchmarks.load("pose", metrics=["paired-error", "class-kept"], n=60)
    runner.run(task, cards("pix2pix", "pose-gan"), runner.Options(out=tmp_path))
    lookup = boards.items(tmp_path)
    rows = {(row.model, row.column): row for row in boards.read(tmp_path)}
    for row in rows.values():
        parts = lookup.of(row)
        assert parts.values.mean() == pytest.approx(row.value, rel=1e-5)
        assert parts.values.std() / math.sqrt(len(parts.values)) == pytest.approx(row.stderr, rel=0.02)
    sides = [lookup.of(rows[model, "paired_error"]).values for model in ("pix2pix", "pose-gan")]
    paired = (sides[0] - sides[1]).std(ddof=1) / math.sqrt(len(sides[0]))
    unpaired = math.hypot(rows["pix2pix", "paired_error"].stderr, rows["pose-gan", "paired_error"].stderr)
    error = pairs.error_of(rows["pix2pix", "paired_error"], rows["pose-gan", "paired_error"], lookup, lookup)
    assert error == pytest.approx(paired, rel=1e-4)
    assert paired < unpaired


def test_likelihoods_are_kept_item_by_item_beside_their_rows(task, tmp_path):
    likelihood = benchmarks.load("digits", metrics=["likelihood", "fid"], n=60)
    runner.run(likelihood, cards("plugins:Grey", "naive-bayes", "plugins:NumpyGrey"), runner.Options(out=tmp_path))
    lookup = boards.items(tmp_path)
    files = [path.name for path in sorted((tmp_path / "log_probs").iterdir())]
    assert files == ["naive-bayes.npz", "plugins-Grey.npz"], "who has no likelihood has no items"
    rows = {(row.model, row.column): row for row in boards.read(tmp_path)}
    for model in ("naive-bayes", "plugins:Grey"):
        items = lookup.of(rows[model, "nll"])
        for column, nats in (("nll", 1.0), ("bpd", 64 * math.log(2))):
            row = rows[model, column]
            assert lookup.of(row) is items
            assert -items.values.mean() / nats == pytest.approx(row.value, rel=1e-6)
            assert items.columns[column].nats == pytest.approx(nats)
        assert len(items.values) == 797
    (board,) = boards.boards([tmp_path], sort="nll")
    assert any("in pairs" in note for note in board.notes)
    before = [path.read_bytes() for path in sorted((tmp_path / "log_probs").iterdir())]
    runner.run(likelihood, cards("plugins:Grey"), runner.Options(out=tmp_path, fresh=True))
    assert [path.read_bytes() for path in sorted((tmp_path / "log_probs").iterdir())] == before

"""The committed boards and curves: they belong to the shipped checkpoints, and show what the lectures say."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from genbench.contracts import Setting
from genbench.evaluation import benchmarks, generators
from genbench.plugins import registry
from genbench.storage import results

ROOT = Path(__file__).parents[2]
CARDS = [card for card in registry.models().values() if card.target.startswith("zoo.")]
BOARDS = benchmarks.bundled()


def board_rows(board: str) -> dict[str, dict[str, str]]:
    with (ROOT / "leaderboards" / board / "leaderboard.csv").open() as file:
        return {row["model"]: row for row in csv.DictReader(file)}


def test_the_committed_board_shows_what_the_lectures_say():
    rows = board_rows("digits")
    assert set(rows) == {card.name for card in CARDS if card.stands_on("digits")}
    bpd = {model: float(row["bpd"]) for model, row in rows.items() if row["bpd"]}
    assert bpd["pixel-cnn"] < bpd["vae"] < bpd["naive-bayes"] < bpd["noise"]
    fid = {model: float(row["fid"]) for model, row in rows.items()}
    assert min(fid, key=fid.__getitem__) == "real"
    assert max(fid, key=fid.__getitem__) == "noise"
    assert all(value < fid["noise"] / 3 for model, value in fid.items() if model != "noise")
    assert float(rows["dcgan"]["precision"]) > 0.6
    assert bpd["gated-pixel-cnn"] < bpd["pixel-cnn"]
    assert bpd["vq-vae-pixelcnn"] < bpd["vq-vae"], "a learned prior over the uniform one"
    assert fid["vq-vae-pixelcnn"] < fid["vq-vae"]
    accuracy = {model: float(row["accuracy"]) for model, row in rows.items() if row["accuracy"]}
    assert 0.85 < accuracy["naive-bayes-classifier"] < accuracy["gaussian-classifier-lda"] < 1
    assert accuracy["gaussian-classifier-lda"] < accuracy["gaussian-classifier-qda"] < 1
    denoising = {model: float(row["denoising"]) for model, row in rows.items() if row["denoising"]}
    assert min(denoising, key=denoising.__getitem__) == "denoising-autoencoder"


def test_the_committed_binary_board_shows_what_the_lectures_say():
    rows = board_rows("digits-binary")
    nll = {model: float(row["nll"]) for model, row in rows.items() if row["nll"]}
    assert nll["dbn"] < nll["rbm"] < nll["boltzmann-machine"], "hidden units over none, two layers over one"
    assert nll["nade"] < nll["fvbn"] < nll["markov-chain"] < nll["naive-bayes"] < nll["noise"]
    assert nll["gated-pixel-cnn"] < nll["pixel-cnn"]
    assert nll["vq-vae-pixelcnn"] < nll["vq-vae"]
    for model in ("boltzmann-machine", "rbm", "rbm-cd", "dbn", "dbm"):
        assert float(rows[model]["nll_low"]) <= nll[model] <= float(rows[model]["nll_high"])
        assert rows[model]["kind"] == "estimate"


def test_the_committed_boards_of_sequences_show_what_the_lectures_say():
    strokes = {model: float(row["nll"]) for model, row in board_rows("strokes").items() if row["nll"]}
    assert strokes["wavenet"] < strokes["hidden-markov-mixture"] < strokes["markov-chain"] < strokes["markov-chain-0"]
    tones = {model: float(row["bpd"]) for model, row in board_rows("tones").items() if row["bpd"]}
    assert tones["wavenet"] < tones["markov-chain"] < tones["naive-bayes"] < tones["noise"] == 8


def test_the_committed_weather_board_reaches_the_true_entropy():
    rows = board_rows("weather")
    gap, error = float(rows["markov-chain"]["gap"]), float(rows["markov-chain"]["gap_stderr"])
    assert abs(gap) < 3 * error + 0.005
    assert float(rows["naive-bayes"]["gap"]) > 1
    assert float(rows["markov-chain-0"]["gap"]) > 1


def test_the_committed_board_of_digits_ranks_the_gans_as_their_papers_do():
    rows = board_rows("digits")

    def better(first: str, second: str) -> bool:
        """Whether the first model's FID is lower by more than the standard errors of both."""
        margin = sum(float(rows[model]["fid_stderr"]) for model in (first, second))
        return float(rows[first]["fid"]) + margin < float(rows[second]["fid"])

    for constrained in ("wgan-gp", "sn-gan"):
        assert better(constrained, "wgan")
        assert better(constrained, "gan")
    for model in ("biggan", "sagan"):
        assert float(rows[model]["precision"]) > 0.7
    assert float(rows["real"]["classes"]) == 10
    assert float(rows["real"]["class_entropy"]) == pytest.approx(math.log(10), abs=0.01)
    for model in ("biggan", "progan", "dcgan", "sn-gan", "wgan-gp"):
        assert float(rows[model]["classes"]) == 10


@pytest.mark.parametrize("board", ["edges2digits", "thin2bold", "pose", "slant"])
def test_the_committed_boards_of_translation_beat_the_untranslated_source(board):
    rows = board_rows(board)
    models = set(rows) - {"real", "noise", "copy"}
    assert models
    column = "fid" if board == "thin2bold" else "paired_error"
    for model in models:
        # A cyclegan on pairs is not told them.
        figure = "fid" if model == "cyclegan" else column
        assert float(rows[model][figure]) < 0.75 * float(rows["copy"][figure])
        assert float(rows[model]["kept_class"]) > 0.6


def curves() -> dict[str, list[dict[str, float]]]:
    by_model: dict[str, list[dict[str, float]]] = {}
    (path,) = (ROOT / "leaderboards" / "digits").glob("tradeoff-*.csv")
    with path.open() as file:
        for row in csv.DictReader(file):
            values = {key: float(value) for key, value in row.items() if value and key != "model"}
            by_model.setdefault(row["model"], []).append(values)
    return by_model


def test_a_committed_curve_ends_where_the_board_stands_and_loses_recall():
    rows = board_rows("digits")
    for model, curve in curves().items():
        # Curves are of fewer samples than the board.
        board, error = float(rows[model]["fid_infinity"]), float(rows[model]["fid_infinity_stderr"])
        margin = 4 * math.hypot(error, curve[-1]["fid_infinity_stderr"])
        assert curve[-1]["fid_infinity"] == pytest.approx(board, abs=margin), "without truncation the board's"
        if model in ("biggan", "dcgan-modes"):  # others need not: truncating a plain GAN is no trade
            assert curve[0]["psi"] == 0.2
            assert curve[0]["recall"] < curve[-1]["recall"] - curve[-1]["recall_stderr"]


@pytest.mark.parametrize("board", BOARDS)
def test_committed_boards_belong_to_the_shipped_checkpoints(board):
    """Rows of a model whose checkpoint or code has changed since would be stale."""
    task = benchmarks.load(board)
    current = {}
    for row in results.current(results.read(ROOT / "leaderboards" / board / "results.jsonl")):
        current[row.model, row.column] = row
    for card in CARDS:
        if not card.stands_on(board):
            continue
        own = task.of(card).protocol
        protocols = {column.name: own.fingerprint(metric) for metric in task.metrics for column in metric.columns}
        model = generators.build(card, Setting(card.name, board, task.dataset))
        for column, protocol in protocols.items():
            assert current[card.name, column].protocol == protocol
            assert current[card.name, column].model_version == generators.version(model)

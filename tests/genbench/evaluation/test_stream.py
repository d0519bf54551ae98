"""Scores of streams are those of arrays to the last digit: in any batches, epochs, processes, and from a file."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import commands
import numpy as np
import pytest
import stream_ranks
import torch

import genbench
from genbench import metrics
from genbench.contracts import Features
from genbench.errors import DataError, InputError

METRICS = ["fid", "is", "kid", "precision-recall", "vendi"]
ROOT = Path(__file__).parents[3]


class Network:
    """Features and class probabilities of 8x8 images, by fixed random weights: a small network's rounding is real."""

    name, fingerprint = "network", "network-1"

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.weights = torch.randn(192, 16, generator=generator)

    def __call__(self, x):
        embeddings = (x.flatten(1).float() / 255) @ self.weights
        return Features(embeddings, embeddings[:, :5].softmax(1))


def images(n):
    return torch.randint(256, (n, 3, 8, 8)).to(torch.uint8)


def numbers(scores):
    return {row.column: (row.status, row.value, row.stderr, row.protocol, row.model_version) for row in scores.results}


def streamed(real, fake, sizes=(1, 30, 64, 100), network=None):
    """A stream that was given the items in batches of these sizes, in turn."""
    stream = genbench.Stream(network or Network(), METRICS)
    for name, items in (("real", real), ("fake", fake)):
        start, turn = 0, 0
        while start < len(items):
            stream.update(**{name: items[start : start + sizes[turn % len(sizes)]]})
            start, turn = start + sizes[turn % len(sizes)], turn + 1
    return stream


@pytest.fixture
def sets():
    return images(300), images(230)


def test_batches_have_the_scores_of_the_whole(sets):
    expected = numbers(genbench.score(*sets, features=Network(), metrics=METRICS))
    assert all(status == "ok" for status, *_ in expected.values())
    stream = streamed(*sets)
    assert numbers(stream.compute()) == expected
    assert numbers(stream.compute()) == expected, "computing changes nothing"


def test_computing_on_the_way_changes_nothing(sets):
    real, fake = sets
    stream = streamed(real[:100], fake[:50])
    stream.compute()
    stream.update(real=real[100:], fake=fake[50:])
    assert numbers(stream.compute()) == numbers(genbench.score(real, fake, features=Network(), metrics=METRICS))


def test_the_reference_is_seen_once(sets):
    real, fake = sets

    class Counting(Network):
        images = 0

        def __call__(self, x):
            self.images += len(x)
            return super().__call__(x)

    network = Counting()
    stream = streamed(real, fake, network=network)
    stream.compute()
    before, other = network.images, images(128)
    stream.reset()
    stream.update(fake=other)
    scores = stream.compute()
    assert network.images == before + 128
    assert numbers(scores) == numbers(genbench.score(real, other, features=Network(), metrics=METRICS))
    stream.reset(real=True)
    with pytest.raises(InputError, match=r"there are no real items yet; stream\.update\(real=\.\.\.\)"):
        stream.compute()


def test_layouts_and_faults():
    stream = genbench.Stream("identity", ["fid"])
    first = images(80)
    stream.update(real=first, fake=first.permute(0, 2, 3, 1).numpy())
    assert stream.compute()["fid"] == pytest.approx(0, abs=1e-9)
    with pytest.raises(DataError, match="images must be uint8; convert them"):
        stream.update(fake=torch.rand(3, 3, 8, 8))
    with pytest.raises(InputError, match=r"images of one stream have one size"):
        stream.update(fake=torch.zeros(3, 3, 9, 8, dtype=torch.uint8))
    with pytest.raises(InputError, match="Stream\\(features=None\\) alone"):
        stream.update(fake=Features(torch.zeros(2, 2)))


def test_features_that_are_there_already():
    real, fake = torch.randn(200, 6), np.random.default_rng(0).normal(size=(150, 6))
    probabilities = torch.rand(150, 4).softmax(1)
    stream = genbench.Stream(None, METRICS)
    stream.update(real=real[:90], fake=Features(torch.from_numpy(fake)[:70], probabilities[:70]))
    stream.update(real=real[90:], fake=Features(torch.from_numpy(fake)[70:], probabilities[70:]))
    scores, vectors = stream.compute(), torch.from_numpy(fake).float()
    precision_recall = metrics.precision_recall(real, vectors)
    assert scores["fid"] == float(metrics.frechet_distance(real, vectors))
    assert scores["kid"] == float(metrics.kernel_distance(real, vectors))
    assert scores["is"] == float(metrics.inception_score(probabilities).mean)
    assert (scores["precision"], scores["recall"]) == tuple(
        map(float, (precision_recall.precision, precision_recall.recall))
    )
    with pytest.raises(InputError, match="one width, 6 is followed by 5"):
        stream.update(fake=torch.zeros(3, 5))
    with pytest.raises(InputError, match=r"finite numbers \(n, D\)"):
        stream.update(fake=torch.full((3, 6), torch.nan))
    other = genbench.Stream(None, ["fid"])
    other.update(real=real, fake=torch.zeros(3, 5))
    with pytest.raises(InputError, match="real items have 6 features and fake ones 5"):
        other.compute()


def test_merged_streams_have_all_items(sets):
    real, fake = sets
    stream = streamed(real[:128], fake[:64])
    stream.merge(streamed(real[128:], fake[64:]))
    whole = genbench.score(real, fake, features=Network(), metrics=METRICS)
    for row, expected in zip(stream.compute().results, whole.results, strict=True):
        assert (row.value, row.stderr) == (expected.value, expected.stderr)
    empty = genbench.Stream(Network(), METRICS)
    empty.merge(streamed(real, fake))
    assert numbers(empty.compute()) == numbers(whole), "of one stream all is known"
    empty.merge(genbench.Stream(Network(), METRICS))
    assert numbers(empty.compute()) == numbers(whole)


def test_a_state_goes_on_where_it_was(tmp_path, sets):
    real, fake = sets
    stream = streamed(real, fake[:100])
    torch.save(stream.state_dict(), tmp_path / "stream.pt")
    again = genbench.Stream(Network(), METRICS)
    again.load_state_dict(torch.load(tmp_path / "stream.pt"))
    assert numbers(again.compute()) == numbers(stream.compute())
    for each in (stream, again):
        each.update(fake=fake[100:])
    rows = zip(again.compute().results, stream.compute().results, strict=True)
    assert all((row.value, row.stderr, row.protocol) == (r.value, r.stderr, r.protocol) for row, r in rows)
    again.update(real=images(1))
    assert again.compute().results[0].protocol != stream.compute().results[0].protocol, "it is another reference"
    with pytest.raises(InputError, match="has the parts real and fake, this has epoch"):
        again.load_state_dict({"epoch": 3})


def test_two_processes_have_the_scores_of_one(tmp_path):
    real, fakes = torch.randn(260, 5), torch.randn(2, 200, 5)
    items = {
        "features": None,
        "metrics": ["fid", "kid", "precision-recall", "vendi"],
        "real": [real[:100], real[100:]],
        "fake": [[fake[:120], fake[120:]] for fake in fakes],
    }
    torch.save(items, tmp_path / "items.pt")
    for done in commands.together(2, stream_ranks.main, tmp_path, folder=tmp_path):
        assert done.returncode == 0, done.stderr
    expected = []
    stream = genbench.Stream(None, items["metrics"])
    stream.update(real=real)
    for fake in fakes:
        stream.update(fake=fake)
        expected.append({row.column: [row.value, row.stderr, row.protocol] for row in stream.compute().results})
        stream.reset()
    for rank in range(2):
        assert json.loads((tmp_path / f"rank{rank}.json").read_text()) == expected


def example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_plain_loop_of_the_examples(capsys):
    scores = example("training_loop").train(epochs=2, steps=60)
    assert scores[1] < scores[0]
    assert capsys.readouterr().out.count("epoch") == 2


@pytest.mark.filterwarnings("ignore")
def test_the_callback_of_the_examples(tmp_path, monkeypatch):
    pytest.importorskip("lightning")
    monkeypatch.chdir(tmp_path)
    assert set(example("lightning_callback").train(epochs=1)) == {
        "genbench/fid",
        "genbench/precision",
        "genbench/recall",
    }

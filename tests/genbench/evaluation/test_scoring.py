"""`genbench score` and `genbench stats` on files as people have them, through the library and the command line."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import plugins
import pytest
import scipy.linalg
import torch
from click.testing import CliRunner
from PIL import Image

import genbench
from genbench.cli.entry import main
from genbench.data import images, sources
from genbench.errors import DataError, InputError
from genbench.evaluation.image_pass import Reading
from genbench.metrics import frechet_distance
from genbench.plugins import registry
from genbench.storage import cache, regular

QUICK = ("fid", "precision-recall")


def pictures(seed: int, n: int = 40, size: tuple[int, int] = (9, 8), shift: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    brightness = rng.integers(0, 200, (n, 1, 1, 3))
    return (brightness + rng.integers(0, 56 - shift, (n, *size, 3)) + shift).astype(np.uint8)


def folder(path: Path, batch: np.ndarray, suffix: str = "png") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(batch):
        Image.fromarray(pixels).save(path / f"{number:04}.{suffix}")
    return path


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def means(monkeypatch):
    """The features `channel-means` of tests/plugins.py, which read images of any size."""
    find = registry.find
    card = registry.Card("channel-means", "plugins:channel_means")
    monkeypatch.setattr(registry, "find", lambda group, name: card if name == card.name else find(group, name))
    monkeypatch.setattr(plugins.ChannelMeans, "calls", 0)


@pytest.fixture
def pair(tmp_path) -> tuple[Path, Path]:
    return folder(tmp_path / "real", pictures(1)), folder(tmp_path / "fake", pictures(2, shift=9))


def invoke(*words: object):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.parametrize(("held", "opened"), [(2**28, {1}), (0, {2, 3})])
def test_files_are_opened_once(pair, monkeypatch, held, opened):
    """For their digest, and decoded from the same bytes; a set too large to be held is opened again to be decoded."""
    times: Counter[Path] = Counter()

    def counting(path: Path):
        times[path] += 1
        return regular.open_regular(path)

    for module in (sources, images):
        monkeypatch.setattr(module, "open_regular", counting)
    monkeypatch.setattr(sources, "HELD", held)
    scores = genbench.score(*pair, features="channel-means", metrics=QUICK)
    assert {times[path] for side in pair for path in side.iterdir()} == opened
    assert not scores.real.images.source.held, "the files are let go"
    times.clear()
    genbench.score(*pair, features="channel-means", metrics=QUICK)
    assert {times[path] for side in pair for path in side.iterdir()} <= {1, 2}, "features come from the cache"


def embedded(batch: np.ndarray) -> np.ndarray:
    x = batch.astype(np.float64).reshape(len(batch), -1, 3)
    return np.concatenate([x.mean(1), x.std(1, ddof=1)], 1).astype(np.float32).astype(np.float64)


def test_folders_arrays_and_files_score_alike_and_as_scipy_says(pair, tmp_path):
    real, fake = pictures(1), pictures(2, shift=9)
    np.savez(tmp_path / "fake.npz", arr_0=fake)
    np.save(tmp_path / "real.npy", real.transpose(0, 3, 1, 2))
    sets = [pair, (tmp_path / "real.npy", tmp_path / "fake.npz"), (real, torch.from_numpy(fake))]
    scores = [genbench.score(*images, features="channel-means", metrics=QUICK) for images in sets]
    r, f = embedded(real), embedded(fake)
    root = scipy.linalg.sqrtm(np.cov(r.T) @ np.cov(f.T)).real
    expected = ((r.mean(0) - f.mean(0)) ** 2).sum() + np.trace(np.cov(r.T) + np.cov(f.T) - 2 * root)
    for each in scores:
        assert each["fid"] == pytest.approx(expected, rel=1e-4)
        assert [row.value for row in each.results] == [row.value for row in scores[0].results]
        assert set(each.table.index) == {"fid", "precision", "recall"}
    with pytest.raises(KeyError):
        scores[0]["nll"]


def test_a_second_look_at_the_same_bytes_extracts_nothing(pair, tmp_path):
    first = genbench.score(*pair, features="channel-means", metrics=QUICK)
    assert plugins.ChannelMeans.calls == 80
    shutil.copytree(pair[0], tmp_path / "moved")
    again = genbench.score(tmp_path / "moved", pair[1], features="channel-means", metrics=QUICK)
    assert plugins.ChannelMeans.calls == 80
    assert [row.value for row in again.results] == [row.value for row in first.results]
    folder(pair[1], pictures(3, n=1))
    assert genbench.score(*pair, features="channel-means", metrics=QUICK)["fid"] != first["fid"]
    assert plugins.ChannelMeans.calls == 120


def entries() -> list[Path]:
    return sorted((cache.root() / "arrays").rglob("*.safetensors"))


@pytest.mark.parametrize("harm", ["flip", "cut", "swap", "empty"])
def test_a_damaged_cache_is_not_believed(pair, harm):
    first = genbench.score(*pair, features="channel-means", metrics=QUICK)
    a, b = entries()
    content = bytearray(a.read_bytes())
    content[-3] ^= 16
    harmed = {"flip": bytes(content), "cut": bytes(content[:-50]), "swap": b.read_bytes(), "empty": b""}[harm]
    a.write_bytes(harmed)
    again = genbench.score(*pair, features="channel-means", metrics=QUICK)
    assert plugins.ChannelMeans.calls == 120, "what is damaged is extracted again"
    assert [row.value for row in again.results] == [row.value for row in first.results]
    genbench.score(*pair, features="channel-means", metrics=QUICK)
    assert plugins.ChannelMeans.calls == 120, "and repaired"


def test_a_cache_that_cannot_be_written_breaks_nothing(pair, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    for place in (tmp_path / "file", Path("/dev/full/cache"), Path("/proc/cache")):
        monkeypatch.setenv("GENBENCH_CACHE", str(place))
        assert genbench.score(*pair, features="channel-means", metrics=QUICK)["fid"] > 0
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "full"))
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert genbench.score(*pair, features="channel-means", metrics=QUICK)["fid"] > 0
    assert not [path for path in (tmp_path / "full").rglob("*") if path.is_file()], "nothing half-written is left"


def test_bad_files_stop_with_a_list_or_are_skipped_and_marked(pair):
    (pair[1] / "0003.png").write_bytes(b"x")
    (pair[1] / "0017.png").write_bytes((pair[1] / "0018.png").read_bytes()[:60])
    stopped = invoke("score", *pair, "--features", "channel-means", "--metric", "fid")
    assert stopped.exit_code == 1
    assert "2 of the 40 images of fake cannot be read" in stopped.stderr
    assert "0003.png" in stopped.stderr
    assert "0017.png" in stopped.stderr
    skip = Reading(on_bad_file="skip")
    scores = genbench.score(*pair, features="channel-means", metrics=["fid"], reading=skip)
    readable = np.delete(pictures(2, shift=9), [3, 17], axis=0)
    assert scores["fid"] == pytest.approx(genbench.score(pictures(1), readable, "channel-means", ["fid"])["fid"])
    assert scores.results[0].n == 38
    assert any("2 of the 40 images of fake could not be read" in note for note in scores.notes)
    with pytest.raises(DataError, match="2 of the 40"):  # features are in the cache now, the policy holds all the same
        genbench.score(*pair, features="channel-means", metrics=["fid"])
    whole = genbench.score(pair[0], pictures(2, shift=9)[:38], "channel-means", ["fid"])
    assert whole.results[0].protocol != scores.results[0].protocol, "a marked row is not ranked with whole ones"


def test_images_of_several_sizes_need_features_that_resize(tmp_path, pair):
    folder(tmp_path / "mixed", pictures(2, n=30, size=(4, 4)))
    Image.fromarray(pictures(5, n=1)[0, :, :, 0]).save(tmp_path / "mixed" / "zz.png")
    scores = genbench.score(pair[0], tmp_path / "mixed", features="channel-means", metrics=["fid"])
    assert any("2 sizes or modes" in note for note in scores.notes)
    assert any("9x8" in note or "8x9" in note for note in scores.notes)
    with pytest.raises(DataError, match=r"zz\.png is 8x9 with 1 channel while .*0000\.png is 4x4"):
        genbench.score(pair[0], tmp_path / "mixed", features="identity", metrics=["fid"])


def test_subsets_are_drawn_by_the_seed(pair):
    options = {"features": "channel-means", "metrics": ["fid"]}
    draws = [genbench.score(*pair, **options, reading=Reading(n=20, seed=seed)) for seed in (0, 0, 1)]
    assert draws[0]["fid"] == draws[1]["fid"] != draws[2]["fid"]
    assert draws[0].results[0].n == 20
    more = genbench.score(*pair, **options, reading=Reading(n=50))
    assert any("hold fewer than 50 images" in note for note in more.notes)


def test_few_images_fail_one_by_one_and_identical_sets_are_named(pair, tmp_path):
    few = genbench.score(pictures(1, n=2), pictures(2, n=2), "channel-means", QUICK)
    assert few.results[0].status == "ok"
    assert [row.detail for row in few.results[1:]] == ["needs at least 4 samples, got 2"] * 2
    single = invoke("score", pair[0], folder(tmp_path / "one", pictures(2, n=1)), "--features", "channel-means")
    assert single.exit_code == 1
    assert "needs at least 2 samples, got 1" in single.output
    same = genbench.score(pair[0], pair[0], "channel-means", ["fid"])
    assert same["fid"] == pytest.approx(0, abs=1e-6)
    assert any("the same images" in note for note in same.notes)


def test_copies_are_found_where_the_train_images_are_named(pair):
    train, real = pictures(7, n=300), pictures(9, n=300)
    honest = genbench.score(real, pictures(8, n=300), "channel-means", ["memorization"], train=train)
    copier = genbench.score(real, train, "channel-means", ["memorization"], train=train)
    assert abs(honest["memorization"]) < 3
    assert copier["memorization"] < -3
    without = genbench.score(*pair, "channel-means", ["memorization"])
    assert without.results[0].status == "unsupported"
    assert "--train" in without.results[0].detail


def test_class_folders_give_a_distance_for_each_class(tmp_path):
    for name, seed in (("real", 1), ("fake", 4)):
        for number, label in enumerate(("cat", "dog")):
            folder(tmp_path / name / label, pictures(seed + number, shift=number * 20))
    scores = genbench.score(tmp_path / "real", tmp_path / "fake", "channel-means", ["fid", "per-class-fid"])
    each = [
        genbench.score(tmp_path / "real" / label, tmp_path / "fake" / label, "channel-means", ["fid"])["fid"]
        for label in ("cat", "dog")
    ]
    assert 0 < scores["fid_class"] < np.mean(each), "without the bias of few samples"
    (row,) = [row for row in scores.results if row.column == "fid_class"]
    assert row.detail.startswith(f"worst: class {('cat', 'dog')[int(np.argmax(each))]}, ")


def test_the_images_that_cost_the_most_are_those_without_which_the_distance_falls_most(tmp_path):
    real, fake = pictures(1, n=300), pictures(2, n=300, shift=30)
    np.save(tmp_path / "fake.npy", fake)
    worst = genbench.score(real, tmp_path / "fake.npy", "channel-means", ["fid"]).costliest(300)
    x, y = torch.from_numpy(embedded(real)), torch.from_numpy(embedded(fake))
    whole = frechet_distance(x, y)
    changes = [frechet_distance(x, torch.cat([y[:i], y[i + 1 :]])) - whole for i in range(300)]
    places = [int(name.split()[1]) for name in worst["image"]]
    assert set(np.argsort(changes)[:3]) == set(places[:3])
    np.testing.assert_allclose(
        worst["fid_change_without"], np.array(changes)[places], atol=0.05 * max(map(abs, changes))
    )
    listed = invoke("score", tmp_path / "fake.npy", tmp_path / "fake.npy", "--features", "channel-means", "--worst", 2)
    assert len(listed.stdout.strip().split("fid_change_without")[1].strip().splitlines()) == 2


def test_statistics_are_written_and_scored_as_the_images_are(pair, tmp_path):
    written = invoke("stats", pair[0], "-o", tmp_path / "real.npz", "--features", "channel-means")
    assert written.exit_code == 0, written.output
    assert "40 images, 6 features" in written.output
    stored = np.load(tmp_path / "real.npz")
    np.testing.assert_allclose(stored["sigma"], np.cov(embedded(pictures(1)).T), rtol=1e-4, atol=1e-3)
    direct = genbench.score(*pair, "channel-means", ["fid"])
    scores = genbench.score(tmp_path / "real.npz", pair[1], "channel-means", ["fid", "is", "precision-recall"])
    assert scores["fid"] == pytest.approx(direct["fid"], rel=1e-9)
    assert scores.results[0].stderr == pytest.approx(direct.results[0].stderr, rel=1e-6)
    assert {row.status for row in scores.results[1:]} == {"unsupported"}
    np.savez(tmp_path / "peer.npz", mu=stored["mu"], sigma=stored["sigma"])
    alone = genbench.score(tmp_path / "peer.npz", tmp_path / "real.npz", "channel-means", ["fid"])
    assert alone["fid"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(DataError, match=r"fake has 216: .*--features"):
        genbench.score(tmp_path / "real.npz", pair[1], "identity", ["fid"])
    np.savez(tmp_path / "broken.npz", mu=np.zeros(6), sigma=np.zeros((5, 5)))
    with pytest.raises((DataError, InputError), match="sigma"):
        genbench.score(tmp_path / "broken.npz", pair[1], "channel-means", ["fid"])


def test_the_command_prints_a_table_or_rows_and_keeps_the_samples(pair, tmp_path):
    words = ("score", *pair, "--features", "channel-means", "--metric", "fid", "--metric", "is")
    table = invoke(*words)
    assert table.exit_code == 0, table.output
    assert table.stdout.startswith("Fréchet distance (channel-means) ↓")
    assert "±" in table.stdout
    assert "IS ↑" in table.stdout.splitlines()[-2]
    rows = [json.loads(line) for line in invoke(*words, "--json").stdout.splitlines()]
    assert {"fid", "is"} <= {row["column"] for row in rows}
    assert (rows[0]["model"], rows[0]["benchmark"]) == ("fake", "real")
    saved = invoke(*words, "--save-samples", tmp_path / "kept.npz", "-n", 12)
    assert saved.exit_code == 0, saved.output
    assert np.load(tmp_path / "kept.npz")["arr_0"].shape == (12, 9, 8, 3)


def test_wrong_words_are_explained(pair):
    for words, sentence in (
        (("--features", "identities"), "did you mean identity"),
        (("--features", "identity:3"), "nothing after a colon"),
        (("--features", "identity", "--precision", "bfloat16"), "take no --precision"),
        (("--features", "identity", "--metric", "fidd"), "did you mean"),
        (("--features", "identity", "--device", "abacus"), "cannot be used here"),
    ):
        refused = invoke("score", *pair, *words)
        assert refused.exit_code == 2, refused.output
        assert sentence in refused.stderr


def test_samples_of_a_model_become_a_file_that_score_reads(tmp_path):
    words = ("run", "digits", "--model", "plugins:Grey", "--metric", "fid", "-n", 70, "--out", tmp_path / "out")
    ran = invoke(*words, "--save-samples", tmp_path / "samples")
    assert ran.exit_code == 0, ran.output
    (path,) = (tmp_path / "samples").iterdir()
    array = np.load(path)["arr_0"]
    assert array.shape == (70, 8, 8, 1)
    assert array.max() == 255, "17 levels are spread over 0..255"
    assert genbench.score(path, path, "digits-cnn", ["fid"])["fid"] == pytest.approx(0, abs=1e-3)

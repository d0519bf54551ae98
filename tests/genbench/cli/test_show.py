"""`show`, `samples` and `latent`: what is known of a name, and pictures of what it makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from genbench.cli import main
from genbench.cli.show import sparkline
from genbench.plugins import registry

ROOT = Path(__file__).parents[3]


@pytest.fixture
def here(monkeypatch):
    monkeypatch.chdir(ROOT)


def printed(*line, code=0):
    done = CliRunner().invoke(main, list(line))
    assert done.exit_code == code, done.output
    return done.output


def test_a_model_is_shown_with_its_card_its_training_and_its_place(here):
    text = printed("show", "dcgan")
    card = registry.find("models", "dcgan")
    joined = " ".join(text.split())
    for part in (card.summary, card.reference, *card.deviations):
        assert " ".join(part.split()) in joined
    assert "genbench train dcgan --benchmark digits" in text
    assert "discriminator_loss" in text
    assert "by FID" in text
    assert "leaderboards/digits/samples/dcgan.png" in joined
    assert max(map(len, text.splitlines())) <= 100


def test_every_name_can_be_shown(here):
    for group in ("benchmarks", "datasets", "metrics", "features"):
        name, card = next(iter(registry.cards(group).items()))
        assert " ".join(card.summary.split()[:3]) in printed("show", name)
    assert "models" in printed("show", "digits")
    assert "(data set)" in printed("show", "digits")
    assert "did you mean dcgan" in printed("show", "dcgn", code=2)


def test_a_curve_is_a_line_of_blocks():
    assert sparkline([4.0, 2.0, None, 0.0]) == "4 █▅ ▁ 0"
    assert sparkline([]) == ""
    assert sparkline([1.0, 1.0]) == "1 ▁▁ 1"


def test_a_training_keeps_its_curve_and_it_is_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path))
    printed("train", "vae", "--budget", "20")
    (record,) = [registry.records(registry.find("models", "vae"))["digits"]]
    (phase,) = record["curve"]
    assert phase["step"] == list(range(1, 21))
    assert len(phase["loss"]) == 20
    assert f"loss {phase['loss'][0]:.4g} " in printed("show", "vae")
    printed("samples", "vae", "-n", "4", "-o", str(tmp_path / "vae.png"))
    assert (tmp_path / "vae.png").is_file(), "the checkpoint with a curve loads"


def test_pictures_of_samples_and_of_walks(tmp_path):
    grid, walk = tmp_path / "grid.png", tmp_path / "walk.png"
    assert "9 samples of dcgan on digits" in printed("samples", "dcgan", "-n", "9", "-o", str(grid))
    with Image.open(grid) as image:
        assert image.width >= 400
    text = printed("latent", "dcgan", "--rows", "2", "--steps", "3", "-o", str(walk))
    assert "2 interpolations of 3 steps" in text
    assert "0 and" in text
    with Image.open(walk) as image:
        assert len(image.convert("L").getcolors()) > 10
    assert "no latent space" in printed("latent", "naive-bayes", "-o", str(walk), code=2)
    assert "are no images" in printed("latent", "hidden-markov", "--benchmark", "strokes", "-o", str(walk), code=2)


def test_translations_stand_beside_their_sources(tmp_path):
    target = tmp_path / "pairs.png"
    printed("samples", "pix2pix", "-n", "5", "-o", str(target))
    with Image.open(target) as image:
        assert image.width > image.height, "one row of five cells, three images in each"

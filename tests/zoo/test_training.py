"""What the trainings share: which weights decay, and how the best are chosen."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

import zoo
from genbench.contracts import Budget, Dataset, SampleSpec
from zoo import presets
from zoo.checkpoints import SHIPPED as CHECKPOINTS
from zoo.training import Batches, Options, Redrawn, Split, decaying, minimise, validated

SPEC = SampleSpec((4,), 2)


@dataclass(frozen=True)
class Recipe:
    steps: int = 50
    batch: int = 5
    rate: float = 0.1
    decay: float = 0.0


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(1, 1)), nn.Parameter(torch.ones(1))


def items(n: int) -> Dataset:
    x = torch.arange(n * 4).reshape(n, 4).remainder(2).to(torch.uint8)
    return Dataset("tiny", SPEC, x, x)


def test_weights_decay_and_biases_do_not():
    line = Line()
    minimise(lambda x: 0 * (line.weight.sum() + line.bias.sum()), line, torch.zeros(10, 1), Budget(), Recipe(decay=0.5))
    assert line.bias.item() == 1.0
    assert line.weight.item() < 0.9
    groups = decaying(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), 0.1)
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.1), (3, 0.0)]


def test_the_weights_with_the_best_score_are_left():
    """The loss drives the weight down for ever, but the validation items like it best at a half."""
    line = Line()
    split = Split(torch.zeros(10, 1), torch.full((4, 1), 0.5))
    shown = []
    figures = minimise(
        lambda x: line.weight.sum() + 0 * line.bias.sum(),
        line,
        split,
        Budget(progress=lambda step, steps, figures: shown.extend(v for k, v in figures.items() if k == "validation")),
        Recipe(),
        Options(average=0.0, score=lambda x: (line.weight - x).abs().mean()),
    )
    assert figures["validation_nats"] == pytest.approx(min(shown))
    assert abs(line.weight.item() - 0.5) == pytest.approx(figures["validation_nats"], abs=1e-6)
    assert 0 < figures["best_step"] < 50
    unchosen = Line()
    minimise(lambda x: unchosen.weight.sum() + 0 * unchosen.bias.sum(), unchosen, split, Budget(), Recipe())
    assert unchosen.weight.item() < 0


def test_choosing_draws_no_random_numbers_of_the_training():
    def final(validation):
        torch.manual_seed(0)
        line = Line()
        options = Options(average=0.0, score=lambda x: torch.rand(()) * 0 - torch.rand(()))
        minimise(
            lambda x, line=line: (torch.randn(()) * line.weight).sum() + line.bias.sum(),
            line,
            Split(torch.zeros(10, 1), validation),
            Budget(),
            replace(Recipe(), steps=1),
            options,
        )
        return line.weight.item(), torch.rand(()).item()

    assert final(None) == final(torch.zeros(4, 1))


def test_validation_items_come_from_the_train_split_or_their_makers():
    dataset = items(50)
    split = validated(dataset, 7)
    assert (len(split.train), len(split.validation)) == (43, 7)
    assert len(validated(dataset, 1000).validation) == 10, "at most a fifth"
    assert torch.equal(validated(dataset, 7).validation, split.validation), "the same for every model"
    assert validated(dataset, 0).validation is None
    set_aside = replace(dataset, validation=torch.ones(20, 4, dtype=torch.uint8))
    assert validated(set_aside, 7).validation.sum() == 28
    assert len(validated(set_aside, 7).train) == 50


def test_items_with_intensities_are_drawn_anew_with_these_chances():
    levels = torch.tensor([0, 51, 204, 255], dtype=torch.uint8)
    data = replace(items(1000), intensities=levels.expand(1000, 4))
    split = validated(data, 100)
    assert torch.equal(
        split.validation, data.train[torch.randperm(1000, generator=torch.Generator().manual_seed(0))[:100]]
    )
    feed = Batches(split.train, 900)
    epochs = torch.stack([next(feed) for _ in range(20)])
    assert epochs.dtype == torch.uint8
    assert (epochs[..., 0] == 0).all()
    assert (epochs[..., 3] == 1).all()
    assert not torch.equal(epochs[0], epochs[1])
    error = (0.2 * 0.8 / 18_000) ** 0.5
    assert epochs[..., 1].double().mean().item() == pytest.approx(0.2, abs=5 * error)
    assert epochs[..., 2].double().mean().item() == pytest.approx(0.8, abs=5 * error)
    assert isinstance(validated(data, 0).train, Redrawn)


def test_presets_have_their_say_in_order():
    size = {
        name: presets.settings("pixel-cnn", SampleSpec(shape, levels))
        for name, (shape, levels) in {
            "digits": ((1, 8, 8), 17),
            "digits-binary": ((1, 8, 8), 2),
            "mnist-binary": ((1, 28, 28), 2),
        }.items()
    }
    assert size["digits"] == {}
    assert size["digits-binary"]["blocks"] == 8
    assert size["mnist-binary"]["first"] == 7
    vae = presets.settings("vae", SampleSpec((1, 28, 28), 2))
    assert (vae["latent"], vae["features"]) == (50, 0)
    assert presets.settings("unheard-of", SPEC) == {}


def test_every_preset_belongs_to_a_model_of_the_catalogue():
    assert set(presets.PRESETS) <= {card.name for card in zoo.catalogue()}


CLAIMS = [(card, claim) for card in zoo.catalogue() for claim in card.published]


@pytest.mark.parametrize(("card", "claim"), CLAIMS, ids=lambda value: getattr(value, "name", None))
def test_the_training_beside_a_published_number_is_that_of_the_presets(card, claim):
    module, _, target = card.target.partition(":")
    kind = getattr(importlib.import_module(module), target.removesuffix(".build"))
    recipe = kind.recipe(SampleSpec((1, 28, 28), 256 if claim.benchmark == "mnist" else 2))
    assert claim.budget.startswith(f"{recipe.steps:,} steps of {recipe.batch}")
    record = CHECKPOINTS / claim.benchmark / f"{card.name}.json"
    if record.exists():
        config = json.loads(record.read_text())["config"]
        assert (config["steps"], config["batch"]) == (recipe.steps, recipe.batch)

"""Small benchmarks of image-to-image translation, and what every model of the kind is held to."""

from __future__ import annotations

import copy
import dataclasses

import torch

import genbench
from genbench import seeding
from genbench.contracts import Budget, Dataset, SampleSpec, Setting, Source

GREY = SampleSpec((1, 8, 8), 17)
COLOUR = SampleSpec((3, 32, 32), 256)
SPECS = (GREY, SampleSpec((1, 28, 28), 256), COLOUR, SampleSpec((2, 9, 14), 5))


def sourced(spec: SampleSpec, maps: int = 1, paired: bool = True, levels: int | None = None) -> Dataset:
    """Smooth blobs, and as sources the same blobs upside down with as many constant planes as `maps`."""
    with seeding.scoped("images"):
        smooth = torch.nn.functional.avg_pool2d(torch.rand(40, *spec.shape), 3, 1, 1)
        planes = torch.rand(40, maps, 1, 1).expand(-1, -1, *spec.shape[1:])
    levels = levels or spec.levels
    parts = (smooth.flip(2), planes)
    source = torch.cat([(part * levels).clamp(max=levels - 1).to(torch.uint8) for part in parts], 1)
    target = (smooth * spec.levels).clamp(max=spec.levels - 1).to(torch.uint8)
    there = SampleSpec(tuple(source.shape[1:]), levels)
    return Dataset("test", spec, target[:30], target[30:], source=Source(there, source[:30], source[30:], paired))


def fresh(kind, dataset, **changes):
    """An untrained model for a dataset, its configuration changed."""
    model = kind.build(Setting(kind.name, "test", dataset, trained=False))
    if not changes:
        return model
    changed = kind(dataset.spec, dataclasses.replace(model.config, **changes))
    changed.prepare(Setting(kind.name, "test", dataset))
    return changed


def trains_and_keeps_the_contract(kind, dataset):
    """Two steps of training change the weights, what is made keeps the contract, and what is saved can be loaded."""
    torch.manual_seed(0)
    fresh_setting = Setting(kind.name, "test", dataset, trained=False)
    model = kind.build(fresh_setting)
    before = copy.deepcopy(model.state_dict())
    figures = model.fit(dataset, Budget(steps=2))
    assert all(torch.isfinite(torch.tensor(value)) for value in figures.values())
    assert any(not torch.equal(before[key], value) for key, value in model.state_dict().items())
    genbench.check(model, dataset.spec)
    model.save(fresh_setting, {"figures": dict(figures)})
    loaded = kind.build(Setting(kind.name, "test", dataset))
    assert loaded.source_spec == dataset.source.spec
    results = []
    for each in (model, loaded):
        torch.manual_seed(1)
        results.append(each.translate(dataset.source.heldout))
    assert torch.equal(*results)
    assert results[0].shape == dataset.heldout.shape

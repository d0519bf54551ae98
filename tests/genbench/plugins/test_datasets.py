"""Data sets by name: whatever a stranger's loader raises or returns is a DataError of one sentence."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from genbench.contracts import Dataset, SampleSpec, Source
from genbench.errors import DataError, RegistryError
from genbench.plugins import registry
from genbench.plugins.datasets import dataset_named

SOUND = Dataset(
    name="mine",
    spec=SampleSpec((2,), 3),
    train=torch.tensor([[0, 1], [2, 2]], dtype=torch.uint8),
    heldout=torch.tensor([[1, 1]], dtype=torch.uint8),
    heldout_labels=torch.tensor([0]),
)


def loaded(monkeypatch, load):
    monkeypatch.setattr(registry, "find", lambda group, name: SimpleNamespace(target="m:f"))
    monkeypatch.setattr(registry, "load", lambda target: load)
    return dataset_named("mine")


def test_a_sound_data_set_is_taken(monkeypatch):
    assert loaded(monkeypatch, lambda root: SOUND) is SOUND


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"train": SOUND.train.long()}, "has train that are no torch.uint8 tensor on the CPU"),
        ({"train": SOUND.train.to("meta")}, "has train that are no torch.uint8 tensor on the CPU"),
        ({"heldout": SOUND.heldout.numpy()}, "has heldout that are no torch.uint8 tensor"),
        ({"heldout": SOUND.heldout[:, :1]}, r"has heldout of shape \(1, 1\), not \(n, 2\)"),
        ({"heldout": SOUND.heldout[:0]}, r"has heldout of shape \(0, 2\)"),
        ({"train": SOUND.train + 1}, r"has train with the value 3; the levels are 0..2"),
        ({"heldout_labels": torch.tensor([0.0])}, r"has .* with labels that are no int64 tensor of shape \(1,\)"),
        ({"train_labels": torch.tensor([0])}, r"has .* with labels that are no int64 tensor of shape \(2,\)"),
        (
            {"source": Source(SampleSpec((1,), None), torch.full((2, 1), torch.nan), torch.zeros(1, 1), paired=False)},
            "has source.train with values that are not finite",
        ),
    ],
)
def test_what_is_wrong_with_a_data_set_is_said(monkeypatch, changes, reason):
    with pytest.raises(DataError, match=f"the data set mine {reason}"):
        loaded(monkeypatch, lambda root: dataclasses.replace(SOUND, **changes))


def exits(root):
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("load", "reason"),
    [(exits, "raised SystemExit: 3"), (lambda root: None, "is of type NoneType, not a genbench.Dataset")],
)
def test_a_loader_that_breaks_is_an_error_in_one_line(monkeypatch, load, reason):
    with pytest.raises(DataError, match=f"the data set mine {reason}"):
        loaded(monkeypatch, load)


def test_an_unknown_name_gets_the_closest():
    with pytest.raises(RegistryError, match="no data set is called 'digit'; did you mean digits"):
        dataset_named("digit")

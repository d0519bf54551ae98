"""Data sets by name, loaded under guard; a stranger's is held to what a data set is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.contracts import Dataset, SampleSpec
from genbench.errors import DataError
from genbench.plugins import registry
from genbench.plugins.guard import guarded_as
from genbench.plugins.interruptions import printable

if TYPE_CHECKING:
    from torch import Tensor


def dataset_named(name: str, data_root: Path | None = None) -> Dataset:
    """The data set of that name, from a folder that holds it already, or from the cache and the network.

    Raises RegistryError for an unknown name, DataError where the data cannot be had or are not what they should be.
    """
    target = registry.load(registry.find("datasets", name).target)
    dataset = guarded_as(DataError, f"the data set {name}", target, data_root)
    if not isinstance(dataset, Dataset):
        raise DataError(f"the data set {name} is of type {printable(type(dataset).__name__)}, not a genbench.Dataset")
    fault = guarded_as(DataError, f"the data set {name}", lambda: _fault(dataset))
    if fault:
        raise DataError(f"the data set {name} {fault}")
    return dataset


def _fault(dataset: Dataset) -> str:
    """What is wrong with a data set, as the end of a sentence; empty where nothing is."""
    parts = [(dataset.spec, "train", dataset.train, dataset.train_labels)]
    parts.append((dataset.spec, "heldout", dataset.heldout, dataset.heldout_labels))
    if dataset.validation is not None:
        parts.append((dataset.spec, "validation", dataset.validation, None))
    if dataset.intensities is not None:
        parts.append((replace(dataset.spec, levels=256), "intensities", dataset.intensities, None))
    if dataset.source is not None:
        source = dataset.source
        parts.append((source.spec, "source.train", source.train, source.train_labels))
        parts.append((source.spec, "source.heldout", source.heldout, source.heldout_labels))
    for spec, name, items, labels in parts:
        if fault := _items_fault(spec, items) or _labels_fault(len(items), labels):
            return f"has {name} {fault}"
    return ""


def _items_fault(spec: SampleSpec, items: Tensor) -> str:
    import torch

    dtype = torch.float32 if spec.levels is None else torch.uint8
    if not isinstance(items, torch.Tensor) or items.dtype != dtype or items.device.type != "cpu":
        return f"that are no {dtype} tensor on the CPU"
    if tuple(items.shape[1:]) != spec.shape or len(items) < 1:
        return f"of shape {tuple(items.shape)}, not (n, {', '.join(map(str, spec.shape))})"
    if spec.levels is None and not items.isfinite().all():
        return "with values that are not finite"
    if spec.levels is not None and int(items.max()) >= spec.levels:
        return f"with the value {int(items.max())}; the levels are 0..{spec.levels - 1}"
    return ""


def _labels_fault(count: int, labels: Tensor | None) -> str:
    import torch

    if labels is None:
        return ""
    if not isinstance(labels, torch.Tensor) or labels.dtype != torch.int64 or tuple(labels.shape) != (count,):
        return f"with labels that are no int64 tensor of shape ({count},)"
    return ""

"""How samples are drawn: chunk by chunk under scoped seeds, in batches that fit the memory, of classes where asked.

Everything here that calls a generator, or reads an attribute of it, does so under `genbench.plugins.guard`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from genbench import seeding
from genbench.contracts import Dataset, Generator, SampleSpec
from genbench.errors import ModelError, OutOfMemoryError
from genbench.evaluation import processes
from genbench.plugins.arrays import plain
from genbench.plugins.guard import attribute, guarded, tell
from genbench.plugins.interruptions import shown

CHUNK = 1000  # samples drawn under one scoped seed; part of every protocol that reads samples

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Drawing:
    """n samples of a spec, drawn under a seed by the method `what` of a generator.

    `labels` int64 (n,) are the classes to draw, None for a generator that is not told any; `batch` is how many samples
    are asked for at once, None for a whole chunk; `options` go to the method, and `tell` hears how many are done.

    The same seed and batch give the same bytes however the chunks are spread over processes. A method that is marked as
    `in_one_piece`, as that of samples on disk, is asked for all of them at once.
    """

    spec: SampleSpec
    n: int
    seed: int
    what: str = "sample"
    labels: Tensor | None = None
    batch: int | None = None
    tell: Callable[[int], None] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def by(self, method: Callable[..., object]) -> Tensor:
        """The samples (n, *shape). Raises ModelError where the method returns anything else."""
        whole = attribute(method, "in_one_piece", False) is True
        chunk = self.n if whole else min(self.n, CHUNK)
        batch = chunk if whole or self.batch is None else min(chunk, self.batch)
        return halving(self.what, batch, lambda size: self._all(method, chunk, size))

    def _all(self, method: Callable[..., object], chunk: int, batch: int) -> Tensor:
        def part(index: int) -> Tensor:
            parts, start = [], index * chunk
            size = min(chunk, self.n - start)
            for done in range(0, size, batch):
                with scoped((self.seed, "samples", index), done), torch.no_grad():
                    parts.append(self._batch(method, start + done, min(batch, size - done)))
            if self.tell is not None:
                self.tell(start + size)
            return torch.cat(parts)

        return torch.cat(processes.shared(-(-self.n // chunk), part))

    def _batch(self, method: Callable[..., object], start: int, size: int) -> Tensor:
        labels = () if self.labels is None else (self.labels[start : start + size],)
        return as_samples(guarded(self.what, method, size, *labels, **self.options), self.spec, size, self.what)


def draw(method: Callable[..., object], spec: SampleSpec, n: int, seed: int) -> Tensor:
    """n samples (n, *shape) of a method that is told no classes, see `Drawing`."""
    return Drawing(spec, n, seed).by(method)


def samples_of(
    generator: object,
    spec: SampleSpec,
    n: int,
    seed: int,
    tell: Callable[[int], None] | None = None,
    psi: float | None = None,
) -> Tensor:
    """n samples (n, *shape) of a generator, truncated where psi is given; one that chooses classes is told all in turn.

    See `Drawing`.
    """
    classes = classes_of(generator)
    labels = None if classes is None else torch.arange(n) % classes
    return samples_with(generator, Drawing(spec, n, seed, labels=labels, tell=tell), psi)


def samples_with(generator: object, drawing: Drawing, psi: float | None = None) -> Tensor:
    """The samples of a drawing, in the batches that the generator asks for."""
    what, options = ("sample", {}) if psi is None else ("sample_truncated", {"psi": psi})
    batch = batch_size_of(generator)
    asked = Drawing(
        drawing.spec, drawing.n, drawing.seed, what, drawing.labels, batch, drawing.tell, {**drawing.options, **options}
    )
    return asked.by(attribute(generator, what))


def labels_for(generator: object, dataset: Dataset, n: int, seed: int) -> Tensor | None:
    """The classes to draw, int64 (n,), as frequent as in the held-out split, evenly where that has none.

    None for a generator that does not choose. Raises ModelError for one that chooses from other classes.
    """
    classes = classes_of(generator)
    if classes is None:
        return None
    generator_of_labels = seeding.generator("labels", seed)
    if dataset.heldout_labels is None:
        return torch.randint(classes, (n,), generator=generator_of_labels)
    known = len(dataset.classes) or int(dataset.heldout_labels.max()) + 1
    if classes != known:
        raise ModelError(f"it chooses from {classes} classes, the benchmark has {known}")
    places = torch.randint(len(dataset.heldout_labels), (n,), generator=generator_of_labels)
    return dataset.heldout_labels[places].long()


def classes_of(generator: object) -> int | None:
    """From how many classes `sample(n, labels)` chooses: its `classes`, None where it has none. Raises ModelError."""
    return _count(generator, "classes")


def batch_size_of(generator: object) -> int | None:
    """How many items it is given at once: its `batch_size`, None where it does not say. Raises ModelError."""
    return _count(generator, "batch_size")


def _count(generator: object, name: str) -> int | None:
    value = attribute(generator, name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ModelError(f"{name} must be a whole number of at least 1, it is {shown(value)}")
    return int(value)


class Batched:
    """A generator that is asked for at most `batch_size` items at once, and is as it was in all else."""

    def __init__(self, generator: Any, batch_size: int) -> None:
        self._generator, self.batch_size = generator, batch_size

    def __getattr__(self, name: str) -> Any:
        if name == "_generator":
            raise AttributeError(name)
        return getattr(self._generator, name)


def batched(generator: Generator, batch_size: int | None) -> Generator:
    """The generator, asked for at most so many items at once where a number is given."""
    return generator if batch_size is None else Batched(generator, batch_size)


def in_batches(
    generator: object, what: str, x: Tensor, as_result: Callable[[object, int], Tensor], seeds: tuple[object, ...]
) -> Tensor:
    """What the method `what` makes of items x, batch by batch, each under a scoped seed; processes share the batches.

    `as_result` holds what is returned for a number of items to the contract.
    """
    method, batch = attribute(generator, what), batch_size_of(generator)

    def mapped(size: int) -> Tensor:
        parts = x.split(size)

        def result(number: int) -> Tensor:
            with scoped(seeds, number), torch.no_grad():
                return as_result(guarded(what, method, parts[number]), len(parts[number]))

        return torch.cat(processes.shared(len(parts), result))

    return halving(what, min(batch or len(x), len(x)), mapped)


def scoped(seeds: tuple[object, ...], place: int) -> AbstractContextManager[None]:
    """The scoped seed of the batch at a place; that of the first does not depend on how large batches are."""
    return seeding.scoped(*seeds, place) if place else seeding.scoped(*seeds)


def halving(what: str, batch: int, make: Callable[[int], T]) -> T:
    """What is made of a batch size, which is halved, and all begun again, as often as the memory runs out.

    So the numbers are those of the smaller batch size from the beginning. Raises OutOfMemoryError for single items.
    """
    while True:
        try:
            return make(batch)
        except OutOfMemoryError:
            if batch <= 1:
                raise
        # Beyond the except block, where nothing holds the tensors that filled the memory.
        batch //= 2
        tell("", f"{what} ran out of memory, and is asked for {batch} items at once; set batch_size = {batch}")
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def as_samples(x: object, spec: SampleSpec, n: int, what: str = "sample") -> Tensor:
    """`x` as a CPU tensor (n, *spec.shape) of the spec's dtype, sharing nothing with `x`.

    Taken is what `arrays.plain` takes, and half precision for real values, which loses nothing. Raises ModelError that
    says how `x` differs.
    """
    x = plain(x, f"{what}({n})")
    expected = (n, *spec.shape)
    if tuple(x.shape) != expected:
        few = f", {len(x)} samples in place of {n}" if x.ndim and x.shape[1:] == expected[1:] else ""
        raise ModelError(f"{what}({n}) returned shape {tuple(x.shape)}, not {expected}{few}")
    if x.is_floating_point() and not torch.isfinite(x).all():
        raise ModelError(f"{what}({n}) returned values that are not finite")
    if spec.levels is None:
        if x.dtype in (torch.float16, torch.bfloat16):
            x = x.float()
        if x.dtype != torch.float32:
            raise ModelError(f"{what}({n}) returned {x.dtype}; real-valued samples are float32")
        return x
    if x.dtype != torch.uint8:
        hint = ", scaled to 0..levels-1 and rounded" if x.is_floating_point() else ""
        raise ModelError(f"{what}({n}) returned {x.dtype}; levelled samples are uint8{hint}")
    if x.numel() and int(x.max()) >= spec.levels:
        raise ModelError(f"{what}({n}) returned the value {int(x.max())}; the levels are 0..{spec.levels - 1}")
    return x

"""Work shared among the processes of one run, as torchrun starts them: parts by rank, gathered in their order.

Every process runs the same code, and calls what is here in the same order; where one of them fails, all raise the
error of the first that did. What each computes does not depend on how many there are, so neither do the numbers.
In a process that is alone all this is a plain call.

Parts are gathered and never reduced on the way: sums of floats that each process has of its own, added up by an
all-reduce, differ in their last digits with the number of processes, and so would every distance made of them. Features
of a part take less than its covariance besides, as long as it has fewer than twice as many items as features.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, TypeVar

from genbench.errors import ProcessLostError

T = TypeVar("T")
Outcome = tuple[tuple[T] | None, Exception | None]  # a value in a tuple, or an error

LONGEST = timedelta(days=7)  # that a process waits for another's part; one that ends is noticed at once
LOST = "another process of this run has ended; what was finished is kept, and the same command goes on from there"
_sharing: ContextVar[bool] = ContextVar("sharing", default=False)


def rank() -> int:
    """Which of the processes this is, from 0."""
    import torch.distributed as dist

    return dist.get_rank() if size() > 1 else 0


def size() -> int:
    """How many processes share the work; 1 outside `sharing` and inside `apart`.

    In a training of several processes one of them may well evaluate by itself, which must not wait for the others.
    """
    import torch.distributed as dist

    if not _sharing.get() or not dist.is_available() or not dist.is_initialized():
        return 1
    return dist.get_world_size()


@contextmanager
def sharing(together: bool = True) -> Iterator[None]:
    """Inside, the processes of torch.distributed share the work, if there are several: all of them must come here."""
    token = _sharing.set(together)
    try:
        yield
    finally:
        _sharing.reset(token)


@contextmanager
def joined() -> Iterator[None]:
    """Inside, this process is one of those that torchrun has started, if it has; they exchange what they have by gloo.

    Raises ProcessLostError where they do not come together.
    """
    count = os.environ.get("WORLD_SIZE", "1")
    if not ("RANK" in os.environ and "MASTER_ADDR" in os.environ and count.isdigit() and int(count) > 1):
        yield
        return
    import torch
    import torch.distributed as dist

    if dist.is_initialized():
        with sharing():
            yield
        return
    if dist.is_available() and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    try:
        dist.init_process_group("gloo", timeout=LONGEST)
    except RuntimeError as error:
        raise ProcessLostError(f"the processes of this run do not come together: {error}") from error
    try:
        with sharing():
            yield
    finally:
        dist.destroy_process_group()


def apart() -> AbstractContextManager[None]:
    """Inside, this process works alone, while others do something else."""
    return sharing(False)


def gathered(value: T) -> list[T]:
    """What each process has, by rank. Raises ProcessLostError where one of them has ended."""
    if size() == 1:
        return [value]
    import torch.distributed as dist

    values: list[Any] = [None] * size()
    try:
        dist.all_gather_object(values, value)
    except RuntimeError as error:
        raise ProcessLostError(LOST) from error
    return values


def together(make: Callable[[], T]) -> T:
    """What this process makes, once all have made theirs. Raises the first error of any of them."""
    if size() == 1:
        return make()
    outcome = _attempt(make)
    _raise_first(gathered(outcome[1]))
    return _value(outcome)


def after_first(make: Callable[[], T]) -> T:
    """As `together`; the others begin when the first process is done, whose downloads they find then."""
    if size() == 1:
        return make()
    outcome = _attempt(make) if rank() == 0 else (None, None)
    _raise_first(gathered(outcome[1]))
    return together(lambda: _value(outcome) if rank() == 0 else make())


def from_first(make: Callable[[], T]) -> T:
    """What the first process makes, for all. Raises its error in all."""
    if size() == 1:
        return make()
    outcome: Outcome[T] = (None, None)
    if rank() == 0:
        with apart():
            outcome = _attempt(make)
    first = gathered(outcome)[0]
    _raise_first([first[1]])
    return _value(first)


def shared(count: int, make: Callable[[int], T]) -> list[T]:
    """What `make` makes of each index below `count`: each is made by one process, and all have the whole list."""
    if size() == 1:
        return [make(index) for index in range(count)]
    mine = range(rank(), count, size())

    def parts() -> dict[int, T]:
        with apart():
            return {index: make(index) for index in mine}

    outcomes = gathered(_attempt(parts))
    _raise_first([error for _, error in outcomes])
    made: dict[int, T] = {}
    for outcome in outcomes:
        made |= _value(outcome)
    return [made[index] for index in range(count)]


def was_shared(error: BaseException) -> bool:
    """Whether all processes have raised this error."""
    return getattr(error, "shared_by_all", False) is True


def _attempt(make: Callable[[], T]) -> Outcome[T]:
    try:
        return (make(),), None
    except Exception as error:
        error.__traceback__ = error.__cause__ = error.__context__ = None
        return None, error


def _raise_first(errors: list[Exception | None]) -> None:
    for error in errors:
        if error is not None:
            error.shared_by_all = True  # type: ignore[attr-defined]
            raise error


def _value(outcome: Outcome[T]) -> T:
    assert outcome[0] is not None
    return outcome[0][0]

"""The one way in which a stranger's code is called: with copies, its exceptions in one line, global state put back.

A plug-in runs in this process, so nothing here stops one that means harm. It stops the harm that is done by accident:
writing into items that the next model is given, a default dtype or number of threads that stays changed, a `sys.exit`.
What ends a process or never returns needs `genbench.evaluation.isolation`.

Environment variables stay as a plug-in sets them, for libraries set their own when they are imported, except those
that genbench reads. What a plug-in puts on `sys.path` moves to the end of it: it goes on finding its modules, and hides
nobody else's. Filters that it sets for one message, one module or a library's own warnings stay, others go. What it
prints goes to stderr, for results go to stdout.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from genbench.contracts import Dataset, Features, LogProbs, Setting, Source
from genbench.errors import GenbenchError, GenbenchWarning, ModelError, OutOfMemoryError
from genbench.plugins import importing, states
from genbench.plugins.interruptions import described, interruptions, one_line, printable

__all__ = ["Watch", "attribute", "copied", "guarded", "guarded_as", "name_of", "one_line", "tell", "watching"]

T = TypeVar("T")
# As torch's allocator for the CPU says it, on Unix and on Windows; as CUDA, its libraries and Apple's devices do.
NO_MEMORY = ("DefaultCPUAllocator", "can't allocate memory", "out of memory", "_STATUS_ALLOC_FAILED")
COPIED = (Dataset, Source, Setting, Features, LogProbs)  # values of genbench's own whose tensors are copied


@dataclass(slots=True)
class Watch:
    """What the code of one plug-in, called by `name`, was seen to change: one sentence each, and a warning unless
    `quiet`."""

    name: str
    quiet: bool = False
    changes: list[str] = field(default_factory=list)

    def note(self, change: str) -> None:
        """Remember a change, and warn of it the first time. Raises where warnings are errors."""
        if change in self.changes:
            return
        self.changes.append(change)
        if not self.quiet:
            warnings.warn(f"{self.name}: {change}" if self.name else change, GenbenchWarning, stacklevel=2)


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watching(name: str, quiet: bool = False) -> Iterator[Watch]:
    """Inside, what guarded code changes is told once, as of the model (or metric, or extractor) of that name."""
    watch = Watch(name, quiet)
    token = _watch.set(watch)
    try:
        yield watch
    finally:
        _watch.reset(token)


def guarded(what: str, function: Callable[..., T], /, *arguments: Any, **options: Any) -> T:
    """Call a stranger's function with copies of what it is given; `what` names it in messages.

    Tensors, numpy arrays and the values of `genbench.contracts` that hold them are copied, in lists, tuples and dicts
    too. Afterwards global state is as it was: see `states`; random states too, so that each call that is to be
    reproducible stands in a `seeding.scoped` of its own. What was changed is told by a GenbenchWarning. Whatever it
    raises, SystemExit included, becomes a ModelError of one line; errors of genbench's own pass as they are, and so
    does a user's interruption, even one that the function swallows.
    """
    return guarded_as(ModelError, what, function, *arguments, **options)


def guarded_as(
    kind: type[GenbenchError], what: str, function: Callable[..., T], /, *arguments: Any, **options: Any
) -> T:
    """As `guarded`, with another kind of error."""
    given = copied(arguments), copied(options)
    changes: list[str] = []
    with interruptions() as interruption:
        try:
            with states.put_back(changes), importing.reachable(), redirect_stdout(sys.stderr):
                value = function(*given[0], **given[1])
        except BaseException as error:
            if interruption.error is not None:
                raise interruption.error from None
            _tell_of(what, changes, (arguments, options), given)
            if isinstance(error, GenbenchError):
                raise
            fault = OutOfMemoryError if kind is ModelError and ran_out_of_memory(error) else kind
            raise fault(f"{what} raised {described(error)}") from error
    if interruption.error is not None:
        raise interruption.error
    _tell_of(what, changes, (arguments, options), given)
    return value


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that there is no memory left: Python's and numpy's, and torch's on any device."""
    named = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    said = isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)
    return isinstance(error, MemoryError) or named or said


def _tell_of(what: str, changes: list[str], original: tuple[Any, Any], given: tuple[Any, Any]) -> None:
    """Warn of what a call changed."""
    if not _same(original, given):
        changes.append("wrote into what it was given, which was a copy")
    for change in changes:
        tell("", f"{what} {change}")


def tell(name: str, change: str) -> None:
    """Warn of what code changed: as of the plug-in that is watched, else as of that name."""
    (_watch.get() or Watch(name)).note(change)


def attribute(owner: object, name: str, default: Any = None) -> Any:
    """An attribute of a stranger's object, guarded as a call is. Raises ModelError where reading it raises."""
    return guarded(f"reading {name}", getattr, owner, name, default)


def name_of(owner: object) -> str:
    """What to call a stranger's object: the `name` that it has, else that of its class."""
    try:
        name = attribute(owner, "name")
    except GenbenchError:
        name = None
    named = isinstance(name, str) and name.strip()
    return printable(str(name).strip() if named else type(owner).__name__)


def copied(value: Any) -> Any:
    """A value with tensors and arrays of its own, in lists, tuples, dicts and values of `genbench.contracts` too."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and isinstance(value, torch.Tensor):
        return value.detach().clone()
    if numpy is not None and isinstance(value, numpy.ndarray):
        return value.copy()
    if isinstance(value, COPIED):
        own = replace(value, **{name: copied(part) for name, part in _parts(value).items()})  # type: ignore[arg-type]
        if isinstance(value, Dataset) and "sha256" in vars(value):
            vars(own)["sha256"] = value.sha256  # known already; hashing takes longer than copying
        return own
    if type(value) in (list, tuple):
        return type(value)(copied(part) for part in value)
    if type(value) is dict:
        return {key: copied(part) for key, part in value.items()}
    return value


def _parts(value: Any) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in fields(value) if each.init}


def _same(value: Any, copy: Any) -> bool:
    """Whether a copy holds what it was made of."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and isinstance(value, torch.Tensor):
        return value.shape == copy.shape and bool(((value == copy) | ((value != value) & (copy != copy))).all())
    if numpy is not None and isinstance(value, numpy.ndarray):
        return bool(numpy.array_equal(value, copy))
    if isinstance(value, COPIED):
        own = _parts(copy)
        return all(_same(part, own[name]) for name, part in _parts(value).items())
    if type(value) in (list, tuple):
        return len(value) == len(copy) and all(_same(part, other) for part, other in zip(value, copy, strict=True))
    if type(value) is dict:
        return value.keys() == copy.keys() and all(_same(part, copy[key]) for key, part in value.items())
    return True

"""The global state that code may change by accident: read before a stranger's code runs, put back after it."""

from __future__ import annotations

import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any

VARIABLES = ("GENBENCH_CACHE", "GENBENCH_CHECKPOINTS", "XDG_CACHE_HOME")  # of the environment, which genbench reads


@dataclass(frozen=True, slots=True)
class State:
    """A part of the global state by the name that it has in messages."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


@contextmanager
def put_back(changes: list[str]) -> Iterator[None]:
    """On the way out everything that is known of here is as it was; `changes` gets a phrase for all that was not.

    Random states are put back without a word: drawing from them is what they are for. torch's and numpy's states count
    where these are imported already.
    """
    states = _states()
    before = [(state, _value(state)) for state in states]
    with ExitStack() as stack:
        _keep_random_states(stack)
        _keep_autograd_modes(stack, changes)
        stack.callback(_write_back, before, changes)
        yield


def _write_back(before: list[tuple[State, Any]], changes: list[str]) -> None:
    after = [_value(state) for state, _ in before]
    for (state, value), now in zip(before, after, strict=True):
        if now != value and value is not None:
            changes.append(f"changed {state.name}, which was put back")
            with suppress(Exception):
                state.write(value)


def _value(state: State) -> Any:
    """None where it cannot be read: torch refuses to tell settings that were made in two ways."""
    try:
        return state.read()
    except Exception:
        return None


def _states() -> tuple[State, ...]:
    known = _PYTHON
    if "numpy" in sys.modules:
        known += _of_numpy()
    if "torch" in sys.modules:
        known += _of_torch()
    return known


def _set_variables(values: list[str | None]) -> None:
    for name, value in zip(VARIABLES, values, strict=True):
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@dataclass(eq=False, slots=True)
class _Filters:
    """The filters of warnings; equal to others where those add none that concerns others."""

    entries: list[Any]
    shower: Any

    @classmethod
    def read(cls) -> _Filters:
        return cls(list(warnings.filters), warnings.showwarning)

    def __eq__(self, earlier: object) -> bool:
        return isinstance(earlier, _Filters) and self.shower is earlier.shower and self.entries == earlier.after(self)

    def after(self, later: _Filters) -> list[Any]:
        """These filters, and before them those of the later ones that concern no others."""
        added = [entry for entry in later.entries if entry not in self.entries]
        return [entry for entry in added if not _concerns_others(entry)] + self.entries

    def write(self) -> None:
        entries = self.after(_Filters.read())
        warnings.resetwarnings()  # lets Python know that what it remembers is out of date
        warnings.filters[:] = entries  # type: ignore[index]
        warnings.showwarning = self.shower


def _concerns_others(entry: Any) -> bool:
    """Whether a filter is for more than one message, one module or the warnings that a library defines."""
    _, message, category, module, _ = entry
    return message is None and module is None and category.__module__ == "builtins"


@dataclass(eq=False, slots=True)
class _Path:
    """`sys.path`; equal to another that differs by additions to its end."""

    directories: list[str]
    own: list[str]

    @classmethod
    def read(cls) -> _Path:
        return cls(list(sys.path), sys.path)

    def __eq__(self, earlier: object) -> bool:
        return isinstance(earlier, _Path) and self.directories == earlier.after(self)

    def after(self, later: _Path) -> list[str]:
        """These directories, and after them those that the later path has in addition."""
        return self.directories + [each for each in later.directories if each not in self.directories]

    def write(self) -> None:
        directories = self.after(_Path.read())
        sys.path = self.own
        sys.path[:] = directories


_PYTHON: tuple[State, ...] = (
    State("the working directory", os.getcwd, os.chdir),
    State("the order of sys.path", _Path.read, _Path.write),
    State("the filters of warnings", _Filters.read, _Filters.write),
    State("sys.stderr", lambda: sys.stderr, lambda value: setattr(sys, "stderr", value)),
    State("environment variables that genbench reads", lambda: [*map(os.environ.get, VARIABLES)], _set_variables),
)


@cache
def _of_numpy() -> tuple[State, ...]:
    import numpy as np

    return (State("numpy's error handling", np.geterr, lambda value: np.seterr(**value)),)


def _default_device() -> Any:
    import torch

    try:
        return torch.get_default_device()
    except AttributeError:  # torch 2.8 stumbles over a default that was set to None
        return torch.device("cpu")


def _set_default_device(device: Any) -> None:
    import torch

    # The CPU is the default where none was set; setting it slows every operation down.
    torch.set_default_device(None if device.type == "cpu" else device)
    try:
        torch.get_default_device()
    except AttributeError:
        torch.set_default_device(device)


@cache
def _of_torch() -> tuple[State, ...]:
    import torch

    backends = torch.backends
    if hasattr(torch.backends.cudnn, "conv"):
        names = ("cuda.matmul", "cudnn.conv", "cudnn.rnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")
        precisions = tuple(f"{name}.fp32_precision" for name in names)
    else:  # torch before 2.9
        precisions = ("cuda.matmul.allow_tf32", "cudnn.allow_tf32")
    cudnn = ("enabled", "benchmark", "deterministic")

    def set_precisions(values: tuple[str | bool, ...]) -> None:
        for name, value in zip(precisions, values, strict=True):
            owner, _, leaf = name.rpartition(".")
            setattr(attrgetter(owner)(backends), leaf, value)

    def set_cudnn(values: tuple[bool, ...]) -> None:
        for name, value in zip(cudnn, values, strict=True):
            setattr(backends.cudnn, name, value)

    def set_autocast(values: tuple[bool, ...]) -> None:
        for device, value in zip(("cpu", "cuda"), values, strict=True):
            torch.set_autocast_enabled(device, value)

    return (
        State("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
        State(
            "torch's default device",
            _default_device,
            _set_default_device,
        ),
        State("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
        State(
            "torch's use of deterministic algorithms",
            torch.get_deterministic_debug_mode,
            torch.set_deterministic_debug_mode,
        ),
        State(
            "torch's precision of float32 products",
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
        ),
        State(
            "torch's precision of float32",
            lambda: tuple(attrgetter(name)(backends) for name in precisions),
            set_precisions,
        ),
        State("cuDNN's settings", lambda: tuple(getattr(backends.cudnn, name) for name in cudnn), set_cudnn),
        State("torch's autocast", lambda: tuple(map(torch.is_autocast_enabled, ("cpu", "cuda"))), set_autocast),
        State("torch's flushing of denormal numbers", _flushes, torch.set_flush_denormal),
        State(
            "torch's current CUDA device",
            lambda: torch.cuda.current_device() if torch.cuda.is_initialized() else None,
            torch.cuda.set_device,
        ),
    )


def _flushes(tiny: float = 5e-324) -> bool:
    """Whether this thread takes denormal numbers for 0, which no function tells."""
    return tiny * 1.0 == 0.0


def _keep_random_states(stack: ExitStack) -> None:
    stack.callback(random.setstate, random.getstate())
    if "numpy" in sys.modules:
        import numpy as np

        stack.callback(np.random.set_state, np.random.get_state())
    if "torch" in sys.modules:
        import torch

        devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
        stack.enter_context(torch.random.fork_rng(devices=devices))


def _keep_autograd_modes(stack: ExitStack, changes: list[str]) -> None:
    if "torch" not in sys.modules:
        return
    import torch

    inference, grad = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
    # Leaving these puts back what was set without being left; entering the first allows gradients.
    stack.enter_context(torch.inference_mode(inference))
    stack.enter_context(torch.set_grad_enabled(grad))

    def notice() -> None:
        if (torch.is_inference_mode_enabled(), torch.is_grad_enabled()) != (inference, grad):
            changes.append("changed torch's grad mode, which was put back")

    stack.callback(notice)

"""A model in a process of its own, which may crash, hang or run out of memory without harm to any other.

The process begins empty but for genbench (forked by a server that has it imported, where there are forks, else
spawned), builds the model from its card, and answers one question at a time. Tensors travel as bytes over a pipe, not
in shared memory, which the model could write into; with each question travel the random states of the one who asks, so
that the answers are those that the model would give in the same process.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing import connection, util
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genbench import errors
from genbench.contracts import Setting
from genbench.errors import GenbenchError, ModelError
from genbench.evaluation import drawing, generators
from genbench.plugins.arrays import plain
from genbench.plugins.cards import ModelCard
from genbench.plugins.guard import attribute, copied, guarded, tell, watching
from genbench.plugins.interruptions import described

# What the methods of a generator do, as messages say it, and its other attributes.
METHODS = {
    "sample": "sampling",
    "sample_truncated": "sampling",
    "log_prob": "computing log-probabilities",
    "class_log_joint": "computing log-probabilities",
    "reconstruct": "reconstructing",
    "sample_latent": "sampling codes",
    "decode": "decoding",
    "translate": "translating",
    "cycle": "translating there and back",
}
VALUES = (
    *("spec", "source_spec", "latent_shape", "truncation", "version", "name", "classes", "batch_size"),
    *("log_prob_kind", "log_prob_error", "log_prob_interval"),
)
LOOK = 1.0  # seconds after which a process that keeps silent is looked at: its children may hold its pipe open


def isolated(card: ModelCard, setting: Setting, timeout: float | None = None) -> Isolated:
    """The generator behind a card, built and run in a process of its own.

    It offers what the generator offers, except training, and gives the same numbers. `timeout` is for how many seconds
    each call may take, that of building included; None for ever. Raises what `generators.build` raises, and ModelError
    of one line where the process ends or does not answer.
    """
    return Isolated(card, setting, timeout)


class Isolated:
    """What stands for a generator in another process: its methods ask that process, its attributes are as they were
    when it last answered.

    A process that has ended fails all further calls with the first reason. `close` ends it; so does the end of this
    process, and of this object.
    """

    spec: Any

    def __init__(self, card: ModelCard, setting: Setting, timeout: float | None = None) -> None:
        self._name, self._timeout, self._ended = card.name, timeout, ""
        self._broken: Mapping[str, str] = {}
        processes = context()
        self._pipe, theirs = processes.Pipe()
        self._process: BaseProcess = processes.Process(target=_serve, args=(theirs,), name=f"genbench {card.name}")
        self._process.start()
        theirs.close()
        # Before multiprocessing waits for its children at the end of this process.
        self._close = util.Finalize(self, end, args=(self._process, self._pipe), exitpriority=10)
        try:
            self._ask("being started", None, limit=None)  # the time that Python and torch take is not the model's
            surroundings = dict(os.environ), torch.get_num_threads()
            methods = self._ask("being built", ("build", card, _portable(setting), *surroundings), timeout)
        except BaseException:
            self.close()
            raise
        for name, marks in methods.items():
            setattr(self, name, _Method(self._call, name, **marks))

    def close(self) -> None:
        """End the process."""
        self._ended = self._ended or f"the process of {self._name} has been ended"
        self._close()

    def __getattr__(self, name: str) -> Any:
        # Reached for what is no attribute alone; before __init__ is done, for `_broken` too.
        if name != "_broken" and name in self._broken:
            raise ModelError(self._broken[name])
        raise AttributeError(name)

    def _call(self, name: str, *arguments: Any, **options: Any) -> Tensor:
        question = ("call", name, copied(arguments), options, torch.is_grad_enabled(), _random_states())
        value, states = self._ask(METHODS[name], question, self._timeout)
        _set_random_states(states)
        answer: Tensor = value
        return answer

    def _ask(self, doing: str, question: tuple[Any, ...] | None, limit: float | None) -> Any:
        """What is answered to a question, or said without one (None), within `limit` seconds.

        Raises the error of genbench's that is answered, or ModelError where nothing is.
        """
        if self._ended:
            raise ModelError(self._ended)
        try:
            if question is not None:
                self._pipe.send_bytes(pickle.dumps(question))
            answer = self._receive(doing, limit)
        except (EOFError, ConnectionError, pickle.UnpicklingError):
            raise self._lost(doing) from None
        except BaseException:
            self.close()  # an interruption: what comes over the pipe next would answer this question
            raise
        self._take(answer.values, answer.broken)
        for change in answer.changes:
            tell(self._name, change)
        if answer.error is not None:
            kind, message = answer.error
            raise getattr(errors, kind, ModelError)(message)
        return answer.content

    def _receive(self, doing: str, limit: float | None) -> _Answer:
        deadline = None if limit is None else time.monotonic() + limit
        while True:
            left = LOOK if deadline is None else min(LOOK, deadline - time.monotonic())
            if connection.wait([self._pipe, self._process.sentinel], max(0.0, left)):
                break
            if not self._process.is_alive():
                break
            if deadline is not None and time.monotonic() >= deadline:
                raise self._end_with(f"{self._name} did not answer within {limit:g} s while {doing}")
        if not self._pipe.poll():
            raise EOFError
        answer: _Answer = pickle.loads(self._pipe.recv_bytes())
        return answer

    def _lost(self, doing: str) -> ModelError:
        """The error of a process that has ended by itself."""
        self._process.join(LOOK)
        code = self._process.exitcode
        return self._end_with(f"the process of {self._name} {how_it_ended(code)} while {doing}")

    def _end_with(self, reason: str) -> ModelError:
        self._ended = reason
        self._close()
        return ModelError(reason)

    def _take(self, values: Mapping[str, Any], broken: Mapping[str, str]) -> None:
        """Have the attributes that the generator has now."""
        for name in VALUES:
            if name in values:
                setattr(self, name, values[name])
            else:
                vars(self).pop(name, None)
        self._broken = broken


class _Method:
    """A method of a generator in another process; `in_one_piece` as that is marked."""

    def __init__(self, call: Callable[..., Tensor], name: str, in_one_piece: bool = False) -> None:
        self.call, self.name, self.in_one_piece = call, name, in_one_piece

    def __call__(self, *arguments: Any, **options: Any) -> Tensor:
        return self.call(self.name, *arguments, **options)


@dataclass(slots=True)
class _Answer:
    """What comes back: the content, or the kind and message of an error; the generator's attributes as they are now,
    those that cannot be read with the reason, and what the call changed."""

    content: Any = None
    error: tuple[str, str] | None = None
    values: dict[str, Any] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)


def context() -> Any:
    """How processes are begun: a server that has torch imported saves each of them the seconds that it takes."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    return processes


def end(process: BaseProcess, pipe: connection.Connection[Any, Any]) -> None:
    pipe.close()
    if process.is_alive():
        process.kill()
    process.join()


def how_it_ended(code: int | None) -> str:
    """What became of a process with that exit code, as the rest of a sentence."""
    if code is None:
        return "broke off its connection"
    if code >= 0:
        return f"ended with exit code {code}"
    memory = ", perhaps for want of memory," if -code == getattr(signal, "SIGKILL", None) else ""
    return f"was ended by {_signal_name(-code)}{memory}"


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name}"
    except ValueError:
        return f"signal {number}"


def _portable(setting: Setting) -> Setting:
    """A setting that can be sent: tensors alone, not the larger ones that they are parts of, and without a true
    distribution where that is a function that cannot be sent."""
    try:
        pickle.dumps(setting.dataset.true_log_prob)
    except Exception:
        setting = replace(setting, dataset=replace(setting.dataset, true_log_prob=None))
    own: Setting = copied(setting)
    return own


def _random_states() -> tuple[Any, ...]:
    """torch's first seed reaches other devices than the CPU, whose states it gives alone."""
    return torch.initial_seed(), torch.get_rng_state(), np.random.get_state(), random.getstate()


def _set_random_states(states: tuple[Any, ...], seed_devices: bool = False) -> None:
    seed, of_torch, of_numpy, of_python = states
    if seed_devices:
        torch.manual_seed(seed)
    torch.set_rng_state(of_torch)
    np.random.set_state(of_numpy)
    random.setstate(of_python)


# What follows runs in the model's own process.


def _serve(pipe: connection.Connection[Any, Any]) -> None:
    """Answer questions until no more come."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both processes; the other one decides
    os.dup2(2, 1)  # what a model prints, from other languages too, is no result
    threading.Thread(target=end_with_parent, daemon=True).start()
    server = _Server()
    answer = _Answer()
    while True:
        try:
            pipe.send_bytes(pickle.dumps(answer))
            question = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        answer = server.answer(question)


def end_with_parent() -> None:
    """A model that hangs would outlive a parent that is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


class _Server:
    def __init__(self) -> None:
        self.generator: Any = None
        self.card: ModelCard | None = None

    def answer(self, question: tuple[Any, ...]) -> _Answer:
        what, *rest = question
        answer = _Answer()
        with watching("", quiet=True) as watch:
            try:
                answer.content = self.build(*rest) if what == "build" else self.call(*rest)
            except GenbenchError as error:
                answer.error = type(error).__name__, str(error)
            except Exception as error:
                answer.error = "ModelError", described(error)
            if self.generator is not None:
                self._read(answer)
        answer.changes = watch.changes
        return answer

    def build(
        self, card: ModelCard, setting: Setting, environment: dict[str, str], threads: int
    ) -> dict[str, dict[str, bool]]:
        """Build the generator; returns its methods with what they are marked as."""
        os.environ.clear()  # of the server that this process is a fork of
        os.environ.update(environment)
        torch.set_num_threads(threads)
        self.generator = generators.build(card, setting)
        methods = {}
        for name in METHODS:
            try:
                method = attribute(self.generator, name)
            except ModelError:
                methods[name] = {"in_one_piece": False}  # its reading fails again when it is called
                continue
            if method is not None:
                methods[name] = {"in_one_piece": attribute(method, "in_one_piece", False) is True}
        return methods

    def call(
        self, name: str, arguments: tuple[Any, ...], options: dict[str, Any], grad: bool, states: tuple[Any, ...]
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """What a method returns, and the random states that it leaves behind."""
        after: list[tuple[Any, ...]] = []

        def called(*copies: Any) -> object:
            value = getattr(self.generator, name)(*copies, **options)
            after.append(_random_states())
            return value

        _set_random_states(states, seed_devices=True)
        with torch.set_grad_enabled(grad):
            return plain(guarded(name, called, *arguments), name), after[0]

    def _read(self, answer: _Answer) -> None:
        """The attributes of the generator, as plain values of types that the other process knows."""
        generator = self.generator
        readers: dict[str, Callable[[Any], Any]] = {
            "spec": lambda _: generators.spec_of(generator),
            "source_spec": lambda _: generators.source_spec(generator),
            "latent_shape": lambda declared: tuple(map(int, declared)),
            "classes": lambda _: drawing.classes_of(generator),
            "batch_size": lambda _: drawing.batch_size_of(generator),
            "log_prob_kind": lambda _: generators.kind_of(generator),
            "log_prob_error": lambda _: generators.error_of(generator),
            "log_prob_interval": lambda _: generators.interval_of(generator),
        }
        for name in VALUES:
            try:
                declared = attribute(generator, name)
                if declared is None:
                    continue
                if name in readers:
                    answer.values[name] = guarded(name, readers[name], declared)
                elif isinstance(declared, str | int | float):
                    answer.values[name] = guarded(name, lambda text: "".join(list(str(text))), declared)
            except GenbenchError as error:
                answer.broken[name] = str(error)

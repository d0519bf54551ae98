"""Strangers' code: what it changes is put back and told, what it raises becomes one line, what it gets are copies."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from genbench import seeding
from genbench.contracts import Dataset, Features, SampleSpec, Setting, Source
from genbench.errors import GenbenchWarning, InputError, ModelError, RegistryError, Unsupported
from genbench.plugins import guard
from genbench.plugins.guard import copied, guarded, guarded_as, watching

LEAKED = []  # contexts that were entered and are never left


def enter(context):
    LEAKED.append(context)
    context.__enter__()


def cudnn():
    backend = torch.backends.cudnn
    return backend.enabled, backend.benchmark, backend.deterministic


CHANGES = {
    "default dtype": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "default device": (lambda: torch.set_default_device("meta"), torch.get_default_device),
    "number of threads": (lambda: torch.set_num_threads(torch.get_num_threads() + 1), torch.get_num_threads),
    "grad mode": (lambda: torch.set_grad_enabled(not torch.is_grad_enabled()), torch.is_grad_enabled),
    "grad mode (inference)": (lambda: enter(torch.inference_mode()), torch.is_inference_mode_enabled),
    "deterministic algorithms": (
        lambda: torch.set_deterministic_debug_mode("warn"),
        torch.are_deterministic_algorithms_enabled,
    ),
    "precision of float32": (lambda: torch.set_float32_matmul_precision("medium"), torch.get_float32_matmul_precision),
    "cuDNN's settings": (lambda: setattr(torch.backends.cudnn, "benchmark", True), cudnn),
    "autocast": (lambda: torch.set_autocast_enabled("cpu", True), lambda: torch.is_autocast_enabled("cpu")),
    "denormal numbers": (
        lambda: torch.set_flush_denormal(True),
        lambda: bool(torch.tensor([5e-324], dtype=torch.float64) * 1 == 0),
    ),
    "numpy's error handling": (lambda: np.seterr(all="ignore"), np.geterr),
    "working directory": (lambda: os.chdir("/"), os.getcwd),
    "order of sys.path": (lambda: sys.path.insert(0, "/no/such/place"), lambda: sys.path[0]),
    "filters of warnings": (lambda: warnings.simplefilter("ignore"), lambda: list(warnings.filters)),
    "filters of warnings (shown)": (lambda: setattr(warnings, "showwarning", print), lambda: warnings.showwarning),
    "environment variables": (
        lambda: os.environ.update(GENBENCH_CHECKPOINTS="/elsewhere"),
        lambda: os.environ.get("GENBENCH_CHECKPOINTS"),
    ),
    "sys.stderr": (lambda: setattr(sys, "stderr", None), lambda: sys.stderr),
}


@pytest.mark.parametrize("name", CHANGES)
def test_global_state_is_put_back_and_the_change_told(name):
    change, read = CHANGES[name]
    before = read()
    with pytest.warns(GenbenchWarning) as told:
        guarded("sample", change)
    assert read() == before
    assert any(f"sample changed {part}" in str(told[0].message) for part in phrases(name))


def phrases(name):
    plain = name.partition(" (")[0]
    return plain, f"torch's {plain}", f"the {plain}", f"torch's use of {plain}", f"torch's flushing of {plain}"


def test_it_is_put_back_when_the_code_raises_too():
    def breaks():
        torch.set_default_dtype(torch.float64)
        raise OSError("the disk\nis full")

    with pytest.warns(GenbenchWarning, match="default dtype"), pytest.raises(ModelError) as caught:
        guarded("sample", breaks)
    assert str(caught.value) == "sample raised OSError: the disk"
    assert torch.get_default_dtype() == torch.float32


def test_what_is_put_on_the_path_stays_at_its_end():
    before = list(sys.path)
    try:
        with pytest.warns(GenbenchWarning):
            guarded("sample", sys.path.insert, 0, "/first")
        guarded("sample", sys.path.append, "/last")
        assert sys.path == [*before, "/first", "/last"]
    finally:
        sys.path[:] = before


def test_a_library_may_filter_its_own_warnings():
    with warnings.catch_warnings():
        guarded("sample", lambda: warnings.filterwarnings("ignore", message="of mine"))
        warnings.warn("of mine", UserWarning, stacklevel=1)


def test_random_states_are_as_they_were():
    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before = states()
    guarded("sample", lambda: (torch.manual_seed(0), np.random.seed(0), random.seed(0)))
    assert states() == before
    with seeding.scoped(3):
        inside = guarded("sample", torch.rand, 2)
    with seeding.scoped(3):
        assert torch.equal(torch.rand(2), inside), "and it draws under the scoped seed"


class Unspeakable(Exception):  # noqa: N818
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("a\nb"), "sample raised RuntimeError: a"),
        (SystemExit(3), "sample raised SystemExit: 3"),
        (GeneratorExit(), "sample raised GeneratorExit"),
        (KeyboardInterrupt(), "sample raised KeyboardInterrupt"),
        (StopIteration(), "sample raised StopIteration"),
        (MemoryError(), "sample raised MemoryError"),
        (Unspeakable(), "sample raised Unspeakable"),
        (ValueError("\x1b[31mred\ud800"), r"sample raised ValueError: \x1b[31mred\ud800"),
        (type("A\nB", (BaseException,), {})("x" * 9999), "sample raised A\\nB: " + "x" * 500),
    ],
)
def test_whatever_is_raised_is_an_error_of_one_line(error, message):
    def breaks():
        raise error

    with pytest.raises(ModelError) as caught:
        guarded("sample", breaks)
    assert str(caught.value) == message
    with pytest.raises(RegistryError):
        guarded_as(RegistryError, "sample", breaks)


@pytest.mark.parametrize("error", [InputError("n is 0"), Unsupported("no classes")])
def test_errors_of_genbench_pass_as_they_are(error):
    def breaks():
        raise error

    with pytest.raises(type(error), match=str(error)):
        guarded("sample", breaks)


class Ended(BaseException):
    """What a program's own handler of SIGTERM raises."""


@contextmanager
def handling(number, error):
    def handle(*_):
        raise error

    before = signal.signal(number, handle)
    try:
        yield handle
        assert signal.getsignal(number) is handle
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Ended)])
@pytest.mark.parametrize("caught_inside", [False, True])
def test_a_users_interruption_ends_the_work_even_if_the_code_catches_it(number, kind, caught_inside):
    def interrupted():
        try:
            signal.raise_signal(number)
        except BaseException as error:
            if not caught_inside:
                raise RuntimeError("lost") from error

    with handling(number, kind()), pytest.raises(kind):
        guarded("sample", interrupted)


def test_handlers_of_signals_are_put_back():
    with handling(signal.SIGTERM, Ended()):
        guarded("sample", signal.signal, signal.SIGTERM, signal.SIG_IGN)


def test_it_works_outside_the_main_thread():
    outcomes = []

    def work():
        try:
            guarded("sample", sys.exit, 3)
        except ModelError as error:
            outcomes.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert outcomes == ["sample raised SystemExit: 3"]


DATA = Dataset(
    name="tiny",
    spec=SampleSpec((2,), 3),
    train=torch.tensor([[0, 1], [2, 2]], dtype=torch.uint8),
    heldout=torch.tensor([[1, 1]], dtype=torch.uint8),
    train_labels=torch.tensor([0, 1]),
    source=Source(SampleSpec((2,), None), torch.zeros(2, 2), torch.zeros(1, 2), paired=True),
)


def tensors(data):
    return [data.train, data.heldout, data.train_labels, data.source.train, data.source.heldout]


@pytest.mark.parametrize("write", [lambda x: x.floor_divide_(2), lambda x: x.numpy().fill(0), lambda x: x.resize_(0)])
def test_items_are_copies_and_writing_into_them_is_told(write):
    items = torch.full((3, 4), 5, dtype=torch.uint8)
    with pytest.warns(GenbenchWarning, match="log_prob wrote into what it was given, which was a copy"):
        guarded("log_prob", write, items)
    assert torch.equal(items, torch.full((3, 4), 5, dtype=torch.uint8))


def test_a_data_set_is_copied_through_and_through():
    fingerprint, before = DATA.sha256, [tensor.clone() for tensor in tensors(DATA)]
    setting = Setting("model", "tiny", DATA)

    def factory(setting):
        assert vars(setting.dataset)["sha256"] == fingerprint, "hashing again would cost more than copying"
        for tensor in tensors(setting.dataset):
            tensor.fill_(9)

    with pytest.warns(GenbenchWarning, match="wrote into"):
        guarded("the factory", factory, setting)
    assert all(torch.equal(tensor, other) for tensor, other in zip(tensors(DATA), before, strict=True))


def test_features_are_copied_without_what_others_made_of_them():
    features = Features(torch.ones(2, 3))
    features.once("moments", lambda: 1)
    copy = copied([features])[0]
    assert copy.once("moments", lambda: 2) == 2
    copy.embeddings.zero_()
    assert features.embeddings.sum() == 6


def test_reading_alone_is_no_change_even_of_values_that_are_not_finite():
    guarded("log_prob", torch.sum, torch.tensor([torch.nan, torch.inf]))


def test_what_is_printed_is_no_result(capsys):
    guarded("sample", print, "sampling")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "sampling\n")


def test_a_change_is_told_once_for_each_model():
    def change():
        torch.set_default_dtype(torch.float64)

    for name in ("a", "b"):
        with watching(name) as watch, pytest.warns(GenbenchWarning) as told:
            [guarded("sample", change) for _ in range(2)]
        assert [str(warning.message) for warning in told] == [f"{name}: {sentence}" for sentence in watch.changes]
        assert watch.changes == ["sample changed torch's default dtype, which was put back"]


class Hostile:
    @property
    def name(self):
        raise SystemExit

    def __getattr__(self, name):
        raise KeyError(name)


def test_names_are_read_with_care():
    assert guard.name_of(Hostile()) == "Hostile"
    assert guard.name_of(type("Named", (), {"name": " mine\n"})()) == "mine"
    with pytest.raises(ModelError, match="reading version raised KeyError: 'version'"):
        guard.attribute(Hostile(), "version")
    assert guard.attribute(object(), "version", 3) == 3

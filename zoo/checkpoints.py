"""Checkpoints: weights as safetensors and, beside them, a JSON record of how they were made.

They lie in ``zoo/checkpoints/<benchmark>/<model>``, or below the folder that GENBENCH_CHECKPOINTS names, which is
looked at first and written to. The record holds the SHA-256 of the weights' file, so that damage and mix-ups show.
"""

from __future__ import annotations

import ast
import errno
import hashlib
import inspect
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors

from genbench.contracts import SampleSpec, Setting
from genbench.errors import ModelError

SHIPPED = Path(__file__).parent / "checkpoints"
# What a training starts from says nothing of the model that it ended with: weights and configuration say it all.
BESIDE_THE_MODEL = ("presets",)


class Checkpointed(Protocol):
    """What is kept of a model: its configuration, and all parameters and buffers; `version` is set when loaded."""

    config: Any
    version: str

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> object: ...


M = TypeVar("M", bound=Checkpointed)


def folders() -> list[Path]:
    """Where checkpoints are looked for, first match wins; new ones are written below the first."""
    chosen = os.environ.get("GENBENCH_CHECKPOINTS")
    return [Path(chosen), SHIPPED] if chosen else [SHIPPED]


def load(kind: type[M], setting: Setting) -> M:
    """The trained model for a setting, built as ``kind(spec, config)`` with the configuration that it was trained in.

    Raises ModelError where its checkpoint is missing, damaged, or of another model, benchmark, shape or data.
    """
    train = f"genbench train {setting.model} --benchmark {setting.benchmark}"
    candidates = [folder / setting.benchmark / f"{setting.model}.safetensors" for folder in folders()]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        places = " or ".join(str(folder) for folder in folders())
        raise ModelError(
            f"{setting.model} has no checkpoint for {setting.benchmark} in {places} (an installed genbench holds those "
            f"of the bundled boards only; GENBENCH_CHECKPOINTS names a folder of others); make one with: {train}"
        )
    try:
        record = json.loads(path.with_suffix(".json").read_text())
        weights = path.read_bytes()
        if hashlib.sha256(weights).hexdigest() != record["weights_sha256"]:
            raise ModelError(f"{path} is damaged or not the file that its record belongs to; make a new one: {train}")
        _hold_to(setting, record, path, train)
        config = kind.Config(**record["config"])  # type: ignore[attr-defined]
        model = kind(setting.spec, config)  # type: ignore[call-arg]
        model.load_state_dict(safetensors.load(weights))
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is damaged or incomplete ({_first_line(error)}); make a new one: {train}") from error
    except (RuntimeError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"{path} is for another architecture ({_first_line(error)}); make a new one: {train}"
        ) from error
    model.version = version(kind, weights, record["config"])
    return model


def _hold_to(setting: Setting, record: Mapping[str, Any], path: Path, train: str) -> None:
    """Refuse a checkpoint whose record is of something else than the setting asks for."""
    spec = SampleSpec(tuple(record["shape"]), record["levels"])
    if spec != setting.spec:
        raise ModelError(f"{path} is for items of {spec}, the benchmark has {setting.spec}; make a new one: {train}")
    asked = {
        "model": setting.model,
        "benchmark": setting.benchmark,
        "data_sha256": setting.dataset.sha256,
    }
    for key, value in asked.items():
        if record[key] != value:
            name = key.replace("_sha256", "")
            raise ModelError(f"{path} was trained for {name} {record[key]}, not for {value}; make a new one: {train}")


def save(model: Checkpointed, setting: Setting, record: Mapping[str, object]) -> Path:
    """Write weights and record, each exchanged atomically; the old checkpoint stays where that fails."""
    path = folders()[0] / setting.benchmark / f"{setting.model}.safetensors"
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    weights = safetensors.save(state)
    details = {
        "model": setting.model,
        "benchmark": setting.benchmark,
        "shape": list(setting.spec.shape),
        "levels": setting.spec.levels,
        "config": asdict(model.config),
        "data_sha256": setting.dataset.sha256,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "torch": torch.__version__,
        **record,
    }
    text = json.dumps(details, indent=2) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _parts(path, path.with_suffix(".json")) as parts:
            parts[0].write_bytes(weights)
            parts[1].write_text(text)
            os.replace(parts[0], path)
            os.replace(parts[1], path.with_suffix(".json"))
    except OSError as error:
        full = error.errno == errno.ENOSPC
        reason = f"the disk that holds {path.parent} is full" if full else error.strerror or error
        remedy = "name another folder for checkpoints with GENBENCH_CHECKPOINTS"
        raise ModelError(f"cannot write {path}: {reason}; {remedy}") from error
    return path


@contextmanager
def _parts(*paths: Path) -> Iterator[list[Path]]:
    """Files beside `paths` to write to; what is left of them, also by a writer that was killed, is removed."""
    parts = [path.with_name(f"{path.name}.part") for path in paths]
    try:
        yield parts
    finally:
        for part in parts:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def version(kind: type, weights: bytes = b"", config: Mapping[str, Any] | None = None) -> str:
    """A short hash of a model's weights and configuration, and of its code in the zoo without comments, docstrings."""
    digest = hashlib.sha256()
    for file in sorted(_sources(Path(inspect.getfile(kind)), set())):
        for node in ast.walk(_code(file)):
            plain = [(name, value) for name, value in ast.iter_fields(node) if isinstance(value, str | int | float)]
            digest.update(repr((type(node).__name__, plain)).encode())
    digest.update(json.dumps(config, sort_keys=True).encode())
    digest.update(weights)
    return digest.hexdigest()[:12]


def _code(file: Path) -> ast.Module:
    """The syntax tree of a file without its docstrings."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        match getattr(node, "body", None):
            case [ast.Expr(value=ast.Constant()), *_] as body:
                body[0] = ast.Pass()
    return tree


def _sources(file: Path, files: set[Path]) -> set[Path]:
    """A file of the zoo and all that it imports from the zoo, added to `files`."""
    files.add(file)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "zoo":
            inside = SHIPPED.parent.joinpath(*node.module.split(".")[1:])
            # A package hands out its modules: ``from zoo import checkpoints``.
            here = [inside / f"{alias.name}.py" for alias in node.names] if inside.is_dir() else [Path(f"{inside}.py")]
            for other in here:
                if other not in files and other.stem not in BESIDE_THE_MODEL:
                    _sources(other, files)
    return files


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) if lines else type(error).__name__

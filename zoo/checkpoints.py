"""Checkpoints: weights as safetensors and, beside them, a JSON record of how they were made.

They lie in ``zoo/checkpoints/<benchmark>/<model>``, or below the folder that GENBENCH_CHECKPOINTS names, which is
looked at first and written to.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from genbench.contracts import SampleSpec, Setting
from genbench.errors import ModelError

if TYPE_CHECKING:
    from zoo.nn import Model

M = TypeVar("M", bound="Model")
SHIPPED = Path(__file__).parent / "checkpoints"


def folders() -> list[Path]:
    """Where checkpoints are looked for, first match wins; new ones are written below the first."""
    chosen = os.environ.get("GENBENCH_CHECKPOINTS")
    return [Path(chosen), SHIPPED] if chosen else [SHIPPED]


def load(kind: type[M], setting: Setting) -> M:
    """The trained model for a setting. Raises ModelError where its checkpoint is missing, damaged or does not fit."""
    train = f"genbench train {setting.model} --benchmark {setting.benchmark}"
    candidates = [folder / setting.benchmark / f"{setting.model}.safetensors" for folder in folders()]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise ModelError(f"{setting.model} has no checkpoint for {setting.benchmark}; make one with: {train}")
    try:
        record = json.loads(path.with_suffix(".json").read_text())
        spec = SampleSpec(tuple(record["shape"]), record["levels"])
        state = load_file(path)
        if spec != setting.spec:
            raise ModelError(
                f"{path} is for items of {spec}, the benchmark has {setting.spec}; make a new one: {train}"
            )
        model = kind(spec, kind.Config(**record["config"]))
        model.load_state_dict(state)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is damaged or incomplete ({_first_line(error)}); make a new one: {train}") from error
    except (RuntimeError, TypeError) as error:
        raise ModelError(
            f"{path} is for another architecture ({_first_line(error)}); make a new one: {train}"
        ) from error
    model.version = version(kind, path)
    return model


def save(model: Model, setting: Setting, record: Mapping[str, object]) -> Path:
    """Write weights and record, each exchanged atomically; the old checkpoint stays where that fails."""
    path = folders()[0] / setting.benchmark / f"{setting.model}.safetensors"
    details = {
        "model": setting.model,
        "benchmark": setting.benchmark,
        "shape": list(setting.spec.shape),
        "levels": setting.spec.levels,
        "config": asdict(model.config),
        "data_sha256": setting.dataset.sha256,
        "torch": torch.__version__,
        **record,
    }
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = path.with_suffix(".safetensors.part"), path.with_suffix(".json.part")
        save_file(weights, parts[0])
        parts[0].chmod(0o644)  # safetensors keeps its files to their owner
        parts[1].write_text(json.dumps(details, indent=2) + "\n")
        os.replace(parts[0], path)
        os.replace(parts[1], path.with_suffix(".json"))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot write {path} ({error}); name a folder in GENBENCH_CHECKPOINTS") from error
    return path


def version(kind: type, path: Path | None = None) -> str:
    """A short hash of a model's weights and of its code in the zoo; comments and docstrings do not count."""
    digest = hashlib.sha256()
    for file in sorted(_sources(Path(inspect.getfile(kind)), set())):
        for node in ast.walk(_code(file)):
            plain = [(name, value) for name, value in ast.iter_fields(node) if isinstance(value, str | int | float)]
            digest.update(repr((type(node).__name__, plain)).encode())
    if path is not None:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _code(file: Path) -> ast.Module:
    """The syntax tree of a file without its docstrings."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        match getattr(node, "body", None):
            case [ast.Expr(value=ast.Constant()), *_] as body:
                body[0] = ast.Pass()
    return tree


def _sources(file: Path, found: set[Path]) -> set[Path]:
    """A file of the zoo and all that it imports from the zoo."""
    found.add(file)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "zoo":
            inside = SHIPPED.parent.joinpath(*node.module.split(".")[1:])
            # A package hands out its modules: ``from zoo import checkpoints``.
            files = [inside / f"{alias.name}.py" for alias in node.names] if inside.is_dir() else [Path(f"{inside}.py")]
            for other in files:
                if other not in found:
                    _sources(other, found)
    return found


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) if lines else type(error).__name__

"""genbench says how good a generative model is: sample quality and likelihood on one board, with error bars."""

from __future__ import annotations

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genbench import likelihood, metrics
    from genbench.contracts import Budget, Dataset, SampleSpec, Setting
    from genbench.errors import GenbenchError
    from genbench.evaluation import adapters
    from genbench.evaluation.adapters import adapt
    from genbench.evaluation.check import check
    from genbench.evaluation.evaluate import Report, evaluate, tradeoff
    from genbench.evaluation.image_pass import Reading
    from genbench.evaluation.score import Scores, score, stats
    from genbench.evaluation.stream import Stream
    from genbench.leaderboard.boards import leaderboard
    from genbench.numerics import linalg
    from genbench.numerics.estimate import Estimate
    from genbench.plugins.cards import Benchmark, Card, ModelCard, Published
    from genbench.plugins.extractors import Computing

__version__ = "0.1.0"

_HOMES = {
    "Benchmark": "genbench.plugins.cards",
    "Budget": "genbench.contracts",
    "Card": "genbench.plugins.cards",
    "Computing": "genbench.plugins.extractors",
    "Dataset": "genbench.contracts",
    "Estimate": "genbench.numerics.estimate",
    "GenbenchError": "genbench.errors",
    "ModelCard": "genbench.plugins.cards",
    "Published": "genbench.plugins.cards",
    "Reading": "genbench.evaluation.image_pass",
    "Report": "genbench.evaluation.evaluate",
    "SampleSpec": "genbench.contracts",
    "Scores": "genbench.evaluation.score",
    "Setting": "genbench.contracts",
    "Stream": "genbench.evaluation.stream",
    "adapt": "genbench.evaluation.adapters",
    "adapters": "genbench.evaluation.adapters",
    "check": "genbench.evaluation.check",
    "evaluate": "genbench.evaluation.evaluate",
    "leaderboard": "genbench.leaderboard",
    "likelihood": "genbench.likelihood",
    "linalg": "genbench.numerics.linalg",
    "metrics": "genbench.metrics",
    "score": "genbench.evaluation.score",
    "stats": "genbench.evaluation.score",
    "tradeoff": "genbench.evaluation.evaluate",
}

_MODULES = {"adapters", "leaderboard", "likelihood", "linalg", "metrics"}

__all__ = [
    "Benchmark",
    "Budget",
    "Card",
    "Computing",
    "Dataset",
    "Estimate",
    "GenbenchError",
    "ModelCard",
    "Published",
    "Reading",
    "Report",
    "SampleSpec",
    "Scores",
    "Setting",
    "Stream",
    "adapt",
    "adapters",
    "check",
    "evaluate",
    "leaderboard",
    "likelihood",
    "linalg",
    "metrics",
    "score",
    "stats",
    "tradeoff",
]


class _Alias(MetaPathFinder, Loader):
    """Lets ``from genbench.linalg import sqrtm`` reach the public module wherever its room is."""

    targets = {  # noqa: RUF012
        "genbench.adapters": "genbench.evaluation.adapters",
        "genbench.linalg": "genbench.numerics.linalg",
    }

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in self.targets else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.targets[spec.name])
        self.own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.own  # the import system has put the alias's in its place


sys.meta_path.append(_Alias())


def __getattr__(name: str) -> Any:
    """Import a public name on first use: `import genbench` alone needs no torch."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'genbench' has no attribute {name!r}")
    module = importlib.import_module(home)
    value = getattr(module, name, module)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""genbench says how good a generative model is: sample quality and likelihood on one board, with error bars."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genbench import likelihood, linalg, metrics
    from genbench.boards import leaderboard
    from genbench.checks import check
    from genbench.contracts import Budget, Dataset, SampleSpec, Setting
    from genbench.errors import GenbenchError
    from genbench.estimate import Estimate
    from genbench.extraction import Reading
    from genbench.extractors import Computing
    from genbench.registry import Card, ModelCard
    from genbench.report import Report, evaluate, tradeoff
    from genbench.scoring import Scores, score, stats

__version__ = "0.1.0"

_HOMES = {
    "Budget": "genbench.contracts",
    "Card": "genbench.registry",
    "Computing": "genbench.extractors",
    "Dataset": "genbench.contracts",
    "Estimate": "genbench.estimate",
    "GenbenchError": "genbench.errors",
    "ModelCard": "genbench.registry",
    "Reading": "genbench.extraction",
    "Report": "genbench.report",
    "SampleSpec": "genbench.contracts",
    "Scores": "genbench.scoring",
    "Setting": "genbench.contracts",
    "check": "genbench.checks",
    "evaluate": "genbench.report",
    "leaderboard": "genbench.boards",
    "likelihood": "genbench.likelihood",
    "linalg": "genbench.linalg",
    "metrics": "genbench.metrics",
    "score": "genbench.scoring",
    "stats": "genbench.scoring",
    "tradeoff": "genbench.report",
}

__all__ = [
    "Budget",
    "Card",
    "Computing",
    "Dataset",
    "Estimate",
    "GenbenchError",
    "ModelCard",
    "Reading",
    "Report",
    "SampleSpec",
    "Scores",
    "Setting",
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


def __getattr__(name: str) -> Any:
    """Import a public name on first use: `import genbench` alone needs no torch."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'genbench' has no attribute {name!r}")
    module = importlib.import_module(home)
    value = module if home == f"genbench.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Result rows as ranked boards, and pictures; no model and no metric is imported here.

The package is a function as well: ``genbench.leaderboard("leaderboards/digits")`` is the table of a results folder.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class _Leaderboard(ModuleType):
    def __call__(self, folder: Path | str, sort: str | None = None) -> pd.DataFrame:
        """As `genbench.leaderboard.boards.leaderboard`."""
        from genbench.leaderboard.boards import leaderboard

        return leaderboard(folder, sort)


sys.modules[__name__].__class__ = _Leaderboard

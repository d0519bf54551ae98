"""The real side of a comparison: all that belongs to it alone, made once for all models that are compared with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from genbench.contracts import Dataset, Features
from genbench.errors import Unsupported


@dataclass(frozen=True, eq=False)
class Reference:
    """Real items with what they were cut from.

    `content` identifies the items, `size` counts them; `make_features` and `make_train_features` extract the features
    of them and of the items that generators learnt from; `labels` int64 (size,) and the names of their `classes` are
    there where they are known; `dataset` is where they stem from, if from a benchmark.
    """

    content: str
    size: int
    make_features: Callable[[], Features]
    make_train_features: Callable[[], Features] | None = None
    train_content: str = ""
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    dataset: Dataset | None = None

    @cached_property
    def features(self) -> Features:
        return self.make_features()

    @cached_property
    def train_features(self) -> Features:
        if self.make_train_features is None:
            raise Unsupported("needs the images that the generator was trained on; name them with --train")
        return self.make_train_features()

    @cached_property
    def outliers(self) -> Tensor:
        """Items that have the data's shape and nothing else in common with it."""
        from genbench.data.outliers import outliers

        if self.dataset is None:
            raise Unsupported("needs a benchmark, whose data outliers are made for")
        return outliers(self.dataset)

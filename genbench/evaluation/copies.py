"""Evidence of which every part is a copy: what a third party's metric may write into without harm to others."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from torch import Tensor

from genbench.contracts import Evidence
from genbench.plugins.guard import copied


class Copies:
    """The parts of an Evidence as copies, each made once; what is shared among metrics is not shared with these."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._parts: dict[Hashable, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._parts:
            self._parts[name] = copied(getattr(self._evidence, name))
        return self._parts[name]

    def reconstruct(self, x: Tensor, what: str, /) -> Tensor:
        return self._evidence.reconstruct(x.clone(), what).clone()

    def offers(self, capability: str, /) -> bool:
        return self._evidence.offers(capability)

    def through(self, features: str, /) -> Copies:
        return Copies(self._evidence.through(features))

    def once(self, key: Hashable, compute: Callable[[], Any], /) -> Any:
        if ("shared", key) not in self._parts:
            self._parts["shared", key] = compute()
        return self._parts["shared", key]

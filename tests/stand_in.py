"""Evidence for tests of metrics, made of the parts that a test gives; what it does not give is not there."""

from __future__ import annotations

from typing import Any

from genbench.contracts import Evidence
from genbench.errors import Unsupported


class StandIn:
    def __init__(self, capabilities: tuple[str, ...] = (), **parts: Any) -> None:
        self.capabilities, self.parts, self.known = capabilities, {"classes": (), "conditions": None, **parts}, {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self.parts:
            raise Unsupported(f"no {name} is given")
        return self.parts[name]

    def offers(self, capability: str) -> bool:
        return capability in self.capabilities

    def through(self, features: str) -> StandIn:
        return self

    def once(self, key: Any, compute: Any) -> Any:
        if key not in self.known:
            self.known[key] = compute()
        return self.known[key]


def evidence(capabilities: tuple[str, ...] = (), **parts: Any) -> Evidence:
    return StandIn(capabilities, **parts)

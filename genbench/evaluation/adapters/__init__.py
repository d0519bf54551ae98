"""Models of other making as generators: functions, networks, the models of other libraries, and files."""

from __future__ import annotations

from genbench.evaluation.adapters.adapted import Adaptation, Adapted
from genbench.evaluation.adapters.adapting import adapt
from genbench.evaluation.adapters.files import from_path
from genbench.evaluation.adapters.libraries import diffusers, flow, pythae

__all__ = ["Adaptation", "Adapted", "adapt", "diffusers", "flow", "from_path", "pythae"]

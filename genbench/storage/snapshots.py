"""The states of a training that is under way, in one file, from which an interrupted or diverged one goes on."""

from __future__ import annotations

import copy
import pickle
import time
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from genbench.errors import GenbenchWarning, ModelError, ResultsError
from genbench.storage import atomic, cache


class FileSnapshots:
    """Keeps the last good state of every phase of one training; `identity` is what must be equal to go on from it.

    `notes` (plain dicts, lists, text and numbers) are kept with the states, for whoever watches the training.
    """

    def __init__(self, path: Path, identity: Mapping[str, object]) -> None:
        self.path, self.identity = path, dict(identity)
        self.phases: list[dict[str, Any]] = []
        self.notes: dict[str, Any] = {}
        self.phase = -1
        self.broken = False
        self.seconds_before, self.start = 0.0, time.monotonic()

    def resume(self) -> None:
        """Go on from what the file holds. Raises ModelError where that is nothing, damaged or of another training."""
        what = f"of a training of {self.identity['model']} on {self.identity['benchmark']}"
        if not self.path.is_file():
            raise ModelError(f"nothing is kept {what} to go on from; train it without --resume")
        try:
            self._require_whole()
            state = self._read()
            phases, identity, seconds = state["phases"], state["identity"], float(state["seconds"])
        except Exception as error:  # a damaged file breaks the reader in many ways
            raise ModelError(f"{self.path}, the state {what}, is damaged; train it without --resume") from error
        for key, value in self.identity.items():
            if identity.get(key) != value:
                raise ModelError(
                    f"what is kept {what} had {key} {identity.get(key)}, this one has {value}; "
                    "give the same, or train it without --resume"
                )
        self.phases, self.seconds_before, self.notes = phases, seconds, dict(state.get("notes", {}))

    def enter(self) -> Mapping[str, Any] | None:
        """The next phase begins; the state that it goes on from, if there is one."""
        self.phase += 1
        # A copy: optimisers take the tensors that they are given for their own.
        return copy.deepcopy(self.phases[self.phase]) if self.phase < len(self.phases) else None

    def keep(self, state: Mapping[str, Any], /) -> None:
        """Keep a state of the phase at hand in place of its earlier one; warns once where it cannot be written."""
        if self.broken:
            return
        self.phases[self.phase :] = [{**state, "divergences": 0}]
        try:
            self._write()
            # What is in memory goes on changing with the training; what is on disk stays.
            self.phases = self._read()["phases"]
        except (OSError, ResultsError, RuntimeError, pickle.UnpicklingError) as error:
            self._give_up(error)

    def diverged(self) -> str:
        """Note that what came after the state last kept was of no use; says what can be done about it."""
        if self.step is None:
            return ""
        self.phases[self.phase]["divergences"] += 1
        try:
            self._write()
        except ResultsError as error:
            self._give_up(error)
            return ""
        return f", and --resume goes on from step {self.step} with half the learning rate"

    def remedy(self) -> str:
        """What a training that could not be saved says of the state last kept; nothing where there is none."""
        return "" if self.broken or self.step is None else f"; then --resume goes on from step {self.step}"

    def remove(self) -> None:
        """The training is finished, or begins anew."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    @property
    def step(self) -> int | None:
        """The step of the state last kept; None where nothing is."""
        return int(self.phases[self.phase]["step"]) if 0 <= self.phase < len(self.phases) else None

    def _give_up(self, error: Exception) -> None:
        self.broken, self.phases = True, []
        warnings.warn(f"this training cannot be resumed: {error}", GenbenchWarning, stacklevel=3)

    def _write(self) -> None:
        import torch

        seconds = self.seconds_before + time.monotonic() - self.start
        state = {"identity": self.identity, "seconds": seconds, "phases": self.phases, "notes": self.notes}

        def save(part: Path) -> None:
            with part.open("wb") as file:  # torch's own file would not tell why it cannot be written
                torch.save(state, file)

        atomic.write(self.path, save, cache.ELSEWHERE)

    def _read(self) -> dict[str, Any]:
        import torch

        state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        return state

    def _require_whole(self) -> None:
        """Raises where a byte of the file has changed, which torch does not notice."""
        with zipfile.ZipFile(self.path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"{broken} is corrupt")

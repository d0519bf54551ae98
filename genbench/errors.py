"""Errors that a user can act on: one clear sentence each, shown by the command line without a traceback."""

from __future__ import annotations

__all__ = [
    "ConformanceError",
    "DataError",
    "GenbenchError",
    "GenbenchWarning",
    "InputError",
    "ModelError",
    "OutOfMemoryError",
    "ProcessLostError",
    "RegistryError",
    "ResultsError",
    "Unsupported",
]


class GenbenchError(Exception):
    """Base of every error that genbench raises on purpose."""


class GenbenchWarning(UserWarning):
    """What a user should know, although the work goes on."""


class InputError(GenbenchError, ValueError):
    """An array or argument does not fit: wrong shape, not finite, too few samples, a parameter out of range."""


class ProcessLostError(BaseException):
    """Another process of the same run has ended: no fault of a model or metric, so it ends this process too."""


class RegistryError(GenbenchError, LookupError):
    """A name is unknown or claimed twice, or what it points to cannot be imported."""


class DataError(GenbenchError):
    """A dataset is absent, cannot be downloaded, or is not what it should be."""


class ModelError(GenbenchError):
    """A generator broke its contract, or its checkpoint is missing, damaged or for another architecture."""


class OutOfMemoryError(ModelError):
    """A generator needed more memory than there is, on whichever device."""


class ResultsError(GenbenchError):
    """A results file or output folder cannot be read or written."""


class ConformanceError(ModelError):
    """A generator has faults; `faults` lists every one that the check found."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = tuple(faults)
        count = f"{len(faults)} fault" + ("s" if len(faults) != 1 else "")
        super().__init__(f"{count}: " + "; ".join(faults))


class Unsupported(GenbenchError):  # noqa: N818 - a status that metrics raise, not a fault
    """A metric needs something that the model or benchmark does not define; the row says so and nothing failed."""


# By the module that is missing, the extra of genbench that brings it.
EXTRAS = {"matplotlib": "boards", "pandas": "boards", "sklearn": "boards"}


def way_to_install(error: BaseException) -> str:
    """Which extra brings what an import did not find, as words to follow a message; empty for other errors."""
    module = (error.name or "").split(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return f"; pip install 'genbench[{EXTRAS[module]}]' brings it" if module in EXTRAS else ""

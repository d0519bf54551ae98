"""Telling a user's interruption from an exception that a plug-in raises, and saying in one line what was raised."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class Interruption:
    """What a signal's handler raised, if one came: that must end the work, whatever a plug-in makes of it."""

    error: BaseException | None = None


@contextmanager
def interruptions() -> Iterator[Interruption]:
    """Notes what the handlers of SIGINT and SIGTERM raise inside, and puts the handlers back afterwards.

    An exception that comes about otherwise, SystemExit and KeyboardInterrupt included, is of the code that runs inside.
    Signals reach the main thread alone; in others nothing is noted.
    """
    noted = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return

    def noting(handler: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except BaseException as error:
                noted.error = error
                raise

        return handle

    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in handlers.items():
        if callable(handler):
            signal.signal(number, noting(handler))
    try:
        yield noted
    finally:
        for number, handler in handlers.items():
            if handler is not None:  # None: installed by other than Python, which cannot put it back
                signal.signal(number, handler)


def one_line(error: BaseException) -> str:
    """What an exception says, in one printable line; empty where it says nothing, or where saying it fails too."""
    try:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    except BaseException:  # a plug-in's own __str__
        return ""
    return printable(lines[0]) if lines else ""


def described(error: BaseException) -> str:
    """The kind of an exception and what it says, in one printable line."""
    kind, text = printable(type(error).__name__), one_line(error)
    return f"{kind}: {text}" if text else kind


def shown(value: object) -> str:
    """A value as code writes it, in one printable line; its type where writing it fails."""
    try:
        return printable(repr(value))
    except BaseException:  # a plug-in's own __repr__
        return f"a {printable(type(value).__name__)}"


def printable(text: str) -> str:
    """Text as it can be printed on any terminal, at most 500 characters of it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text[:500])

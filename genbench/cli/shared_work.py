"""Commands that several processes run together, as torchrun starts them: one of them speaks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import wraps
from typing import Any, TypeVar

from genbench.errors import GenbenchError, ProcessLostError

F = TypeVar("F", bound=Callable[..., Any])


def shared_work(command: F) -> F:
    """A command whose work the processes that torchrun has started share; all but the first say nothing.

    An error that not all of them have is said by the one that has it.
    """

    @wraps(command)
    def shared(*arguments: Any, **options: Any) -> Any:
        if "RANK" not in os.environ:  # nothing to load torch for
            return command(*arguments, **options)
        from genbench.evaluation import processes

        with processes.joined():
            if processes.rank() == 0:
                return command(*arguments, **options)
            try:
                with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
                    return command(*arguments, **options)
            except ProcessLostError:
                sys.exit(1)
            except SystemExit:  # the first process says it: one that is ended early would have the launcher end all
                return None
            except GenbenchError as error:
                if processes.was_shared(error):
                    return None
                raise

    return shared  # type: ignore[return-value]

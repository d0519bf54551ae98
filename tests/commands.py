"""Calls and command lines in processes of their own, for tests: alone, or together on one work as torchrun's are.

They are begun by the server of `genbench.evaluation.isolation`, which has torch imported: a test of four processes then
costs what they compute, and not four times the seconds of an import.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from click.testing import CliRunner

from genbench.cli.entry import main
from genbench.evaluation import isolation

SECONDS = 200.0  # after which a process that is waited for is taken to hang


class Done(NamedTuple):
    """How a process has ended, with the names of `subprocess.CompletedProcess`."""

    returncode: int | None
    stdout: str
    stderr: str


class Begun:
    """A process under way, whose output goes to files."""

    def __init__(self, process: BaseProcess, files: tuple[str, str]) -> None:
        self.process, self.files = process, files

    def wait(self) -> Done:
        self.process.join(SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise TimeoutError("".join(self._read()))
        return Done(self.process.exitcode, *self._read())

    def _read(self) -> tuple[str, str]:
        stdout, stderr = (Path(file).read_text() for file in self.files)
        return stdout, stderr


def begin(
    call: Callable[..., object], *arguments: object, folder: Path, environment: Mapping[str, str] | None = None
) -> Begun:
    """Call a function, which a module holds, in a process of its own whose working directory is `folder`."""
    files = tuple(tempfile.mkstemp(suffix=name, dir=folder) for name in (".stdout", ".stderr"))
    for handle, _ in files:
        os.close(handle)
    paths = files[0][1], files[1][1]
    surroundings = {**os.environ, **(environment or {})}
    process = isolation.context().Process(target=_called, args=(call, arguments, folder, surroundings, paths))
    process.start()
    return Begun(process, paths)


def genbench(*arguments: object, folder: Path, environment: Mapping[str, str] | None = None) -> Begun:
    """Begin a command line of genbench."""
    return begin(_command, *map(str, arguments), folder=folder, environment=environment)


def genbench_here(*arguments: object, environment: Mapping[str, str] | None = None) -> Done:
    """A command line of genbench in this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as outside of tests
        result = CliRunner(env=environment).invoke(main, [*map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def together(
    count: int,
    call: Callable[..., object],
    *arguments: object,
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> list[Done]:
    """Call a function in several processes, each of which knows the others as torchrun would have told it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count), **(environment or {})}
    ranks = [{**told, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
    begun = [begin(call, *arguments, folder=folder, environment=rank) for rank in ranks]
    return [each.wait() for each in begun]


def genbench_together(count: int, *arguments: object, folder: Path, environment: Mapping[str, str]) -> list[Done]:
    """A command line of genbench whose work several processes share."""
    return together(count, _command, *map(str, arguments), folder=folder, environment=environment)


def _command(*arguments: str) -> None:
    main(list(arguments), prog_name="genbench")


def _called(
    call: Callable[..., object],
    arguments: tuple[object, ...],
    folder: Path,
    surroundings: Mapping[str, str],
    files: tuple[str, str],
) -> None:
    os.environ.clear()
    os.environ.update(surroundings)
    os.chdir(folder)
    paths = surroundings.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [path for path in paths if path not in ("", *sys.path)]
    for descriptor, file in enumerate(files, 1):
        opened = os.open(file, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    call(*arguments)

"""The command line: each command in a file of its own, loaded when it is asked for."""

from __future__ import annotations

import importlib
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from genbench.errors import GenbenchError, InputError, ProcessLostError, RegistryError, way_to_install

# Where each command is, and what it does: --help loads none of them.
COMMANDS = {
    "run": ("genbench.cli.run:run", "Evaluate models on a benchmark, and rank them."),
    "score": ("genbench.cli.score:score", "Compare two sets of images: FID, KID, precision, recall."),
    "stats": ("genbench.cli.score:stats", "Keep the statistics of a set of images for score."),
    "tradeoff": ("genbench.cli.tradeoff:tradeoff", "Draw quality against diversity under truncation."),
    "train": ("genbench.cli.train:train", "Train models and keep their checkpoints."),
    "leaderboard": ("genbench.cli.leaderboard:leaderboard", "Print the ranked boards of results folders."),
    "show": ("genbench.cli.show:show", "Show what is known of a model, benchmark or metric."),
    "samples": ("genbench.cli.pictures:samples", "Draw samples of a model as a picture."),
    "latent": ("genbench.cli.pictures:latent", "Walk in the latent space of a model."),
    "report": ("genbench.cli.report:report", "Write the boards as one page of HTML."),
    "diff": ("genbench.cli.leaderboard:diff", "Compare two results folders, or two dates of one."),
    "sanity": ("genbench.cli.sanity:sanity", "Show which faults the metrics of a benchmark see."),
    "list": ("genbench.cli.listing:list_command", "List what can be named."),
    "check": ("genbench.cli.check:check", "Hold a model to the generator contract."),
}
PROMISE = "what was finished is kept, and the same command goes on from there"


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


class Commands(click.Group):
    """Turns genbench's errors into one line and an exit code: 2 for wrong usage, 1 for what failed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        with plain_warnings(), terminable():
            try:
                return super().invoke(ctx)
            except ProcessLostError as error:
                click.echo(f"error: {error}", err=True)
                ctx.exit(1)
            except GenbenchError as error:
                click.echo(f"error: {error}", err=True)
                ctx.exit(2 if isinstance(error, InputError | RegistryError) else 1)
            except ModuleNotFoundError as error:
                if not (way := way_to_install(error)):
                    raise
                click.echo(f"error: this needs {error.name}{way}", err=True)
                ctx.exit(1)
            except Terminated:
                click.echo(f"terminated; {PROMISE}", err=True)
                ctx.exit(143)
            except KeyboardInterrupt:
                click.echo(f"interrupted; {PROMISE}", err=True)
                ctx.exit(130)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Warnings in one line each on stderr, and as before afterwards."""
    before = warnings.showwarning
    warnings.showwarning = lambda message, *_, **__: click.echo(f"warning: {message}", err=True)
    try:
        yield
    finally:
        warnings.showwarning = before


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises Terminated inside, where the signal can be caught."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, end)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="genbench")
def main() -> None:
    """How good is a generative model? Sample quality and likelihood on one board, with error bars.

    \b
    genbench run digits                          rank the bundled models on real digits
    genbench run digits --model my_file:make     and a generator of your own
    genbench score real/ fake/                   compare two folders of images
    genbench tradeoff dcgan                      draw a truncation curve
    """
    # Names of files and models may hold what the terminal's encoding does not know.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

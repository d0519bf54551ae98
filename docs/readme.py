"""Write into README.md what its commands print, and the figures that it quotes: `make readme`.

A comment such as ``<!-- genbench leaderboard leaderboards/digits -->`` stands before each block that a command prints.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import click

from genbench.cli.entry import Commands, main
from genbench.plugins import registry

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"<!-- genbench (.*?) -->\n```text\n.*?```", re.DOTALL)
COVERAGE = re.compile(r"(<!-- make coverage -->\n).*?(?=<!-- end -->)", re.DOTALL)
SPEED = re.compile(r"(<!-- make bench -->\n).*?(?=<!-- end -->)", re.DOTALL)
MACHINE = re.compile(r"(?:RBM_NLL|[\d.]+ nats within \[[\d.]+, [\d.]+\])(?=,\s+beside the 86\.34)")
COUNT = re.compile(r"(?<=catalogue of )\d+(?= models)")
WIDTH = 124


def renewed(text: str) -> str:
    """The text with every such block as its command prints it now."""
    text = BLOCK.sub(lambda block: f"<!-- genbench {block[1]} -->\n```text\n{printed(block[1])}```", text)
    text = COVERAGE.sub(lambda block: block[1] + output_of("tests/error_bars.py", "--show"), text)
    text = SPEED.sub(lambda block: block[1] + output_of("tests/benchmarks/table.py"), text)
    return COUNT.sub(str(trained()), MACHINE.sub(machine(), text))


def printed(command: str) -> str:
    """What a command prints, without empty lines at its ends; of a board, without what it does not show."""
    if command == "commands":
        return commands()
    line = [sys.executable, "-m", "genbench", *command.split()]
    environment = {**os.environ, "COLUMNS": str(WIDTH), "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return "".join(f"{row.rstrip()}\n" for row in done.stdout.splitlines() if row.strip() and "not shown: " not in row)


def commands() -> str:
    """An example of every command, as its help ends in one."""
    assert isinstance(main, Commands)
    context = click.Context(main, info_name="genbench")
    every = [main.get_command(context, name) for name in main.list_commands(context)]
    return "".join(f"{command.epilog.partition('Example: ')[2]}\n" for command in every if command and command.epilog)


def output_of(script: str, *options: str) -> str:
    """The table that a script makes of committed measurements, as the command that measured printed it."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    line = [sys.executable, script, *options]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.rstrip() + "\n"


def machine() -> str:
    """The likelihood of the Boltzmann machine on binary MNIST, of the committed board."""
    with (ROOT / "leaderboards" / "mnist-binary" / "leaderboard.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if row["model"] == "rbm")
    value, low, high = (f"{float(row[column]):.2f}" for column in ("nll", "nll_low", "nll_high"))
    return f"{value} nats within [{low}, {high}]"


def trained() -> int:
    """How many models the catalogue holds, anchors left out."""
    return sum(card.family != "anchor" for card in registry.models().values())


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(renewed(path.read_text()))

"""`genbench check`: the contract, held to a generator."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from genbench.cli import options
from genbench.errors import ConformanceError


@click.command(epilog="Example: genbench check my_package.my_file:make --benchmark digits")
@click.argument("model")
@click.option("--benchmark", help="Whose data the factory is told about.  [default: the model's first board]")
@options.computing
def check(model: str, benchmark: str | None, seed: int, device: str, data_root: Path | None) -> None:
    """Hold MODEL (a name or module:factory) to the generator contract and print every fault at once."""
    from genbench.evaluation import benchmarks, devices, generators
    from genbench.evaluation import check as checking

    card = generators.resolve(model)
    devices.check(device)
    board = benchmarks.find(benchmark or card.home)
    setting = benchmarks.setting(board, card.name, benchmarks.load_dataset(board, data_root), device)
    try:
        offered = checking.check(generators.build(card, setting), setting.spec)
    except ConformanceError as error:
        for fault in error.faults:
            click.echo(f"fault: {fault}")
        click.echo(f"{model}: {len(error.faults)} fault{'s' if len(error.faults) > 1 else ''}", err=True)
        sys.exit(1)
    click.echo(f"{model}: ok; {', '.join(('sample', *offered))}")

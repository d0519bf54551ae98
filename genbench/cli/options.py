"""The options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

F = Callable[..., Any]

device = click.option(
    "--device", default="cpu", show_default=True, help="Where models and features run: cpu, cuda, cuda:1."
)
seed = click.option("--seed", default=0, show_default=True, help="Same seed, same numbers.")
data_root = click.option(
    "--data-root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that holds the benchmark's data already; without it, data is downloaded once.",
)
precision = click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float64"]),
    default="float32",
    show_default=True,
    help="Of the network behind the features; bfloat16 is faster on many machines.",
)
weights = click.option(
    "--weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Weights of the network behind the features, in place of those in the cache or downloaded.",
)
resize = click.option(
    "--resize",
    type=click.Choice(["tf", "clean", "torch"]),
    help="Bring images to the network's size as other tools do: TensorFlow's, clean-fid's or torchvision's way.",
)
suite = click.option(
    "--suite",
    type=click.Choice(["adm", "edm", "full"]),
    help="The metrics and features that an evaluator of papers reports: guided-diffusion's, EDM's, or all of them.",
)
batch_size = click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    help="Items that a model is asked for at once; halved where memory runs out.  [default: the model's own, or 1000]",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print result rows as JSON lines in place of the table.")
metrics = click.option(
    "--metric", "metrics", multiple=True, help="Only these metrics, NAME or module:factory; repeatable."
)


def all_of(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, in this order in --help."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


computing = all_of(seed, device, data_root)  # of every command that runs models

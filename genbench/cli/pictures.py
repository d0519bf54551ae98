"""`genbench samples` and `genbench latent`: pictures of what a model makes, for a lecture or a quick look."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from genbench.cli import options
from genbench.errors import InputError, Unsupported

if TYPE_CHECKING:
    from genbench.contracts import Dataset, Generator
    from genbench.evaluation.latent import Way
    from genbench.plugins.cards import Benchmark

board = click.option("--benchmark", help="Name, folder of images, or .npz.  [default: the model's first]")
picture = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("grid.png"),
    show_default=True,
    help="The PNG to write.",
)


def built(
    name: str, benchmark: str | None, device: str, data_root: Path | None
) -> tuple[Generator, Benchmark, Dataset]:
    """A model on a benchmark, with that benchmark and its data."""
    from genbench.evaluation import benchmarks, devices, generators

    devices.check(device)
    card = generators.resolve(name)
    home = benchmarks.find(benchmark or card.home)
    dataset = benchmarks.load_dataset(home, data_root)
    return generators.build(card, benchmarks.setting(home, card.name, dataset, device)), home, dataset


@click.command(epilog="Example: genbench samples dcgan -n 64 -o grid.png")
@click.argument("model")
@click.option("-n", type=click.IntRange(1, 10_000), default=64, show_default=True, help="Samples to draw.")
@picture
@board
@options.computing
def samples(
    model: str, n: int, output: Path, benchmark: str | None, seed: int, device: str, data_root: Path | None
) -> None:
    """Draw samples of MODEL (a name, module:factory or file) as one picture; translations stand beside their sources.

    Sequences are drawn as their benchmark draws them: pen strokes, waves, or rows of coloured cells.
    """
    from genbench.evaluation import generators
    from genbench.leaderboard import pictures

    generator, home, data = built(model, benchmark, device, data_root)
    if data.source is not None and generators.offers(generator, "translation"):
        made = generators.translations(generator, data, min(n, len(data.source.heldout)), seed)
        pictures.save_beside(pictures.translations(data, made), output)
    else:
        made = generators.samples_of(generator, data.spec, n, seed)
        pictures.save_grid(made, data.spec, output, home.picture)
    if not output.exists():
        raise InputError(f"samples of {model} are of shape {data.spec.shape}, which no picture is made of")
    click.echo(f"{output}: {len(made)} samples of {model} on {home.name}, seed {seed}")


@click.command(epilog="Example: genbench latent vae --rows 6 --steps 10 -o latent.png")
@click.argument("model")
@picture
@click.option("--rows", type=click.IntRange(1, 100), default=6, show_default=True, help="Rows of either part.")
@click.option("--steps", type=click.IntRange(2, 100), default=10, show_default=True, help="Items from code to code.")
@click.option(
    "--way",
    type=click.Choice(["line", "sphere"]),
    default="line",
    show_default=True,
    help="Between two codes straight on, or along the sphere on which draws of a normal prior lie.",
)
@board
@options.computing
def latent(
    model: str,
    output: Path,
    rows: int,
    steps: int,
    way: Way,
    benchmark: str | None,
    seed: int,
    device: str,
    data_root: Path | None,
) -> None:
    """Walk in the latent space of MODEL: above, the ways between pairs of codes; below, arithmetic with codes.

    Each sum takes the mean code of three bold items of a class, takes away that of three thin ones of it, and adds that
    of three thin ones of another class: if the space has a direction for boldness, the result is bold and of the other
    class. Which items are bold is measured on 1,000 draws, their class is told by the benchmark's extractor.
    """
    import torch

    from genbench.evaluation import latent as walks
    from genbench.leaderboard import pictures
    from genbench.plugins import extractors

    generator, home, data = built(model, benchmark, device, data_root)
    if not data.spec.is_image:
        raise InputError(f"items of {home.name} are no images, and walks in a latent space are drawn of images alone")
    try:
        ways = walks.interpolation(generator, data.spec, (rows, steps), seed, way)
        sums = walks.arithmetic(generator, data.spec, extractors.make(home.features, data.spec), rows, seed)
    except Unsupported as error:
        raise InputError(f"{model}: {error}") from error
    heads = ["bold a", "- thin a", "+ thin b", "= ?"]
    blocks = [(["code", "interpolation", "code"], ways), (heads, torch.stack([each.items for each in sums]))]
    pictures.save_rows(blocks, data.spec, output)
    named = [f"{each.minuend} and {each.addend}" for each in sums if each.minuend]
    click.echo(f"{output}: {rows} interpolations of {steps} steps and {len(sums)} sums of {model} on {home.name}")
    if named:
        click.echo(f"classes a and b, row by row: {', '.join(named)}")

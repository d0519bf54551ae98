"""The commands for files of samples: `genbench score` and `genbench stats`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genbench.evaluation import devices

if TYPE_CHECKING:
    from genbench.evaluation.extraction import Reading

F = Callable[..., Any]


def reading_options(function: F) -> F:
    """The options of every command that reads files of images."""
    for option in reversed(
        (
            click.option(
                "--features",
                default="inception",
                show_default=True,
                help="Extractor: inception[:TAP], torchvision:NAME[:LAYER], or one of genbench list features.",
            ),
            click.option(
                "-n", type=click.IntRange(min=1), help="At most so many images of each set, drawn by the seed."
            ),
            click.option("--seed", default=0, show_default=True, help="Same seed, same images."),
            click.option(
                "--device", default="cpu", show_default=True, help="Where the network runs: cpu, cuda, cuda:1."
            ),
            click.option(
                "--precision",
                type=click.Choice(["float32", "bfloat16", "float64"]),
                default="float32",
                show_default=True,
                help="Of the network; bfloat16 is faster on many machines and reports how far it deviates.",
            ),
            click.option(
                "--weights",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="Weights of the network, in place of those in the cache or downloaded.",
            ),
            click.option(
                "--workers",
                type=click.IntRange(min=0),
                help="Threads that decode images.  [default: one per processor]",
            ),
            click.option(
                "--on-bad-file",
                type=click.Choice(["stop", "skip"]),
                default="stop",
                show_default=True,
                help="Stop with a list of the files that cannot be read, or leave them out and say so.",
            ),
        )
    ):
        function = option(function)
    return function


def _reading(options: dict[str, Any]) -> Reading:
    from genbench.evaluation.extraction import Reading
    from genbench.plugins.extractors import Computing

    devices.check(options["device"])
    computing = Computing(options["device"], options["precision"], options["weights"])
    return Reading(computing, options["n"], options["seed"], options["workers"], options["on_bad_file"])


@click.command(epilog="Example: genbench score data/test/ samples.npz --features inception --weights inception.pth")
@click.argument("real", type=click.Path(path_type=Path))
@click.argument("fake", type=click.Path(path_type=Path))
@click.option("--metric", "metrics", multiple=True, help="Only these metrics; repeatable.  [default: all that apply]")
@click.option("--train", type=click.Path(path_type=Path), help="What the generator learnt from, to find copies of it.")
@click.option(
    "--save-samples", type=click.Path(dir_okay=False, path_type=Path), help="Keep FAKE as it was read, as an .npz."
)
@click.option("--worst", type=click.IntRange(min=1), help="List so many images of FAKE, those that cost the most FID.")
@click.option("--json", "as_json", is_flag=True, help="Print the result rows as JSON lines in place of the table.")
@reading_options
def score(
    real: Path,
    fake: Path,
    metrics: tuple[str, ...],
    train: Path | None,
    save_samples: Path | None,
    worst: int | None,
    as_json: bool,
    features: str,
    **options: Any,
) -> None:
    """Compare the images FAKE with the images REAL: FID, KID, precision, recall and more, with standard errors.

    Both are folders (searched with their subfolders), .npz files with arr_0, or .npy files, uint8 (n, H, W, C); or .npz
    statistics with mu and sigma, as genbench stats and pytorch-fid write them, which allow FID alone. Features are
    cached by content: the same images are never put through the same network twice.
    """
    from genbench.cli.console import reading_progress
    from genbench.evaluation import score

    reading = _reading(options)
    with reading_progress() as tell:
        reading = replace(reading, tell=tell)
        found = score.score(real, fake, features, metrics or None, train=train, reading=reading)
    for note in found.notes:
        click.echo(f"warning: {note}", err=True)
    if save_samples is not None:
        score.save_images(fake, save_samples, reading)
    if as_json:
        for row in found.results:
            click.echo(json.dumps(asdict(row)))
    else:
        click.echo(found)
        if worst is not None:
            click.echo(f"\n{found.costliest(worst).to_string(index=False)}")
    if found.failed:
        sys.exit(1)


@click.command(epilog="Example: genbench stats data/test/ -o test.npz, then: genbench score test.npz samples/")
@click.argument("images", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .npz to be written."
)
@reading_options
def stats(images: Path, out: Path, features: str, **options: Any) -> None:
    """Write mean and covariance of the features of IMAGES, for later scores against them by this tool or another.

    The .npz holds mu (D,), sigma (D, D), n, and the fingerprint of the features.
    """
    from genbench.cli.console import reading_progress
    from genbench.evaluation import score

    reading = _reading(options)
    with reading_progress() as tell:
        seen = score.stats(images, out, features, reading=replace(reading, tell=tell))
    for note in score.notes_on(seen):
        click.echo(f"warning: {note}", err=True)
    click.echo(f"{out}: {len(seen.kept)} images, {seen.features.embeddings.shape[1]} features of {seen.fingerprint}")

"""The commands for files of samples: `genbench score` and `genbench stats`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genbench.cli import options
from genbench.cli.shared_work import shared_work
from genbench.plugins.suites import SUITES

if TYPE_CHECKING:
    from genbench.evaluation.image_pass import Reading

reading_options = options.all_of(
    click.option(
        "--features",
        help="Extractor: inception[:TAP], torchvision:NAME[:LAYER], module:factory, or one of genbench list features.  "
        "[default: inception]",
    ),
    click.option("-n", type=click.IntRange(min=1), help="At most so many images of each set, drawn by the seed."),
    click.option("--seed", default=0, show_default=True, help="Same seed, same images."),
    options.device,
    options.precision,
    options.weights,
    options.resize,
    click.option(
        "--workers", type=click.IntRange(min=0), help="Threads that decode images.  [default: one per processor]"
    ),
    click.option(
        "--on-bad-file",
        type=click.Choice(["stop", "skip"]),
        default="stop",
        show_default=True,
        help="Stop with a list of the files that cannot be read, or leave them out and say so.",
    ),
)


def _reading(chosen: dict[str, Any]) -> Reading:
    from genbench.evaluation import devices
    from genbench.evaluation.image_pass import Reading
    from genbench.plugins.extractors import Computing

    devices.check(chosen["device"])
    computing = Computing(chosen["device"], chosen["precision"], chosen["weights"], chosen["resize"])
    return Reading(computing, chosen["n"], chosen["seed"], chosen["workers"], chosen["on_bad_file"])


@click.command(epilog="Example: genbench score data/test/ samples.npz --features inception --weights inception.pth")
@click.argument("real", type=click.Path(path_type=Path))
@click.argument("fake", type=click.Path(path_type=Path))
@options.metrics
@options.suite
@click.option("--train", type=click.Path(path_type=Path), help="What the generator learnt from, to find copies of it.")
@click.option(
    "--save-samples", type=click.Path(dir_okay=False, path_type=Path), help="Keep FAKE as it was read, as an .npz."
)
@click.option("--worst", type=click.IntRange(min=1), help="List so many images of FAKE, those that cost the most FID.")
@options.as_json
@reading_options
@shared_work
def score(
    real: Path,
    fake: Path,
    metrics: tuple[str, ...],
    suite: str | None,
    train: Path | None,
    save_samples: Path | None,
    worst: int | None,
    as_json: bool,
    features: str | None,
    **chosen: Any,
) -> None:
    """Compare the images FAKE with the images REAL: FID, KID, precision, recall and more, with standard errors.

    Both are folders (searched with their subfolders), .npz files with arr_0, or .npy files, uint8 (n, H, W, C); or .npz
    statistics with mu and sigma, as genbench stats and pytorch-fid write them, which allow FID alone. Features are
    cached by content: the same images are never put through the same network twice.
    """
    from genbench.cli.console import Shown
    from genbench.evaluation import processes
    from genbench.evaluation import score as scoring

    if suite is not None:
        metrics += SUITES[suite].metrics
        features = features or SUITES[suite].features
        chosen["resize"] = chosen["resize"] or SUITES[suite].resize
    features = features or scoring.DEFAULT_FEATURES
    reading = _reading(chosen)
    with Shown("sets") as progress:
        reading = replace(reading, tell=progress.sets)
        scores = scoring.score(real, fake, features, metrics or None, train=train, reading=reading)
    for note in scores.notes:
        click.echo(f"warning: {note}", err=True)
    if save_samples is not None:
        processes.from_first(lambda: scoring.save_images(fake, save_samples, reading))
    if as_json:
        for row in scores.results:
            click.echo(json.dumps(asdict(row)))
    else:
        click.echo(str(scores))
        if worst is not None:
            click.echo(f"\n{scores.costliest(worst).to_string(index=False)}")
    if scores.failed:
        sys.exit(1)


@click.command(epilog="Example: genbench stats data/test/ -o test.npz, then: genbench score test.npz samples/")
@click.argument("path", metavar="IMAGES", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .npz to be written."
)
@reading_options
@shared_work
def stats(path: Path, out: Path, features: str | None, **chosen: Any) -> None:
    """Write mean and covariance of the features of IMAGES, for later scores against them by this tool or another.

    The .npz holds mu (D,), sigma (D, D), n, and the fingerprint of the features.
    """
    from genbench.cli.console import Shown
    from genbench.evaluation import score as scoring
    from genbench.metrics.frechet import moments_of

    reading = _reading(chosen)
    with Shown("sets") as progress:
        images = scoring.stats(
            path, out, features or scoring.DEFAULT_FEATURES, reading=replace(reading, tell=progress.sets)
        )
    for note in scoring.notes_on(images):
        click.echo(f"warning: {note}", err=True)
    dimensions = len(moments_of(images.features).mean)
    click.echo(f"{out}: {len(images.readable)} images, {dimensions} features of {images.fingerprint}")

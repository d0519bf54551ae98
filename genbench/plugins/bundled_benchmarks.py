"""The benchmarks that come with genbench: what is compared, on which data, by which features and metrics."""

from __future__ import annotations

from genbench.contracts import Effort
from genbench.plugins.cards import Benchmark

# What every board of images shows beside its first metrics.
MORE_METRICS = ("fid-infinity", "kid", "mind", "density-coverage", "vendi", "memorization", "parzen")
IMAGE_METRICS = (
    *("fid", "is", "precision-recall", "classes", "likelihood", "accuracy", "outliers", "reconstruction"),
    *("per-class-fid", *MORE_METRICS),
)
SEQUENCE_METRICS = ("likelihood", "fid", "precision-recall", "outliers", "kid", "density-coverage", "memorization")
# Where the features know no classes.
PIXEL_METRICS = ("fid", "precision-recall", "likelihood", "outliers", "reconstruction", *MORE_METRICS)

# Where samples are translations of the held-out sources.
ALIKE_METRICS = ("cycle-error", "class-kept", "precision-recall", "classes", "kid", "density-coverage")
TRANSLATION_METRICS = ("fid", "paired-error", *ALIKE_METRICS)
# Where sources and targets look alike as sets, so that only the pairs tell a translation from a copy.
PAIRED_METRICS = ("paired-error", "cycle-error", "class-kept", "precision-recall", "classes", "density-coverage")

BENCHMARKS = (
    Benchmark(
        "digits",
        "digits",
        "digits-cnn",
        IMAGE_METRICS,
        10_000,
        "8x8 grey digits, bundled; the default",
        Effort(dequantization_samples=64),  # of densities; minutes for the flows
    ),
    Benchmark(
        "digits-binary",
        "digits-binary",
        "digits-cnn",
        IMAGE_METRICS,
        10_000,
        "8x8 binary digits, bundled",
        Effort(dequantization_samples=256),  # no flow stands here, and Gaussians are quick
    ),
    Benchmark(
        "weather",
        "weather",
        "transitions",
        ("likelihood", "gap", "fid", "precision-recall", "outliers"),
        10_000,
        "30 days of weather, bundled; the truth is known",
    ),
    Benchmark(
        "strokes",
        "strokes",
        "pen-path",
        SEQUENCE_METRICS,
        10_000,
        "pen directions of the digits, bundled",
        picture="pen",
    ),
    Benchmark(
        "strokes-positions",
        "strokes-positions",
        "pen-path",
        SEQUENCE_METRICS,
        10_000,
        "pen positions of the digits, bundled",
        picture="pen",
    ),
    Benchmark(
        "tones",
        "tones",
        "spectrum",
        SEQUENCE_METRICS,
        10_000,
        "harmonic tones as 8-bit audio, drawn here",
        picture="wave",
    ),
    Benchmark(
        "edges2digits",
        "edges2digits",
        "digits-cnn",
        TRANSLATION_METRICS,
        797,
        "outlines filled to digits, bundled; in pairs",
    ),
    Benchmark(
        "thin2bold",
        "thin2bold",
        "digits-cnn",
        TRANSLATION_METRICS,
        399,
        "thin digits made bold, bundled; without pairs",
    ),
    Benchmark(
        "pose",
        "pose",
        "digits-cnn",
        PAIRED_METRICS,
        797,
        "digits turned into a pose that is shown, bundled; in pairs",
    ),
    Benchmark(
        "slant",
        "slant",
        "digits-cnn",
        PAIRED_METRICS,
        797,
        "digits leant by a number, bundled; the truth is known",
    ),
    Benchmark(
        "pendigits",
        "pendigits",
        "pen-path",
        SEQUENCE_METRICS,
        10_000,
        "pen directions, --data-root",
        picture="pen",
        bundled=False,
    ),
    Benchmark(
        "pendigits-positions",
        "pendigits-positions",
        "pen-path",
        SEQUENCE_METRICS,
        10_000,
        "pen positions, --data-root",
        picture="pen",
        bundled=False,
    ),
    Benchmark("mnist", "mnist", "mnist-cnn", IMAGE_METRICS, 10_000, "28x28 grey digits, downloaded", bundled=False),
    Benchmark(
        "edges2mnist",
        "edges2mnist",
        "mnist-cnn",
        TRANSLATION_METRICS,
        10_000,
        "28x28 outlines filled to digits, downloaded; in pairs",
        bundled=False,
    ),
    Benchmark(
        "mnist-binary",
        "mnist-binary",
        "mnist-cnn",
        IMAGE_METRICS,
        10_000,
        "28x28 binary digits, downloaded",
        # As Salakhutdinov and Murray (2008) for machines of this size.
        Effort(ais_chains=100, ais_temperatures=14_500),
        bundled=False,
    ),
    Benchmark(
        "mnist-dynamic",
        "mnist-dynamic",
        "mnist-cnn",
        IMAGE_METRICS,
        10_000,
        "28x28 digits binarized anew at every step, downloaded",
        # Burda et al. (2016) draw 5,000, which makes their bounds a little tighter.
        Effort(importance_samples=1000, ais_chains=100, ais_temperatures=14_500),
        bundled=False,
    ),
    Benchmark(
        "fashion-mnist",
        "fashion-mnist",
        "identity",
        PIXEL_METRICS,
        10_000,
        "28x28 grey clothes, downloaded",
        bundled=False,
    ),
    Benchmark(
        "cifar10",
        "cifar10",
        "identity",
        PIXEL_METRICS,
        10_000,
        "3x32x32 colour photographs, downloaded",
        bundled=False,
    ),
)


def benchmarks() -> list[Benchmark]:
    """As the entry point `genbench.benchmarks` hands them in."""
    return list(BENCHMARKS)

"""Generators as third parties write them, sound and broken, for the 8x8 digits of 17 levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

import genbench
from genbench.contracts import Column, Features, Score

SPEC = genbench.SampleSpec((1, 8, 8), 17)


class Grey:
    """A sound generator: independent uniform pixels, with an exact likelihood."""

    spec = SPEC
    log_prob_kind = "exact"

    def sample(self, n):
        return torch.randint(17, (n, 1, 8, 8)).to(torch.uint8)

    def log_prob(self, x):
        return torch.full((len(x),), -64 * np.log(17), dtype=torch.float64)


class NumpyGrey:
    """The same through numpy, with no likelihood."""

    spec = SPEC

    def sample(self, n):
        return np.random.randint(0, 17, (n, 1, 8, 8)).astype(np.uint8)


class Raises(Grey):
    def sample(self, n):
        raise RuntimeError("the weights are gone\nand so is the rest")


class WrongShape(Grey):
    def sample(self, n):
        return torch.zeros(n, 8, 8, dtype=torch.uint8)


class TooFew(Grey):
    def sample(self, n):
        return torch.zeros(n - 1, 1, 8, 8, dtype=torch.uint8)


class WrongDtype(Grey):
    def sample(self, n):
        return torch.rand(n, 1, 8, 8)


class NotFinite(Grey):
    def sample(self, n):
        return torch.full((n, 1, 8, 8), torch.nan)


class OutOfRange(Grey):
    def sample(self, n):
        return torch.full((n, 1, 8, 8), 17, dtype=torch.uint8)


class WrongSpec(Grey):
    spec = genbench.SampleSpec((1, 28, 28), 256)


class NoSpec:
    def sample(self, n):
        return torch.zeros(n, 1, 8, 8, dtype=torch.uint8)


class NanLikelihood(Grey):
    def log_prob(self, x):
        return torch.full((len(x),), torch.nan, dtype=torch.float64)


class Clock(Grey):
    """Draws from a state of its own, which no seed reaches, and claims impossible likelihoods."""

    log_prob_kind = "precise"
    truncation = "threshold"

    def __init__(self):
        self.rng = torch.Generator()

    def sample(self, n):
        return torch.randint(17, (n, 1, 8, 8), generator=self.rng).to(torch.uint8)

    def log_prob(self, x):
        return torch.zeros(len(x), 1)

    def sample_truncated(self, n, *, psi):
        return torch.full((n, 1, 8, 8), 200, dtype=torch.uint8)


class Counting(Grey):
    """Counts in a class attribute how often it was asked to sample for an evaluation."""

    version = "1"
    calls = 0

    def sample(self, n):
        type(self).calls += 1
        return super().sample(n)


def with_setting(setting):
    """A factory that takes the setting."""
    assert setting.spec == SPEC
    return Grey()


def two_arguments(a, b):
    return Grey()


ready = Grey()
number = 3


def cards():
    """What a third party's entry point names."""
    return [
        genbench.ModelCard(
            "third-party", "plugins:Grey", "uniform, from elsewhere", family="test", benchmarks=("digits",)
        )
    ]


class ChannelMeans:
    """Features of images of any size: the mean and the deviation of each channel, grey counting as RGB."""

    name = fingerprint = "channel-means"
    any_size = True
    calls = 0

    def __call__(self, x):
        ChannelMeans.calls += len(x)
        pixels = x.double().expand(-1, 3, -1, -1).flatten(2)
        return Features(torch.cat([pixels.mean(2), pixels.std(2)], 1).float())


def channel_means(spec):
    return ChannelMeans()


@dataclass(frozen=True)
class Brightness:
    """A sound metric: the mean level of the samples."""

    scale: float = 1.0
    name = "brightness"
    columns = (Column("brightness", "brightness", "zero"),)
    reads = "samples"
    min_samples = 1

    def compute(self, evidence):
        return {"brightness": Score(self.scale * float(evidence.samples.float().mean()))}

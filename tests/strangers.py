"""Plug-ins that do harm, each in its own way, and some that do none."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass

import plugins
import torch

from genbench.contracts import Column, Score


class Slow(plugins.NumpyGrey):
    """Takes an hour for its samples by the clock that the test gives it."""

    version = "slow"

    def sample(self, n):
        time.monotonic.skip(3600)
        return super().sample(n)


class Clock:
    """The monotonic clock, which `skip` puts forward."""

    def __init__(self):
        self.real, self.ahead = time.monotonic, 0

    def __call__(self):
        return self.real() + self.ahead

    def skip(self, seconds):
        self.ahead += seconds


class Quick(plugins.NumpyGrey):
    version = "quick"


class WritesIntoItems(plugins.Grey):
    version = "writes"

    def log_prob(self, x):
        x.floor_divide_(2)
        return super().log_prob(x)


class AboveOne(plugins.Grey):
    version = "above"

    def log_prob(self, x):
        return torch.full((len(x),), 50.0, dtype=torch.float64)


class EndlessInterval(plugins.Grey):
    version = "endless"
    log_prob_interval = (float("nan"), float("inf"))


class Exits(plugins.Grey):
    version = "exits"

    def sample(self, n):
        sys.exit("that was it")


class ExitsAtOnce(plugins.Grey):
    version = "exits at once"

    def sample(self, n):
        os._exit(3)


class Hangs(plugins.Grey):
    version = "hangs"

    def sample(self, n):
        time.sleep(600)


class RaisingSpec:
    @property
    def spec(self):
        raise RuntimeError("no spec today")

    def sample(self, n):
        return None


def changes_everything():
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    return plugins.Grey()


@dataclass(frozen=True)
class Ink:
    """The mean level of the samples; writes into them afterwards."""

    name = "ink"
    columns = (Column("ink", "ink", "lower"),)
    reads = ("samples",)
    min_samples = 1

    def compute(self, evidence):
        samples = evidence.samples
        mean = float(samples.double().mean())
        samples.zero_()
        evidence.fake.embeddings.zero_()
        return {"ink": Score(mean)}


@dataclass(frozen=True)
class Divides:
    name = "divides"
    columns = (Column("divides", "divides", "lower"),)
    reads = ("samples",)
    min_samples = 1

    def compute(self, evidence):
        return {"divides": Score(1 / 0)}


def means(spec):
    """Features of rows and columns."""
    return lambda x: torch.cat([x.float().mean(2).flatten(1), x.float().mean(3).flatten(1)], 1)

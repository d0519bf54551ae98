"""Generators as third parties write them, sound and broken, for the 8x8 digits of 17 levels."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass

import numpy as np
import torch

import genbench
from genbench.contracts import Column, Features, Score
from genbench.plugins.datasets import dataset_named

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


class Halves(Grey):
    """Its log_prob writes into what it is given."""

    def log_prob(self, x):
        x.floor_divide_(2)
        return -x.double().flatten(1).sum(1)


class Sums(Grey):
    """Less likely the brighter, as only the items themselves can tell."""

    def log_prob(self, x):
        return -x.double().flatten(1).sum(1)


class Impossible(Grey):
    """Claims masses above 1."""

    def log_prob(self, x):
        return super().log_prob(x) + 300


class Endless(Grey):
    log_prob_interval = (float("nan"), float("inf"))


class BadError(Grey):
    log_prob_kind = "estimate"
    log_prob_error = float("nan")


class Exits(Grey):
    """Tries to end the program."""

    def sample(self, n):
        raise SystemExit(3)


class Touchy(Grey):
    """Cannot say what its likelihoods are."""

    @property
    def log_prob_kind(self):
        raise GeneratorExit("never")


class Stubborn:
    """Knows its spec, and has no attribute that it does not raise for."""

    spec = SPEC

    def sample(self, n):
        return Grey().sample(n)

    def __getattr__(self, name):
        raise KeyError(name)


class Mute(Grey):
    @property
    def spec(self):
        raise RuntimeError("no spec today")


class OneBuffer(Grey):
    """Returns the same tensor each time, with other values."""

    def __init__(self):
        self.buffer = torch.empty(1000, 1, 8, 8, dtype=torch.uint8)

    def sample(self, n):
        self.buffer.random_(17)
        return self.buffer[:n]


class Killed(Grey):
    """Ends its process, as a crash does."""

    def sample(self, n):
        os._exit(3)


class Crashes(Grey):
    def sample(self, n):
        os.kill(os.getpid(), signal.SIGSEGV)


class Hangs(Grey):
    def sample(self, n):
        time.sleep(1000)


class KilledBeforeItIsMade(Grey):
    def __init__(self):
        os._exit(4)


class Everything(Grey):
    """Every capability, with noise from each of the global sources, to be the same in every process."""

    log_prob_kind = "estimate"
    log_prob_interval = None
    truncation = "temperature"
    latent_shape = (3,)
    source_spec = genbench.SampleSpec((2,), None)
    version = "7 b"

    def sample(self, n):
        noise = torch.randint(6, (n, 1, 8, 8)).numpy() + np.random.randint(0, 6, (n, 1, 8, 8)) + random.randint(0, 6)
        return noise.astype(np.uint8)

    def sample_truncated(self, n, *, psi):
        return (psi * torch.randint(17, (n, 1, 8, 8))).to(torch.uint8)

    def log_prob(self, x):
        self.log_prob_error = 0.25  # known once it is computed
        return torch.rand(len(x), dtype=torch.float64) - x.double().flatten(1).sum(1)

    def class_log_joint(self, x):
        return torch.randn(len(x), 10).double()

    def reconstruct(self, x):
        return (x + torch.randint(2, x.shape)).clamp(0, 16).to(torch.uint8)

    def sample_latent(self, n):
        return torch.randn(n, 3)

    def decode(self, z):
        return torch.randint(17, (len(z), 1, 8, 8)).to(torch.uint8)

    def translate(self, x):
        return torch.randint(17, (len(x), 1, 8, 8)).to(torch.uint8)

    def cycle(self, x):
        return x + torch.randn_like(x)


def careless(setting):
    """A factory that writes into the data and changes how torch computes."""
    setting.dataset.heldout.zero_()
    torch.set_default_dtype(torch.float64)
    return Grey()


class Chooses(Grey):
    """Class-conditional: real training digits of the class that it is told."""

    classes = 10

    def __init__(self):
        data = dataset_named("digits")
        self.items = [data.train[data.train_labels == label] for label in range(10)]

    def sample(self, n, labels):
        places = torch.rand(n)
        return torch.stack(
            [self.items[y][int(u * len(self.items[y]))] for y, u in zip(labels.tolist(), places.tolist(), strict=True)]
        )


class Obeys(Chooses):
    """Likewise; remembers what it was asked for."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def sample(self, n, labels):
        self.asked.append((n, labels.clone()))
        return super().sample(n, labels)


class Swaps(Chooses):
    """Draws the class after the one that it is told."""

    def sample(self, n, labels):
        return super().sample(n, (labels + 1) % 10)


class Narrow(Grey):
    """Has memory for so many items at once."""

    room = 100

    def __init__(self):
        self.sizes = []

    def _remember(self, n):
        self.sizes.append(n)
        if n > self.room:
            raise torch.OutOfMemoryError(f"tried to allocate {n} items")

    def sample(self, n):
        self._remember(n)
        return super().sample(n)

    def log_prob(self, x):
        self._remember(len(x))
        return super().log_prob(x)


class Wide(Narrow):
    """The same with a batch size of its own."""

    batch_size = 62


class Careful(Everything):
    """Has random likelihood bounds, of few items at a time."""

    batch_size = 150
    log_prob_kind = "lower_bound"

    def log_prob(self, x):
        return Grey.log_prob(self, x) - torch.rand(len(x)).double()


class FailsElsewhere(Grey):
    """Fails in the second process of a run, and in no other."""

    def sample(self, n):
        if os.environ.get("RANK") == "1" and n > 16:
            raise RuntimeError("this machine has another driver")
        return super().sample(n)


class DiesElsewhere(Grey):
    """Ends the second process of a run."""

    def sample(self, n):
        if os.environ.get("RANK") == "1" and n > 16:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().sample(n)

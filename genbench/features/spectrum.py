"""Audio as the mean and spread of its power in frequency bands.

References: S. Davis and P. Mermelstein, "Comparison of Parametric Representations for Monosyllabic Word Recognition in
Continuously Spoken Sentences" (1980), for triangular bands on the mel scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genbench.contracts import Features, SampleSpec
from genbench.errors import InputError

MU = 255
WINDOW, HOP, BINS = 128, 32, 512  # samples of a frame and between frames; length of its zero-padded transform
BANDS = 32
BEND = 700 / 8000  # cycles per sample where the mel scale turns from linear to logarithmic, at the 8 kHz of telephones
# Mean power in a band, of a full scale of 1. Loud sounds carry that much noise from their 8-bit levels alone, so that
# nothing softer can be heard beside them.
FLOOR = 1e-5
ITEMS = 500  # at a time


def filters() -> Tensor:
    """Triangular bands over the bins 0..BINS/2 whose centres are evenly spaced in mel: (bins, BANDS), columns sum to 1.

    Each reaches from the centre below to the centre above.
    """
    edges = BEND * torch.expm1(torch.linspace(0, math.log1p(0.5 / BEND), BANDS + 2, dtype=torch.float64))
    frequency = torch.arange(BINS // 2 + 1, dtype=torch.float64)[:, None] / BINS
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    weight = torch.minimum((frequency - low) / (centre - low), (high - frequency) / (high - centre)).clamp(min=0)
    return (weight / weight.sum(0)).float()


@dataclass(frozen=True, slots=True)
class Spectrum:
    """64 features: for each of 32 bands the mean over all frames of its log power, then its standard deviation.

    Frames are 128 samples under a Hann window, a quarter of it apart; the power of a full-scale sine comes to 1.
    """

    spec: SampleSpec
    name: str = "spectrum"
    fingerprint: str = f"mel-log-power-1 window={WINDOW} hop={HOP} bins={BINS} bands={BANDS} floor={FLOOR:g}"

    def __call__(self, x: Tensor, /) -> Features:
        return Features(torch.cat([self._part(part) for part in x.split(ITEMS)]))

    def _part(self, x: Tensor) -> Tensor:
        companded = 2 * x.float() / MU - 1
        amplitude = companded.sign() * torch.expm1(companded.abs() * math.log1p(MU)) / MU
        window = torch.hann_window(WINDOW, device=x.device)
        frames = amplitude.unfold(1, WINDOW, HOP) * window
        power = (torch.fft.rfft(frames, BINS).abs() * 2 / window.sum()).square()
        log_power = (power @ filters().to(x.device) + FLOOR).log()
        return torch.cat([log_power.mean(1), log_power.std(1, correction=0)], 1)


def spectrum(spec: SampleSpec) -> Spectrum:
    """The extractor for mu-law audio. Raises InputError for anything but 256 levels of at least one frame."""
    if len(spec.shape) != 1 or spec.levels != MU + 1:
        raise InputError(f"spectrum reads mu-law audio (T,) of 256 levels, not {spec.shape} of {spec.levels}")
    if spec.size < WINDOW:
        raise InputError(f"spectrum reads clips of at least {WINDOW} samples, not of {spec.size}")
    return Spectrum(spec)

"""Short harmonic tones as 8-bit audio: a small world of sound that needs no download, drawn here.

A tone is a note of a scale with four harmonics of random strengths and phases, under an envelope that rises and decays,
with a little noise. All of it is arithmetic on uniform random numbers, so that the levels are the same everywhere.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from genbench.contracts import Dataset, SampleSpec
from genbench.data import audio

RATE = 8000  # samples per second
SAMPLES = 256  # of one tone: 32 ms
TRAIN_ITEMS, HELDOUT_ITEMS = 1000, 1000
# A pentatonic scale over two octaves, in semitones above A3: neighbours are at least an eighth apart in frequency.
NOTES = {"A3": 0, "C4": 3, "D4": 5, "E4": 7, "G4": 10, "A4": 12, "C5": 15, "D5": 17, "E5": 19, "G5": 22}
LOWEST = 220.0  # Hz, of A3
HARMONICS = 4
NOISE = 0.005  # standard deviation


def waves() -> tuple[np.ndarray, np.ndarray]:
    """All tones before quantisation, float64 (items, SAMPLES) within [-1, 1], and their notes, int64 (items,)."""
    random, items = np.random.default_rng(0), TRAIN_ITEMS + HELDOUT_ITEMS
    notes = np.floor(len(NOTES) * random.random(items)).astype(np.int64)
    cycles = LOWEST / RATE * 2 ** (np.array(list(NOTES.values()))[notes] / 12)
    order = np.arange(1, HARMONICS + 1)
    strength = random.random((items, HARMONICS)) / order
    strength[:, 0] = 1
    phase = random.random((items, HARMONICS))
    volume = 0.2 + 0.7 * random.random((items, 1))
    attack, decay = 5 + 35 * random.random((items, 1)), 150 + 450 * random.random((items, 1))
    time = np.arange(SAMPLES)
    angle = order[:, None] * cycles[:, None, None] * time + phase[:, :, None]
    tone = (strength[:, :, None] * np.sin(2 * np.pi * angle)).sum(1) / strength.sum(1, keepdims=True)
    envelope = (1 - np.exp(-(time + 1) / attack)) * np.exp(-time / decay)
    # The sum of twelve uniforms has unit variance and, unlike a library's normal numbers, no version.
    noise = random.random((items, SAMPLES, 12)).sum(2) - 6
    return volume * envelope * tone + NOISE * noise, notes


def tones(root: Path | None = None) -> Dataset:
    """1,000 train and 1,000 held-out tones (256,) of 256 mu-law levels, labelled by their notes; `root` is not read."""
    x, notes = waves()
    levels, labels = torch.from_numpy(audio.encode(x)), torch.from_numpy(notes)
    return Dataset(
        name="tones",
        spec=SampleSpec((SAMPLES,), audio.MU + 1),
        train=levels[:TRAIN_ITEMS],
        heldout=levels[TRAIN_ITEMS:],
        train_labels=labels[:TRAIN_ITEMS],
        heldout_labels=labels[TRAIN_ITEMS:],
        classes=tuple(NOTES),
    )

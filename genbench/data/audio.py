"""Audio: mu-law companding to 256 levels, and a folder of a user's own WAV files as a dataset of clips."""

from __future__ import annotations

import os
import struct
import wave
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genbench.contracts import Dataset, SampleSpec
from genbench.data.folders import classes_of, files_below, halves, splits_of
from genbench.errors import DataError
from genbench.storage.regular import open_regular, reason, shown

SUFFIXES = frozenset({".wav"})
MU = 255
CLIP = 1024  # samples of one item: 128 ms at 8 kHz


def compand(x: np.ndarray) -> np.ndarray:
    """Amplitudes in [-1, 1] on the logarithmic scale sign(x) ln(1 + mu |x|) / ln(1 + mu), again in [-1, 1].

    The scale is that of ITU-T G.711 without its piecewise approximation, as in A. van den Oord et al., "WaveNet: A
    Generative Model for Raw Audio" (2016).
    """
    return np.sign(x) * np.log1p(MU * np.abs(x)) / np.log1p(MU)


def encode(x: np.ndarray) -> np.ndarray:
    """Amplitudes, of which what exceeds [-1, 1] is clipped, as uint8 levels: -1 is 0, silence 128, 1 is 255."""
    return np.floor((compand(np.clip(x, -1, 1)) + 1) / 2 * MU + 0.5).astype(np.uint8)


def decode(levels: np.ndarray) -> np.ndarray:
    """The float64 amplitudes in [-1, 1] that uint8 levels stand for; encoding them gives the same levels."""
    companded = 2 * levels.astype(np.float64) / MU - 1
    return np.sign(companded) * np.expm1(np.abs(companded) * np.log1p(MU)) / MU


def recordings(path: Path) -> list[Path]:
    """The WAV files in a folder and its subfolders, sorted folder by folder."""
    return sorted(files_below(path, SUFFIXES))


def load(path: Path, clip: int = CLIP) -> Dataset:
    """The WAV files at `path`, mono PCM of 8 or 16 bits and of one rate, as clips (clip,) of 256 mu-law levels.

    Each file is cut into as many whole clips as it holds; the rest at its end is left out. A folder with the subfolders
    ``train`` and ``test`` is split by them; the files of any other are halved by a fixed random permutation, so that no
    file has clips in both splits. Subfolders of a split are its classes when every file lies in one. Raises DataError
    that names the file for what is not such audio, for silence, and for files shorter than a clip.
    """
    splits = splits_of(path)
    if splits is not None:
        train, heldout = map(recordings, splits)
        for folder, paths in zip(splits, (train, heldout), strict=True):
            if not paths:
                raise DataError(f"{shown(folder)} holds no WAV files")
        train_classes, classes = classes_of(train, splits[0])
        heldout_classes, others = classes_of(heldout, splits[1])
        if classes != others:
            raise DataError(
                f"{shown(path)}/train and {shown(path)}/test hold different class folders; make them the same"
            )
    else:
        paths = recordings(path)
        if len(paths) < 2:
            raise DataError(f"{shown(path)} holds {len(paths)} WAV file; a benchmark needs at least two")
        labels, classes = classes_of(paths, path)
        first, second = halves(len(paths))
        train, heldout = [paths[i] for i in first], [paths[i] for i in second]
        train_classes, heldout_classes = (None, None) if labels is None else (labels[first], labels[second])
    signals, counts = _read([*train, *heldout], clip)
    whole = torch.from_numpy(encode(signals))
    boundary = sum(counts[: len(train)])

    def per_clip(labels: Tensor | None, counts: list[int]) -> Tensor | None:
        return None if labels is None else labels.repeat_interleave(torch.tensor(counts))

    return Dataset(
        name=path.resolve().name,
        spec=SampleSpec((clip,), MU + 1),
        train=whole[:boundary],
        heldout=whole[boundary:],
        train_labels=per_clip(train_classes, counts[: len(train)]),
        heldout_labels=per_clip(heldout_classes, counts[len(train) :]),
        classes=classes,
    )


def _read(paths: list[Path], clip: int) -> tuple[np.ndarray, list[int]]:
    """The clips of all files, float64 (clips, clip) in [-1, 1], and how many are of each file."""
    clips, first_rate = [], 0
    short: list[tuple[Path, int]] = []
    for path in paths:
        rate, signal = read_wav(path)
        first_rate = first_rate or rate
        if rate != first_rate:
            raise DataError(
                f"{shown(path)} has {rate} samples a second while {shown(paths[0])} has {first_rate}; resample one"
            )
        if len(signal) < clip:
            short.append((path, len(signal)))
            continue
        if signal.min() == signal.max():
            raise DataError(f"{shown(path)} is silent; remove it")
        clips.append(signal[: len(signal) // clip * clip].reshape(-1, clip))
    if short:
        path, length = short[0]
        rest = len(short) - 1
        others = f", and so {'is 1 other file' if rest == 1 else f'are {rest} other files'}" if rest else ""
        raise DataError(
            f"{shown(path)} is too short: {length} samples, a clip has {clip}{others}; remove or lengthen them"
        )
    return np.concatenate(clips), [len(part) for part in clips]


def read_wav(path: Path) -> tuple[int, np.ndarray]:
    """The rate in samples per second and the amplitudes, float64 (samples,) in [-1, 1), of a mono WAV file.

    Raises DataError for files that are not PCM of 8 or 16 bits, not mono, truncated, or not WAV at all.
    """
    name = shown(path)
    with open_regular(path) as content:
        try:
            with wave.open(content, "rb") as file:
                channels, bits, samples = file.getnchannels(), 8 * file.getsampwidth(), file.getnframes()
                rate = file.getframerate()
                if channels != 1:
                    raise DataError(f"{name} has {channels} channels; mix it down to mono")
                if bits not in (8, 16):
                    raise DataError(f"{name} has {bits}-bit samples; convert it to 16-bit PCM")
                if rate < 1:
                    raise DataError(f"{name} is damaged: it claims {rate} samples a second; repair or remove it")
                # A header may promise gigabytes that are not there.
                data = file.readframes(min(samples, os.fstat(content.fileno()).st_size))
        except wave.Error as error:
            if str(error).startswith("unknown format"):
                raise DataError(
                    f"{name} is not PCM ({reason(error)}), perhaps float; convert it to 16-bit PCM"
                ) from error
            raise DataError(f"{name} is not a WAV file ({reason(error)})") from error
        except (EOFError, struct.error) as error:
            raise DataError(f"{name} is not a WAV file, or its header is truncated") from error
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(f"cannot read {name}: {reason(error)}; repair or remove it") from error
    held = len(data) * 8 // bits
    if held < samples:
        raise DataError(f"{name} is truncated: it holds {held} of the {samples} samples that its header says")
    if bits == 8:  # unsigned, unlike every other width
        return rate, (np.frombuffer(data, np.uint8).astype(np.float64) - 128) / 128
    return rate, np.frombuffer(data, "<i2").astype(np.float64) / 32768

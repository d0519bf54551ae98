"""Audio: mu-law levels, the tones, folders of WAV files, and the spectrum as features."""

from __future__ import annotations

import math
import shutil
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from scipy.io import wavfile

from genbench.cli.main import main
from genbench.contracts import SampleSpec
from genbench.data import audio, files, tones
from genbench.errors import DataError, InputError
from genbench.evaluation import benchmarks
from genbench.features.spectrum import filters, spectrum


def write(path: Path, samples: np.ndarray, rate: int = 8000, bits: int = 16, channels: int = 1) -> Path:
    """A PCM file of integer samples as they are stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, bits // 8, rate, 0, "NONE", ""))
        kind = {8: "u1", 16: "<i2", 24: "<i4"}[bits]
        file.writeframes(samples.astype(kind).tobytes())
    return path


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-20000, 20000, n)


def test_mu_law_levels_are_those_of_the_formula():
    amplitudes = np.array([-1, -0.5, -0.1, 0, 1e-4, 0.01, 0.1, 0.5, 1])
    expected = [
        math.floor((math.copysign(math.log(1 + 255 * abs(x)) / math.log(256), x) + 1) / 2 * 255 + 0.5)
        for x in amplitudes
    ]
    assert audio.encode(amplitudes).tolist() == expected
    assert expected[0] == 0
    assert expected[3] == 128, "silence rounds up from 127.5"
    assert expected[-1] == 255
    assert audio.encode(np.array([-7.0, 7.0])).tolist() == [0, 255]


def test_decoding_is_undone_by_encoding_and_errs_by_half_a_level():
    levels = np.arange(256, dtype=np.uint8)
    assert (audio.encode(audio.decode(levels)) == levels).all()
    assert audio.decode(levels)[[0, -1]].tolist() == pytest.approx([-1, 1], abs=1e-12)
    x = np.linspace(-1, 1, 10001)
    off = audio.compand(audio.decode(audio.encode(x))) - audio.compand(x)
    assert abs(off).max() <= 1 / 255 + 1e-12
    # A level is worth the more the louder it is: that is what the logarithm is for.
    assert audio.decode(levels)[255] - audio.decode(levels)[254] > 100 * audio.decode(levels)[129]


def test_tones_are_the_same_everywhere():
    d = tones.tones()
    assert (d.train.shape, d.heldout.shape, d.spec) == ((1000, 256), (1000, 256), SampleSpec((256,), 256))
    assert d.sha256 == "d0995df9cc85767e315b1435ba2bb9e069c1fb8a6dde997a6b9dd3f42cd91b99"
    x, _ = tones.waves()
    assert abs(x).max() < 1
    # The sine of another library is off by 1e-16 or so: no level is so near to its neighbour that this would tip it.
    position = (audio.compand(x) + 1) / 2 * 255 + 0.5
    assert abs(position - position.round()).min() > 1e-9
    assert len(torch.cat([d.train, d.heldout]).unique(dim=0)) == 2000


def test_the_note_of_a_tone_is_its_label():
    d = tones.tones()
    x = torch.from_numpy(audio.decode(d.train.numpy()))
    # The fundamental is the strongest harmonic: correlate with every note of the scale.
    semitones = torch.tensor(list(tones.NOTES.values()))
    cycles = 220 / 8000 * 2 ** (semitones / 12)
    waves = torch.exp(2j * math.pi * cycles[:, None] * torch.arange(256))
    heard = (x.to(waves.dtype) @ waves.T).abs().argmax(1)
    assert (heard == d.train_labels).double().mean() > 0.99
    assert torch.bincount(d.train_labels, minlength=10).min() > 70
    assert d.classes == tuple(tones.NOTES)


def test_a_folder_is_cut_into_clips_and_halved_by_file(tmp_path):
    for number in range(6):
        # Every file has amplitudes of its own, so that a clip tells its file.
        signal = np.where(noise(100 + 10 * number, number) > 0, 1, -1) * (2000 + 3000 * number)
        write(tmp_path / f"{number}.{'WAV' if number else 'wav'}", signal)
    d, again = audio.load(tmp_path, clip=30), audio.load(tmp_path, clip=30)
    assert d.sha256 == again.sha256
    assert d.spec == SampleSpec((30,), 256)
    assert len(d.train) + len(d.heldout) == 3 + 3 + 4 + 4 + 4 + 5, "the rest of a file is left out"
    loudest = [set(split.int().amax(1).tolist()) for split in (d.train, d.heldout)]
    assert [len(volumes) for volumes in loudest] == [3, 3]
    assert not loudest[0] & loudest[1], "no file has clips in both splits"
    assert (d.train_labels, d.classes) == (None, ())


def test_clips_are_those_of_the_file_in_order(tmp_path):
    signal = noise(70)
    write(tmp_path / "train" / "a.wav", signal)
    write(tmp_path / "test" / "b.wav", signal[::-1] // 256 + 128, bits=8)
    d = audio.load(tmp_path, clip=32)
    assert torch.equal(d.train.flatten(), torch.from_numpy(audio.encode(signal[:64] / 32768)))
    assert torch.equal(d.heldout.flatten(), torch.from_numpy(audio.encode(signal[::-1][:64] // 256 / 128)))


def test_reading_agrees_with_scipy(tmp_path):
    path = tmp_path / "a.wav"
    wavfile.write(path, 11025, noise(50).astype(np.int16))
    rate, signal = audio.read_wav(path)
    assert (rate, signal.dtype) == (11025, np.float64)
    np.testing.assert_array_equal(signal * 32768, wavfile.read(path)[1])


def test_subfolders_are_classes_and_every_clip_has_its_files_label(tmp_path):
    for split in ("train", "test"):
        write(tmp_path / split / "low" / "1.wav", noise(70))
        write(tmp_path / split / "high" / "1.wav", noise(40))
    d = audio.load(tmp_path, clip=32)
    assert (d.classes, d.train_labels.tolist()) == (("high", "low"), [0, 1, 1])
    write(tmp_path / "test" / "other" / "1.wav", noise(40))
    with pytest.raises(DataError, match="different class folders"):
        audio.load(tmp_path, clip=32)


def float_file(path: Path) -> None:
    wavfile.write(path, 8000, np.linspace(-1, 1, 2000, dtype=np.float32))


def cut_file(path: Path) -> None:
    write(path, noise(2000))
    path.write_bytes(path.read_bytes()[:3001])


def lying_file(path: Path) -> None:
    """A stream whose writer never came back to say how long it is."""
    write(path, noise(2000))
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)


BROKEN = {
    "stereo": (lambda path: write(path, noise(4000), channels=2), "has 2 channels; mix it down to mono"),
    "24 bits": (lambda path: write(path, noise(2000), bits=24), "has 24-bit samples; convert it to 16-bit PCM"),
    "float": (float_file, "is not PCM .*perhaps float; convert it"),
    "cut": (cut_file, "is truncated: it holds 1478 of the 2000 samples"),
    "lying": (lying_file, "is truncated: it holds 2000 of the"),
    "header": (lambda path: path.write_bytes(b"RIFF\x24\0\0\0WA"), "is not a WAV file"),
    "no wav": (lambda path: path.write_bytes(b"ID3 this is an MP3"), "is not a WAV file"),
    "empty": (lambda path: path.write_bytes(b""), "is not a WAV file"),
    "rate": (lambda path: write(path, noise(2000), rate=16000), "samples a second while"),
    "short": (lambda path: write(path, noise(1000)), r"is too short: 1000 samples, a clip has 1024; remove"),
    "no samples": (lambda path: write(path, noise(0)), "is too short: 0 samples"),
    "silent": (lambda path: write(path, np.zeros(2000)), "is silent"),
    "silent 8": (lambda path: write(path, np.full(2000, 128), bits=8), "is silent"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_not_mono_pcm_is_named(tmp_path, kind):
    make, message = BROKEN[kind]
    write(tmp_path / "a.wav", noise(3000))
    make(tmp_path / "b.wav")
    with pytest.raises(DataError, match=message) as caught:
        files.load(tmp_path)
    assert str(tmp_path / "b.wav") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_without_enough_audio_are_named(tmp_path):
    write(tmp_path / "a.wav", noise(3000))
    with pytest.raises(DataError, match="holds 1 WAV file; a benchmark needs at least two"):
        files.load(tmp_path)
    for name in "bc":
        write(tmp_path / f"{name}.wav", noise(10))
    with pytest.raises(DataError, match=r"is too short: 10 samples.*, and so is 1 other file"):
        files.load(tmp_path)
    (tmp_path / "cover.png").write_bytes(b"")
    with pytest.raises(DataError, match="both WAV files and images"):
        files.load(tmp_path)
    (tmp_path / "split" / "train").mkdir(parents=True)
    (tmp_path / "split" / "test").mkdir()
    write(tmp_path / "split" / "train" / "a.wav", noise(3000))
    with pytest.raises(DataError, match=r"split/test holds no WAV files"):
        files.load(tmp_path / "split")
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match=r"bare holds no images"):
        files.load(tmp_path / "bare")


def test_spoken_digits_are_a_benchmark_of_their_own(shared_data):
    task = benchmarks.load(str(shared_data("fsdd-sample")))
    assert (task.dataset.spec, task.extractor.name) == (SampleSpec((1024,), 256), "spectrum")
    assert [metric.name for metric in task.metrics][:1] == ["likelihood"]
    assert task.benchmark.picture == "wave"
    assert len(task.dataset.train) + len(task.dataset.heldout) == 1764
    assert abs(len(task.dataset.train) - 882) < 30
    features = task.reference.features.embeddings
    assert features.shape == (len(task.dataset.heldout), 64)
    assert torch.isfinite(features).all()


def test_a_model_is_trained_and_measured_on_a_folder_of_recordings(shared_data, tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path / "checkpoints"))
    spoken = tmp_path / "spoken"
    spoken.mkdir()
    for path in sorted(shared_data("fsdd-sample").glob("*.wav"))[::125]:
        shutil.copy(path, spoken)
    trained = CliRunner().invoke(main, ["train", "wavenet", "--benchmark", str(spoken), "--budget", "2"])
    assert trained.exit_code == 0, trained.output
    run = ["run", str(spoken), "--model", "wavenet", "--model", "real", "-n", "6", "--out", str(tmp_path / "out")]
    measured = CliRunner().invoke(main, run)
    assert measured.exit_code == 0, measured.output
    for model in ("wavenet", "real"):
        with Image.open(tmp_path / "out" / "samples" / f"{model}.png") as image:
            assert min(image.size) > 40
            assert len(image.getcolors(2**20)) > 2, "curves, not empty paper"


def sine(cycles: float, amplitude: float = 1.0, n: int = 1024) -> torch.Tensor:
    return torch.from_numpy(audio.encode(amplitude * np.sin(2 * np.pi * cycles * np.arange(n))))[None]


def test_bands_cover_every_frequency_and_none_twice_as_much():
    weight = filters()
    assert weight.shape == (257, 32)
    torch.testing.assert_close(weight.sum(0), torch.ones(32))
    assert (weight > 0).sum(0).min() >= 3
    assert ((weight > 0).sum(1)[1:-1] >= 1).all()
    assert ((weight > 0).sum(1) <= 2).all()


def test_a_sine_stands_out_in_its_band():
    extract = spectrum(SampleSpec((1024,), 256))
    centre = (filters() * torch.arange(257)[:, None]).sum(0) / 512
    for band in (4, 12, 25):
        features = extract(sine(centre[band].item(), 0.5)).embeddings[0]
        assert features.dtype == torch.float32
        assert int(features[:32].argmax()) == band
        assert features[32 + band] < 0.05, "a steady sound does not vary from frame to frame"


def test_loudness_moves_the_mean_and_an_onset_the_deviation():
    extract = spectrum(SampleSpec((1024,), 256))
    loud, soft = (extract(sine(0.1, a)).embeddings[0] for a in (0.8, 0.2))
    band = int(loud[:32].argmax())
    assert (loud - soft)[band].item() == pytest.approx(2 * math.log(4), abs=0.05), "log of the power, base e"
    late = sine(0.1, 0.8)
    late[:, :512] = 128
    assert extract(late).embeddings[0, 32 + band] > 3
    silence = extract(torch.full((2, 1024), 128, dtype=torch.uint8)).embeddings
    assert torch.isfinite(silence).all()
    assert silence[:, :32].max() == pytest.approx(math.log(1e-5), abs=0.1), "the floor"


def test_features_of_an_item_do_not_depend_on_the_others():
    x = tones.tones().train[:600]
    extract = spectrum(SampleSpec((256,), 256))
    torch.testing.assert_close(extract(x).embeddings[595:], extract(x[595:]).embeddings)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (SampleSpec((256,), 16), "256 levels"),
        (SampleSpec((256,), None), "mu-law"),
        (SampleSpec((1, 16, 16), 256), r"\(1, 16, 16\)"),
        (SampleSpec((127,), 256), "at least 128"),
    ],
)
def test_the_spectrum_refuses_what_is_not_audio(spec, message):
    with pytest.raises(InputError, match=message):
        spectrum(spec)

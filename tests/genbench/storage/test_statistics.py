"""Files of statistics: every bit and the features' fingerprint come back, and what is no covariance is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genbench.errors import DataError
from genbench.metrics import Moments, frechet_distance
from genbench.storage import statistics

MU, SIGMA = np.zeros(3), np.eye(3)


def features(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 4)).astype(np.float32)


def test_files_keep_every_bit_and_the_fingerprint(tmp_path):
    moments = Moments.of(features(20, 0))
    statistics.save(tmp_path / "own.npz", moments, "inception weights=0123 größe")
    again = statistics.load(str(tmp_path / "own.npz"))
    assert (again.n, again.moments.n, again.features) == (20, 20, "inception weights=0123 größe")
    assert torch.equal(again.moments.mean, moments.mean)
    assert torch.equal(again.moments.covariance, moments.covariance)
    with np.load(tmp_path / "own.npz", allow_pickle=False) as peers:
        assert set(peers) == {"mu", "sigma", "n", "features"}


def test_files_of_pytorch_fid_are_read(tmp_path):
    x = features(30, 1)
    np.savez_compressed(tmp_path / "theirs.npz", mu=np.mean(x, axis=0), sigma=np.cov(x, rowvar=False))
    theirs = statistics.load(tmp_path / "theirs.npz")
    assert (theirs.n, theirs.features) == (None, None)
    assert frechet_distance(theirs.moments, x) == pytest.approx(0, abs=1e-6)
    statistics.save(tmp_path / "unknown.npz", theirs.moments)
    assert statistics.load(tmp_path / "unknown.npz").n is None


@pytest.mark.parametrize("n", [2, np.int64(50000), np.uint8(7), 50000.0, np.array([10])])
def test_numbers_of_images_are_whole(tmp_path, n):
    np.savez(tmp_path / "s.npz", mu=MU, sigma=SIGMA, n=n)
    count = statistics.load(tmp_path / "s.npz").n
    assert (count, type(count)) == (int(np.squeeze(n)), int)


BAD = {
    "one": ({"n": 1}, "n is 1"),
    "none": ({"n": -5}, "n is -5"),
    "huge": ({"n": 1e300}, r"n is 1e\+300"),
    "past every camera": ({"n": 2**62}, r"n is 4\.61"),
    "half": ({"n": 2.5}, r"n is 2\.5"),
    "nan": ({"n": np.nan}, "n is nan"),
    "infinite": ({"n": np.inf}, "n is inf"),
    "several": ({"n": [20, 30]}, "one whole number"),
    "in words": ({"n": "twenty"}, "one whole number"),
    "yes": ({"n": True}, "one whole number"),
    "nan in mu": ({"mu": MU * np.nan}, "not finite"),
    "infinite sigma": ({"sigma": np.full((3, 3), np.inf)}, "not finite"),
    "overflowing": ({"sigma": np.array([[1, 1e308, 0], [-1e308, 1, 0], [0, 0, 1]])}, "not symmetric"),
    "skew": ({"sigma": SIGMA + np.triu(np.ones((3, 3)), 1)}, "not symmetric"),
    "negative": ({"sigma": -SIGMA}, "negative variances"),
    "larger": ({"sigma": np.eye(4)}, r"expected \(D,\) and \(D, D\)"),
    "wide": ({"mu": MU[None]}, r"expected \(D,\) and \(D, D\)"),
    "of nothing": ({"mu": MU[:0], "sigma": SIGMA[:0, :0]}, r"expected \(D,\) and \(D, D\)"),
    "complex": ({"mu": MU.astype(complex)}, "real numbers"),
    "objects": ({"mu": np.array([{}], dtype=object)}, "pickled"),
    "colours": ({"features": np.array("\x1b[31minception")}, "no text"),
    "a book": ({"features": np.array("x" * 10000)}, "no text"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_statistics_is_refused_in_one_line(tmp_path, kind):
    changed, sentence = BAD[kind]
    path = tmp_path / "s.npz"
    np.savez(path, **({"mu": MU, "sigma": SIGMA} | changed))
    with pytest.raises(DataError, match=sentence) as caught:
        statistics.load(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "images.npz", arr_0=MU)
    np.savez(tmp_path / "half.npz", mu=MU)
    np.save(tmp_path / "one.npy", MU)
    for name, sentence in (
        ("images.npz", "no array named mu and none named sigma"),
        ("half.npz", r"no array named sigma \(it has mu\)"),
        ("one.npy", "no array named mu"),
        ("absent.npz", "does not exist"),
    ):
        with pytest.raises(DataError, match=sentence):
            statistics.load(tmp_path / name)


def test_what_other_tools_call_features_is_not_taken_for_a_fingerprint(tmp_path):
    np.savez(tmp_path / "s.npz", mu=MU, sigma=SIGMA, features=features(5, 0))
    assert statistics.load(tmp_path / "s.npz").features is None


def test_a_flipped_bit_of_the_covariance_is_seen(tmp_path):
    statistics.save(tmp_path / "s.npz", Moments.of(features(20, 0)), "identity-1")
    content = bytearray((tmp_path / "s.npz").read_bytes())
    content[content.index(b"sigma.npy") + 200] ^= 1
    (tmp_path / "s.npz").write_bytes(content)
    with pytest.raises(DataError, match="CRC"):
        statistics.load(tmp_path / "s.npz")

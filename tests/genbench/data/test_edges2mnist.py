"""The outlines of MNIST: which pixels they hold, and that they stay with their digits."""

from __future__ import annotations

import numpy as np
import torch

from genbench.data.edges2mnist import edges2mnist


def write(folder, prefix, images, labels):
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        sizes = b"".join(side.to_bytes(4, "big") for side in array.shape)
        (folder / f"{prefix}-{kind}-ubyte").write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


def test_outlines_are_the_inner_edges_of_their_own_digits(tmp_path):
    images = np.zeros((3, 28, 28), np.uint8)
    images[0, 4:9, 10:16] = 200  # a block of five by six, with a hollow of three by four inside its edge
    images[1, 20, 5:9] = 128  # a line, all of it edge
    images[1, 21, 5:9] = 127  # too faint to be ink
    write(tmp_path, "train", images, np.array([3, 1, 7], np.uint8))
    write(tmp_path, "t10k", images[:2], np.array([3, 1], np.uint8))
    data = edges2mnist(tmp_path)
    assert data.source.paired
    assert (data.source.spec.levels, data.spec.levels) == (2, 256)
    expected = np.zeros((3, 28, 28), np.uint8)
    expected[0, 4:9, 10:16] = 1
    expected[0, 5:8, 11:15] = 0
    expected[1, 20, 5:9] = 1
    assert np.array_equal(data.source.train[:, 0].numpy(), expected)
    assert torch.equal(data.source.heldout, data.source.train[:2])
    assert np.array_equal(data.train[:, 0].numpy(), images)
    assert data.source.train_labels.tolist() == data.train_labels.tolist() == [3, 1, 7]

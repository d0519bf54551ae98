"""Digests of items: of what the pictures are, not of how they were kept."""

from __future__ import annotations

import hashlib
import time

import numpy as np
import pytest
import torch
from PIL import Image

from genbench.contracts import SampleSpec
from genbench.data import sources
from genbench.data.digests import BLOCK, PixelDigest, digest_of_items, pixel_digest


def pictures(channels: int, n: int = 5) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 256, (n, 6, 4, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_pictures_have_one_digest_however_they_come(tmp_path, channels):
    x = pictures(channels)
    for number, picture in enumerate(x):
        Image.fromarray(picture.squeeze()).save(tmp_path / f"{number}.png")
    np.savez_compressed(tmp_path / "x.npz", arr_0=x)
    np.save(tmp_path / "x.npy", x.transpose(0, 3, 1, 2))
    tensor = torch.from_numpy(x).permute(0, 3, 1, 2)
    expected = pixel_digest(x)
    forms = [tmp_path, tmp_path / "x.npz", tmp_path / "x.npy", x, x.transpose(0, 3, 1, 2), tensor]
    for source in [*forms, x[..., 0]] if channels == 1 else forms:
        assert sources.open_images(source).pixel_digest(range(5), 2) == expected
    spec = SampleSpec((channels, 6, 4), 256)
    assert digest_of_items(tensor, spec) == digest_of_items(tensor.contiguous(), spec) == expected


def test_a_digest_is_that_of_its_definition():
    hashed = hashlib.sha256()
    for picture in pictures(3):
        hashed.update((6).to_bytes(8, "little") + (4).to_bytes(8, "little") + (3).to_bytes(8, "little"))
        hashed.update(picture.tobytes())
    one_by_one = PixelDigest()
    for picture in pictures(3):
        one_by_one.add(picture)
    assert one_by_one.hexdigest() == pixel_digest(pictures(3)) == hashed.hexdigest()


def test_digests_tell_shape_order_choice_and_every_pixel_apart():
    x = pictures(3)
    changed = x.copy()
    changed[4, 5, 3, 2] ^= 1
    variants = [x, x[::-1], x[:4], changed, x.reshape(5, 4, 6, 3), x.reshape(5, 6, 12, 1), x.reshape(10, 3, 4, 3)]
    assert len({pixel_digest(variant) for variant in variants}) == len(variants)
    source = sources.open_images(x)
    assert source.pixel_digest([2, 0], 1) == pixel_digest(x[[2, 0]])
    assert source.pixel_digest([0, 2], 1) != source.pixel_digest([2, 0], 1)


def test_pictures_of_several_sizes_count_one_by_one(tmp_path):
    sizes = [(6, 4), (5, 7)]
    drawn = [np.full((*size, 3), number, np.uint8) for number, size in enumerate(sizes)]
    for number, picture in enumerate(drawn):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    (tmp_path / "9.png").write_bytes(b"damaged")
    assert sources.open_images(tmp_path).pixel_digest(range(3), 1) == pixel_digest(drawn)


def test_many_blocks_are_one_digest():
    size = BLOCK // 3
    x = np.random.default_rng(0).integers(0, 256, (7, size, 1, 1), dtype=np.uint8)
    assert sources.open_images(x).pixel_digest(range(7), 1) == pixel_digest(x)


def test_other_items_are_told_apart_by_levels_shape_and_values():
    x = torch.randint(2, (8, 1, 6, 4), dtype=torch.uint8)
    digests = {
        digest_of_items(x, SampleSpec((1, 6, 4), 2)),
        digest_of_items(x, SampleSpec((1, 6, 4), 17)),
        digest_of_items(x, SampleSpec((1, 6, 4), 256)),
        digest_of_items(x.reshape(8, 24), SampleSpec((24,), 2)),
        digest_of_items(x.reshape(8, 24), SampleSpec((24,), 256)),
        digest_of_items(x.reshape(4, 48), SampleSpec((48,), 2)),
        digest_of_items(x.reshape(8, 24).float(), SampleSpec((24,), None)),
        digest_of_items(1 - x, SampleSpec((1, 6, 4), 2)),
    }
    assert len(digests) == 8
    assert digest_of_items(x.mT.contiguous().mT, SampleSpec((1, 6, 4), 2)) in digests, "strides are no content"


def test_wrong_pictures_are_refused():
    for wrong in (np.zeros((6, 4, 3)), np.zeros((6, 4), np.uint8)):
        with pytest.raises(ValueError, match=r"uint8 \(H, W, C\)"):
            PixelDigest().add(wrong)


def test_sixty_thousand_items_are_hashed_in_less_than_a_second():
    x = torch.zeros(60000, 1, 28, 28, dtype=torch.uint8)
    start = time.process_time()
    digest_of_items(x, SampleSpec((1, 28, 28), 256))
    assert time.process_time() - start < 1

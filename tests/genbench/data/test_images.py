"""Image files as people have them: modes, damage, links, names; and sets of images in folders and arrays."""

from __future__ import annotations

import io
import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from genbench.data import images, sources
from genbench.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)


def save(path: Path, array: np.ndarray = RGB, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def test_rgb_and_grey_come_back_as_they_were(tmp_path):
    pixels, remark = images.decode(save(tmp_path / "a.png"))
    assert remark == 0
    np.testing.assert_array_equal(pixels, RGB)
    pixels, remark = images.decode(save(tmp_path / "b.bmp", RGB[..., 0]))
    assert remark == 0
    np.testing.assert_array_equal(pixels, RGB[..., :1])


def test_alpha_is_dropped_and_said_so(tmp_path):
    alpha = np.full((6, 5, 1), 7, np.uint8)
    pixels, remark = images.decode(save(tmp_path / "a.png", np.concatenate([RGB, alpha], 2)))
    np.testing.assert_array_equal(pixels, RGB)
    assert images.REMARKS[remark] == "lost an alpha channel"
    pixels, remark = images.decode(save(tmp_path / "b.png", np.concatenate([RGB[..., :1], alpha], 2)))
    np.testing.assert_array_equal(pixels, RGB[..., :1])
    assert remark == 1


def test_sixteen_bits_are_scaled_where_pillow_would_clip(tmp_path):
    wide = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    pixels, remark = images.decode(save(tmp_path / "a.png", wide))
    assert pixels[0, :, 0].tolist() == [0, 1, 128, 255]
    assert "16 bits" in images.REMARKS[remark]


def test_palettes_cmyk_and_animations_become_rgb(tmp_path):
    two = np.where(np.arange(30).reshape(6, 5, 1) % 2, [[[255, 0, 0]]], [[[0, 0, 255]]]).astype(np.uint8)
    Image.fromarray(two).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "p.png")
    pixels, remark = images.decode(tmp_path / "p.png")
    np.testing.assert_array_equal(pixels, two)
    assert remark == 0
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "c.tif")
    pixels, remark = images.decode(tmp_path / "c.tif")
    assert pixels.shape == RGB.shape
    assert "colour space" in images.REMARKS[remark]
    frames = [Image.fromarray(np.full((6, 5), value, np.uint8)) for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    pixels, remark = images.decode(tmp_path / "a.gif")
    assert "animations" in images.REMARKS[remark]
    assert (pixels == 10).all()


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header promises a huge picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_900, 30_000])  # the first only makes Pillow warn, the second makes it refuse
def test_decompression_bombs_are_refused_unopened(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(png_claiming(side, side))
    with pytest.raises(DataError, match="bomb"):
        images.decode(tmp_path / "bomb.png")


def test_damage_is_named(tmp_path):
    whole = save(tmp_path / "whole.png", np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:2000])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    Image.fromarray(np.ones((3, 3), np.float32)).save(tmp_path / "float.tif")
    for name in ("cut.png", "text.jpg", "empty.png", "gone.png", "float.tif"):
        with pytest.raises(DataError, match=name):
            images.decode(tmp_path / name)


def test_what_is_no_regular_file_is_refused_among_the_images(tmp_path):
    """A pipe would never end: the set says which of its files it is, and reads the others."""
    save(tmp_path / "1.png")
    os.mkfifo(tmp_path / "2.png")
    (tmp_path / "3.png").symlink_to("/dev/zero")
    (tmp_path / "4.png").symlink_to(tmp_path / "1.png")
    source = sources.open_images(tmp_path)
    faults = [loaded.fault for loaded in sources.read(source, range(4), 2)]
    assert [bool(fault) for fault in faults] == [False, True, True, False]
    assert "2.png is a named pipe" in faults[1]
    assert "3.png is a device" in faults[2]
    assert source.digest(range(4), 2) != source.digest([0, 3], 2)
    with pytest.raises(DataError, match="a device, which is not read"):
        sources.open_images("/dev/null")


def test_other_programs_are_not_run_for_what_a_picture_holds(tmp_path):
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with Image.open(tmp_path / "a.png") as opened:
        assert opened.format == "EPS", "Pillow alone would hand it to Ghostscript"
    with pytest.raises(DataError, match=r"a\.png: it is damaged at its beginning, or none of PNG"):
        images.decode(tmp_path / "a.png")


def as_file(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, kind, **options)
    return file.getvalue()


def absurd_bmp() -> bytes:
    content = bytearray(as_file("BMP"))
    content[18:26] = struct.pack("<ii", -5, -(2**31))
    return bytes(content)


ABSURD = {
    "negative.bmp": absurd_bmp(),
    "wide.ppm": b"P6 99999999999999999999 1 255\n",
    "nothing.ppm": b"P6 0 0 255\n",
    "levels.ppm": b"P6 1 1 " + 400 * b"9" + b"\n\0\0\0",
    "flat.png": png_claiming(0, 5),
    "beyond.png": png_claiming(2**31 - 1, 1),
    "noise.tif": b"II*\0" + bytes(range(8, 200)),
    "head.gif": b"GIF89a" + b"\xff" * 7,
    "head.webp": b"RIFF\xff\xff\xff\xffWEBPVP8X" + b"\xff" * 20,
    "head.jpg": b"\xff\xd8\xff\xe0\x00\x01",
}


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # Pillow's own remarks on what it could not read
@pytest.mark.parametrize("name", ABSURD)
def test_absurd_headers_end_in_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(ABSURD[name])
    with pytest.raises(DataError) as caught:
        images.decode(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert str(caught.value).isprintable()


WHOLE = {
    "png": as_file("PNG"),
    "jpg": as_file("JPEG"),
    "gif": as_file("GIF"),
    "bmp": as_file("BMP"),
    "tif": as_file("TIFF", compression="tiff_deflate"),
    "webp": as_file("WEBP"),
    "ppm": as_file("PPM"),
}


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("suffix", WHOLE)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(data=st.data())
def test_damage_never_escapes(tmp_path, suffix, data):
    """Whatever bytes are flipped or cut off: pixels of 8 bits, or one DataError."""
    content = bytearray(WHOLE[suffix])
    places = st.one_of(st.integers(0, min(90, len(content) - 1)), st.integers(0, len(content) - 1))
    for place, bits in data.draw(st.lists(st.tuples(places, st.integers(1, 255)), max_size=3)):
        content[place] ^= bits
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))])
    with suppress(DataError):
        pixels, _ = images.decode(path)
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] in (1, 3)


def test_names_with_odd_characters_are_read_and_can_be_printed(tmp_path):
    odd = os.fsdecode(b"na\xffme\n\x1b[31m.png")
    save(tmp_path / "a.png").rename(tmp_path / odd)
    save(tmp_path / "größe – 大.png")
    paths = images.find(tmp_path)
    assert len(paths) == 2
    for path in paths:
        assert images.decode(path)[0].shape == RGB.shape
        assert images.shown(path).isprintable()
        images.shown(path).encode()


def test_arrays_are_taken_in_every_layout_and_kind_of_file(tmp_path):
    batch = np.stack([RGB, 255 - RGB])
    np.savez(tmp_path / "a.npz", arr_0=batch)
    np.savez_compressed(tmp_path / "b.npz", arr_0=batch.transpose(0, 3, 1, 2))
    np.save(tmp_path / "c.npy", batch)
    for source in (*(tmp_path / name for name in ("a.npz", "b.npz", "c.npy")), batch, torch.from_numpy(batch)):
        opened = sources.open_images(source)
        assert len(opened) == 2
        np.testing.assert_array_equal(opened.load(1)[0], 255 - RGB)
        assert opened.digest([0, 1], 1) == sources.open_images(batch).digest([0, 1], 1)
    assert isinstance(sources.open_images(tmp_path / "a.npz").array, np.memmap), "read from disk piece by piece"
    assert sources.open_images(batch[..., 0]).load(0)[0].shape == (6, 5, 1)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"arr_0": RGB[None] / 255.0}, "uint8; convert them"),
        ({"arr_0": RGB[None].astype(np.int64)}, "must be uint8"),
        ({"arr_0": RGB[None, :, :, :2]}, r"shape \(1, 6, 5, 2\)"),
        ({"arr_0": RGB[:0, None]}, "holds no images"),
        ({"images": RGB[None]}, "no array named arr_0"),
        ({"mu": np.zeros(2), "sigma": np.eye(2)}, "holds statistics and no images; they are scored with --metric fid"),
        ({"arr_0": np.array([{"a": 1}], dtype=object)}, "pickled"),
    ],
)
@pytest.mark.parametrize("save_as", [np.savez, np.savez_compressed])
def test_other_arrays_are_refused_with_a_way_out(tmp_path, arrays, sentence, save_as):
    save_as(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=sentence):
        sources.open_images(tmp_path / "x.npz")


def test_what_is_no_set_of_images_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.npz").write_text("text")
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    for name, sentence in (
        ("empty", "no images"),
        ("gone", "does not exist"),
        ("text.npz", "is neither an .npz nor an .npy file"),
    ):
        with pytest.raises(DataError, match=sentence):
            sources.open_images(tmp_path / name)
    with pytest.raises(DataError, match="pickled"):
        sources.open_images(tmp_path / "o.npy")


def test_files_are_read_as_what_they_hold(tmp_path):
    np.savez(tmp_path / "a.npz", arr_0=RGB[None])
    np.save(tmp_path / "b.npy", RGB[None])
    (tmp_path / "a.npz").rename(tmp_path / "c.npy")
    (tmp_path / "b.npy").rename(tmp_path / "d.npz")
    for name in ("c.npy", "d.npz"):
        np.testing.assert_array_equal(sources.open_images(tmp_path / name).load(0)[0], RGB)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_reading_keeps_the_order_and_tells_what_it_could_not_read(tmp_path, workers):
    for number in range(30):
        save(tmp_path / f"{number:02}.png", np.full((2, 2), number, np.uint8))
    (tmp_path / "07.png").write_bytes(b"x")
    read = list(sources.read(sources.open_images(tmp_path), list(range(1, 30)), workers))
    assert [picture.index for picture in read] == list(range(1, 30))
    assert [picture.index for picture in read if picture.pixels is None] == [7]
    assert "07.png" in read[6].fault
    assert all(int(picture.pixels[0, 0, 0]) == picture.index for picture in read if picture.pixels is not None)


def test_digests_follow_content_and_choice_alone(tmp_path):
    for name in ("a", "b"):
        for number in range(3):
            save(tmp_path / name / f"{name}{number}.png", RGB + np.uint8(number))
    a, b = (sources.open_images(tmp_path / name) for name in ("a", "b"))
    assert a.digest([0, 1, 2], 1) == b.digest([0, 1, 2], 2)
    assert len({a.digest(chosen, 1) for chosen in ([0, 1, 2], [0, 1], [1, 0], [2])}) == 4
    save(tmp_path / "b" / "b1.png", RGB)
    assert a.digest([0, 1, 2], 1) != b.digest([0, 1, 2], 1)

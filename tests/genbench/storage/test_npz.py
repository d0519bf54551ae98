"""Arrays in files: read as what they hold, held to their checksums, and refused in one line where they are damaged."""

from __future__ import annotations

import io
import os
import re
import socket
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genbench.errors import DataError
from genbench.storage import npz

VALUES = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
OTHERS = np.linspace(0, 1, 12).reshape(3, 4)
FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)


def bytes_of(save: object = np.savez, **arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    save(file, **(arrays or {"arr_0": VALUES, "other": OTHERS}))
    return file.getvalue()


def npy(header: str, values: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """An .npy with a header of its own."""
    text = header.encode("latin1") + b"\n"
    length = struct.pack("<H", len(text)) if version == (1, 0) else struct.pack("<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + values


def claim(shape: str, descr: str = "'|u1'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


def zipped(method: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def renamed(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, npy(claim("(1,)"), b"1"))
    return file.getvalue()


def flagged() -> bytes:
    """An archive whose members say that they are encrypted, in both of their headers."""
    content = bytearray(bytes_of(arr_0=VALUES))
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    return bytes(content)


def lying(size: int) -> bytes:
    """An archive whose deflated member claims to unpack to so many bytes."""
    content = bytearray(bytes_of(np.savez_compressed, arr_0=VALUES))
    place = content.index(b"PK\1\2")
    content[place + 24 : place + 28] = struct.pack("<I", size)
    return bytes(content)


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        npz.read(path)
    message = str(caught.value)
    assert str(path) in message
    assert message.isprintable(), "one line, without control characters"
    assert len(message) < 600
    return message


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a"])
def test_an_archive_is_read_whatever_it_is_called(tmp_path, save, mmap, name):
    (tmp_path / name).write_bytes(bytes_of(save))
    arrays = npz.read(tmp_path / name, mmap=mmap)
    assert list(arrays) == ["arr_0", "other"]
    np.testing.assert_array_equal(arrays["arr_0"], VALUES)
    np.testing.assert_array_equal(arrays["other"], OTHERS)
    assert isinstance(arrays["arr_0"], np.memmap) == (mmap and save is np.savez)
    assert list(npz.read(tmp_path / name, ["other"], optional=["absent"])) == ["other"]
    assert npz.names(tmp_path / name) == ("arr_0", "other")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
@pytest.mark.parametrize(
    "array", [VALUES, np.asfortranarray(OTHERS), OTHERS.astype(">f4"), np.array("text"), OTHERS[:0]]
)
def test_a_single_array_is_read_whatever_it_is_called(tmp_path, name, array):
    with (tmp_path / name).open("wb") as file:
        np.save(file, array)
    for mmap in (True, False):
        arrays = npz.read(tmp_path / name, mmap=mmap)
        assert list(arrays) == ["arr_0"]
        np.testing.assert_array_equal(arrays["arr_0"], array)
        assert (arrays["arr_0"].dtype, arrays["arr_0"].shape) == (array.dtype, array.shape)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_flipped_byte_of_an_array_is_seen(tmp_path, save):
    content = bytearray(bytes_of(save, arr_0=VALUES))
    content[content.index(b"PK\1\2") // 2] ^= 1
    assert "CRC" in (message := refusal(tmp_path / "a.npz", content)) or "decompressing" in message


MALFORMED = {
    "empty": (b"", "is empty"),
    "text": (b"no arrays at all", "neither an .npz nor an .npy"),
    "truncated zip": (bytes_of()[:-30], "zip"),
    "beginning of a zip": (bytes_of()[:40], "zip"),
    "truncated npy": (npy(claim("(9,)"), b"12345678"), r"\(9\) and uint8 does not take 8 bytes"),
    "long npy": (npy(claim("(9,)"), b"1234567890"), "does not take 10 bytes"),
    "magic alone": (b"\x93NUMPY", "cannot read"),
    "format 3": (npy(claim("(1,)"), b"1", (3, 0)), "format"),
    "negative": (npy(claim("(-1, -5)"), b"12345"), r"claims an array of shape \(-1, -5\)"),
    "absurd": (npy(claim("(10**9,)".replace("10**9", "1" + 30 * "0"))), "does not take 0 bytes"),
    "digits": (npy(claim("(" + 5000 * "7" + ",)")), "cannot read"),
    "deep": (npy(claim(900 * "(" + 900 * ")")), "cannot read"),
    "empty and absurd": (npy(claim(f"(0, {2**62}, {2**62})")), "cannot read"),
    "many axes": (npy(claim("(" + 70 * "1, " + ")"), b"1"), "cannot read"),
    "structured": (npy(claim("(1,)", "[('a', '|u1'), ('b', '|u1')]"), b"12"), "not of plain numbers"),
    "nested": (npy(claim("(1,)", "('|u1', (2,))"), b"12"), "not of plain numbers|cannot read"),
    "void": (npy(claim("(1,)", "'|V4'"), b"1234"), "not of plain numbers"),
    "no bytes each": (npy(claim("(99999999999,)", "'<U0'")), "not of plain numbers"),
    "dates": (npy(claim("(1,)", "'<M8[s]'"), bytes(8)), "not of plain numbers"),
    "objects": (npy(claim("(1,)", "'|O'"), b"cos\nsystem\n"), "pickled objects, which may run code"),
    "zipped objects": (bytes_of(x=np.array([{}], dtype=object)), "pickled objects"),
    "packed objects": (bytes_of(np.savez_compressed, x=np.array([{}], dtype=object)), "pickled objects"),
    "negative member": (zipped(x=npy(claim("(-3,)"), b"123")), "claims an array"),
    "large member": (zipped(x=npy(claim("(99999999999999,)"), b"123")), "does not take 3 bytes"),
    "large packed member": (zipped(zipfile.ZIP_DEFLATED, x=npy(claim("(99999999999999,)"), b"123")), "does not take"),
    "small member": (zipped(zipfile.ZIP_DEFLATED, x=npy(claim("(2,)"), b"123")), "does not take 3 bytes"),
    "another method": (zipped(zipfile.ZIP_BZIP2, x=npy(claim("(1,)"), b"1")), "method of its own"),
    "encrypted": (flagged(), "encrypted member arr_0.npy"),
    "impossible": (lying(2**31), "more than the file can hold"),
    "a little impossible": (lying(4 * 2**10), "CRC|does not take"),
    "upwards": (renamed("../../x.npy"), "no array's name"),
    "absolute": (renamed("/etc/x.npy"), "no array's name"),
    "backslashes": (renamed("..\\x.npy"), "no array's name"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_files_end_in_one_line(tmp_path, kind):
    content, sentence = MALFORMED[kind]
    assert re.search(sentence, refusal(tmp_path / "a.npz", content))


def test_names_of_members_are_shown_without_their_effects(tmp_path):
    (tmp_path / "a.npz").write_bytes(renamed("\x1b[31mx.npy"))
    with pytest.raises(DataError, match=r"no array named y \(it has \\x1b\[31mx\)"):
        npz.read(tmp_path / "a.npz", ["y"])


def test_two_members_of_one_name_are_refused(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for value in (b"1", b"2"):
            archive.writestr("x.npy", npy(claim("(1,)"), value))
    assert "two arrays named x" in refusal(tmp_path / "a.npz", file.getvalue())


def test_a_bomb_within_what_deflate_can_do_is_refused_unopened(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "BOMB_BYTES", 10**5)
    message = refusal(tmp_path / "a.npz", bytes_of(np.savez_compressed, arr_0=np.zeros(10**6, np.uint8)))
    assert "decompression bomb; save it unpacked" in message
    (tmp_path / "b.npz").write_bytes(bytes_of(arr_0=np.zeros(10**6, np.uint8)))
    assert not npz.read(tmp_path / "b.npz")["arr_0"].any()


def test_absent_arrays_are_named_with_those_that_are_there(tmp_path):
    (tmp_path / "a.npz").write_bytes(bytes_of())
    with pytest.raises(DataError, match=r"no array named mu and none named sigma \(it has arr_0, other\)"):
        npz.read(tmp_path / "a.npz", ["mu", "sigma"])
    (tmp_path / "many.npz").write_bytes(bytes_of(**{f"layer{number}/w": OTHERS for number in range(20)}))
    with pytest.raises(DataError, match=r"layer0/w, .* and 12 more\)"):
        npz.read(tmp_path / "many.npz", ["mu"])


def test_what_is_no_regular_file_is_refused_and_not_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "device.npz").symlink_to("/dev/zero")
    (tmp_path / "link.npz").symlink_to(tmp_path / "pipe.npz")
    (tmp_path / "round.npz").symlink_to(tmp_path / "round.npz")
    (tmp_path / "nowhere.npz").symlink_to(tmp_path / "gone.npz")
    (tmp_path / "folder.npz").mkdir()
    monkeypatch.chdir(tmp_path)  # the names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.npz")
        opened = []
        monkeypatch.setattr(os, "open", lambda *arguments: opened.append(arguments))
        for name, sentence in (
            ("pipe.npz", "a named pipe, which is not read; give a regular file"),
            ("link.npz", "a named pipe"),
            ("device.npz", "a device"),
            ("socket.npz", "a socket"),
            ("folder.npz", "a folder"),
            ("round.npz", "cannot read"),
            ("nowhere.npz", "a link to nothing"),
            ("absent.npz", "does not exist"),
            ("x" * 5000, "cannot read"),
            ("a\0b.npz", "cannot read"),
        ):
            with pytest.raises(DataError, match=sentence):
                npz.read(Path(name))
            assert not npz.are_statistics(Path(name))
    assert not opened


def test_statistics_are_told_by_content(tmp_path):
    both = {"mu": np.zeros(2), "sigma": np.eye(2)}
    for name, arrays, expected in (
        ("a.npz", both, True),
        ("b.npy", both, True),
        ("c.npz", both | {"arr_0": VALUES}, False),
        ("d.npz", {"mu": np.zeros(2)}, False),
    ):
        (tmp_path / name).write_bytes(bytes_of(**arrays))
        assert npz.are_statistics(tmp_path / name) == expected
    (tmp_path / "e.npz").write_bytes(bytes_of(**both)[:-9])
    assert not npz.are_statistics(tmp_path / "e.npz")
    assert not npz.are_statistics(tmp_path)


FILES = {
    "stored": bytes_of(np.savez),
    "packed": bytes_of(np.savez_compressed),
    "single": npy(claim("(4, 5, 6, 3)"), VALUES.tobytes()),
}


@pytest.mark.parametrize("kind", FILES)
@FUZZ
@given(data=st.data())
def test_damage_never_escapes(tmp_path, kind, data):
    """Whatever bytes are flipped or cut off: what an archive still gives is right, all else is one DataError."""
    content = bytearray(FILES[kind])
    cut = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    # Half of the flips hit the directory at the end or the header at the start, which are few of the bytes.
    places = st.one_of(
        st.integers(0, 140), st.integers(0, len(content) - 1), st.integers(len(content) - 240, len(content) - 1)
    )
    for place, bits in data.draw(st.lists(st.tuples(places, st.integers(1, 255)), max_size=3)):
        content[place] ^= bits
    path = tmp_path / "a.npz"
    path.write_bytes(content[:cut])
    for mmap in (True, False):
        try:
            arrays = npz.read(path, ["arr_0"], mmap=mmap)
        except DataError as error:
            assert str(error).isprintable()
            continue
        assert list(arrays) == ["arr_0"]
        if kind != "single":  # a bare .npy has no checksum
            np.testing.assert_array_equal(arrays["arr_0"], VALUES)

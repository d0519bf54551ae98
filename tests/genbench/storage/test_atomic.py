"""Files are exchanged whole or not at all, whatever stands in the way, and nothing unfinished stays."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genbench.errors import InputError, ResultsError
from genbench.storage import atomic

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files, or asks for rights to make them")
FULL = OSError(errno.ENOSPC, "No space left on device")


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def one_line(caught):
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_and_its_folders_are_made_then_exchanged(tmp_path):
    path = tmp_path / "new" / "a.txt"
    atomic.write_text(path, "first ± \r\n")
    assert path.read_bytes() == "first ± \r\n".encode(), "UTF-8 and the line ends as given, on every system"
    path.chmod(0o640)
    atomic.write_text(path, "second")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("second", 0o640)
    assert files(path.parent) == ["a.txt"]


@posix
def test_what_is_no_regular_file_is_never_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with socket.socket(socket.AF_UNIX) as unix:
        os.chdir(tmp_path)  # socket addresses are short
        unix.bind("socket")
    before = {name: os.lstat(name) for name in files(tmp_path)}
    kinds = {"folder": "a folder", "pipe": "a pipe", "socket": "a socket", "link": "a device", "loop": "loop|links"}
    for name, kind in kinds.items():
        with pytest.raises(ResultsError, match=f"cannot write .*{kind}|symbolic links") as caught:
            atomic.write_text(tmp_path / name, "x")
        one_line(caught)
    with pytest.raises(ResultsError, match="a device"):
        atomic.write_text(Path("/dev/null"), "x")
    assert {name: os.lstat(name) for name in files(tmp_path)} == before


@posix
def test_links_stay_links(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "target").write_text("old")
    for name, target in (("link", "elsewhere/target"), ("dangling", "elsewhere/new")):
        (tmp_path / name).symlink_to(target)
        atomic.write_text(tmp_path / name, "new")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / target).read_text() == "new"
    assert files(tmp_path / "elsewhere") == ["new", "target"]


class SafetensorError(Exception):
    """Of the name of the one that Rust raises."""


def _wrapped():
    try:
        raise FULL
    except OSError:
        raise RuntimeError("[enforce fail at inline_container.cc:672]\nunexpected pos 704") from None


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (FULL, "the disk that holds FOLDER is full; free some of it, or choose another folder with --out"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk that holds FOLDER is full"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error; choose another folder with --out"),
        (SafetensorError("Error while serializing\nI/O error"), "Error while serializing; choose"),
        ("wrapped", "the disk that holds FOLDER is full"),
    ],
)
def test_a_disk_that_does_not_take_it_is_one_line(tmp_path, fault, said):
    path = tmp_path / "a.bin"
    path.write_text("old")

    def save(part):
        part.write_text("half")
        _wrapped() if fault == "wrapped" else (_ for _ in ()).throw(fault)

    with pytest.raises(ResultsError) as caught:
        atomic.write(path, save)
    assert f"cannot write {path}: {said.replace('FOLDER', str(tmp_path))}" in one_line(caught)
    assert (files(tmp_path), path.read_text()) == (["a.bin"], "old")


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), SystemExit(3), TypeError("a bug"), InputError("no")])
def test_other_exceptions_pass_and_leave_nothing(tmp_path, fault):
    def save(part):
        part.write_text("half")
        raise fault

    with pytest.raises(type(fault)):
        atomic.write(tmp_path / "a.bin", save)
    assert files(tmp_path) == []


def test_a_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="choose another folder with --out") as caught:
        atomic.write_text(tmp_path / "file" / "a.txt", "x")
    one_line(caught)


@posix
def test_what_killed_processes_left_behind_goes_with_the_next_write(tmp_path):
    script = (
        "import os, signal, sys; from pathlib import Path; from genbench.storage import atomic;"
        "atomic.write(Path(sys.argv[1]), lambda part: (part.write_text('half'), os.kill(os.getpid(), signal.SIGKILL)))"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "killed.pt"], check=False)
    (left,) = files(tmp_path)
    assert left.endswith(".part")
    living = left.replace("killed", "living").replace(atomic.PART.fullmatch(left)["process"], str(os.getpid()))
    elsewhere = left.replace("killed", "elsewhere").replace(atomic.HOST, "another-host")
    old = left.replace("killed", "old").replace(atomic.HOST, "another-host")
    for name in (living, elsewhere, old, ".mine.part", "b.part"):
        (tmp_path / name).write_text("")
    os.utime(tmp_path / old, (time.time() - 2 * atomic.ABANDONED_SECONDS,) * 2)
    atomic.write_text(tmp_path / "other.txt", "x")
    assert files(tmp_path) == sorted(["other.txt", living, elsewhere, ".mine.part", "b.part"])

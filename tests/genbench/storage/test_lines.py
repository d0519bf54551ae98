"""Appending under a lock: it goes with its holder, and what cannot be written is not lost."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock
from rows import ROW

from genbench.errors import ResultsError
from genbench.storage import lines, results


def lock_of(path):
    return path.with_name(f".{path.name}.lock")


def test_only_the_lines_and_the_hidden_lock_are_there(tmp_path):
    path = tmp_path / "a.jsonl"
    lines.append(path, ["1", "2"])
    lines.append(path, [])
    assert path.read_text() == "1\n2\n"
    assert {each.name for each in tmp_path.iterdir()} <= {"a.jsonl", lock_of(path).name}


def test_asking_whether_a_folder_takes_rows_leaves_no_results(tmp_path):
    lines.require_writable(tmp_path / "new" / "results.jsonl")
    assert not (tmp_path / "new" / "results.jsonl").exists(), "an interrupted first run must not look like a board"
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="choose another folder"):
        lines.require_writable(tmp_path / "file" / "results.jsonl")


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="who may do everything is refused nothing")
def test_a_folder_without_rights_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ResultsError, match="Permission denied; choose another folder"):
        lines.require_writable(tmp_path / "results.jsonl")


def test_a_lock_goes_with_its_holder(tmp_path):
    path = tmp_path / "a.jsonl"
    script = (
        "import sys, time; from pathlib import Path; from genbench.storage import lines\n"
        "with lines.locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == b"held"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "LOCK_SECONDS", 0.05)
        with pytest.raises(ResultsError, match="another process has held it"):
            lines.append(path, ["1"])
    assert not path.exists()
    holder.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    lines.append(path, ["2"])
    assert path.read_text() == "2\n"


def test_links_to_one_file_share_its_lock(tmp_path):
    path, link = tmp_path / "a.jsonl", tmp_path / "link.jsonl"
    lines.append(path, ["1"])
    try:
        link.symlink_to(path)
    except OSError:
        pytest.skip("links need rights here")
    done = threading.Event()

    def add():
        lines.append(link, ["2"])
        done.set()

    with FileLock(lock_of(path)):
        writer = threading.Thread(target=add)
        writer.start()
        assert not done.wait(0.1)
    writer.join(10)
    assert path.read_text() == "1\n2\n"
    assert link.is_symlink()


@pytest.mark.parametrize("fails", ["write", "fsync"])
def test_a_full_disk_costs_no_row(tmp_path, monkeypatch, fails):
    """The file is as before, and the rows are where the message says, to be appended as they are."""
    path = tmp_path / "results.jsonl"
    results.append(path, [ROW])
    before = path.read_bytes()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    written = []

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    class Half:
        """Takes the first half of what is written."""

        def __init__(self, file):
            self.file = file

        def write(self, data):
            if written:
                full()
            written.append(data)
            return self.file.write(data[: len(data) // 2])

        def __getattr__(self, name):
            return getattr(self.file, name)

    if fails == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        original = lines._append
        monkeypatch.setattr(lines, "_append", lambda file, data: original(Half(file), data))
    with pytest.raises(ResultsError, match="No space left on device; what was to be added is in") as caught:
        results.append(path, [ROW, ROW])
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    monkeypatch.undo()
    rescued = Path(str(caught.value).partition("added is in ")[2].partition(",")[0])
    path.write_bytes(before + rescued.read_bytes())
    assert results.read(path) == [ROW] * 3


def test_a_long_torn_line_is_cut_off_whole(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"b": "' + b"x" * (3 * lines.BLOCK))
    lines.append(path, ['{"c": 2}'])
    assert path.read_text() == '{"a": 1}\n{"c": 2}\n'


def test_an_edited_last_line_is_no_torn_one(tmp_path):
    path = tmp_path / "results.jsonl"
    results.append(path, [ROW])
    edited = path.read_text().replace('"value": 10.0', '"value": 1.0').rstrip("\n")
    path.write_text(edited)
    with pytest.raises(ResultsError, match="checksum does not fit"):
        results.read(path)
    results.append(path, [ROW])
    assert path.read_text().startswith(edited + "\n"), "nothing is deleted that was written whole"

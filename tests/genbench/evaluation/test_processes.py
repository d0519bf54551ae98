"""Runs and scores of several processes: the numbers and rows of one, one writer, and an end with a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import commands
import numpy as np
import pytest
from PIL import Image

from genbench.evaluation import processes
from genbench.storage import results

ROOT = Path(__file__).parents[3]
METRICS = ("fid", "is", "precision-recall", "likelihood", "outliers", "reconstruction", "per-class-fid")


def genbench(tmp_path, count, *arguments):
    """The command line on so many processes; what they say in all, and the first exit code that is none of success.

    Each call has a cache of its own, so that processes share the reference's features too.
    """
    tmp_path.mkdir(exist_ok=True)
    own = {"GENBENCH_CACHE": str(tmp_path / "cache")}
    if count == 1:
        return commands.genbench_here(*arguments, environment=own)
    every = commands.genbench_together(count, *arguments, folder=tmp_path, environment=own)
    code = next((done.returncode for done in every if done.returncode), 0)
    return commands.Done(code, "".join(done.stdout for done in every), "".join(done.stderr for done in every))


def torchrun(tmp_path, *arguments):
    """The command line on two processes, as a user starts them."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    own = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "GENBENCH_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "genbench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, env=os.environ | own)


def numbers(folder):
    """All of the rows that does not depend on when they were made, in the order of the file."""
    rows = results.read(folder / "results.jsonl")
    return [
        (r.model, r.column, r.status, r.value, r.stderr, r.low, r.high, r.detail, r.n, r.protocol, r.model_version)
        for r in rows
    ]


def test_any_number_of_processes_has_the_same_rows(tmp_path):
    arguments = ["run", "digits", "-n", "2300", "--model", "plugins:Careful", "--model", "plugins:Chooses"]
    arguments += [word for metric in METRICS for word in ("--metric", metric)]
    outputs = []
    for count in (1, 3):
        folder = tmp_path / str(count)
        done = genbench(folder, count, *arguments, "--out", folder / "board")
        assert done.returncode == 0, done.stderr
        written = {path.name: path.read_bytes() for path in (folder / "board").rglob("*.npz")}
        outputs.append(
            (numbers(folder / "board"), done.stdout, written, (folder / "board" / "protocols.jsonl").read_text())
        )
    assert outputs[0] == outputs[1]
    rows = outputs[0][0]
    assert outputs[0][2], "the log-probabilities behind the rows are kept too"
    assert len(rows) == len({row[:2] for row in rows}), "one process writes"
    assert {row[2] for row in rows} == {"ok", "unsupported"}
    files = {path.name for path in (tmp_path / "3" / "board" / "samples").iterdir()}
    assert len(files) == 2


def test_a_failure_elsewhere_is_a_failure_and_a_death_ends_the_run_with_a_line(tmp_path):
    models = ["plugins:FailsElsewhere", "plugins:Grey", "plugins:DiesElsewhere", "plugins:NumpyGrey"]
    arguments = ["run", "digits", "-n", "1500", "--metric", "fid", "--out", tmp_path / "board"]
    arguments += [word for model in models for word in ("--model", model)]
    done = torchrun(tmp_path, *arguments)
    assert done.returncode == 1
    lines = ("another process of this run has ended", "terminated; what was finished is kept")
    assert any(line in done.stderr for line in lines), done.stderr
    rows = {row.model: row for row in results.read(tmp_path / "board" / "results.jsonl")}
    assert list(rows) == models[:2], "what was finished is kept, and what was lost is no failure of a model's"
    assert rows[models[0]].detail == "sample raised RuntimeError: this machine has another driver"
    assert rows[models[1]].status == "ok"
    again = genbench(tmp_path, 1, *arguments)
    assert again.returncode == 0, again.stderr
    assert "plugins:Grey            up to date" in again.stderr
    after = results.current(results.read(tmp_path / "board" / "results.jsonl"))
    assert {row.model: row.status for row in after} == dict.fromkeys(models, "ok")


@pytest.fixture
def folders(tmp_path):
    random = np.random.default_rng(0)
    for name, count in (("real", 230), ("fake", 150)):
        (tmp_path / name).mkdir()
        for index in range(count):
            picture = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / name / f"{index:03}.png")
    return tmp_path / "real", tmp_path / "fake"


def test_processes_share_the_images_of_scores_and_statistics(tmp_path, folders):
    real, fake = folders
    options = ["--features", "identity", "--json", "--metric", "fid", "--metric", "precision-recall"]
    outputs = []
    for count in (1, 2):
        done = genbench(tmp_path / str(count), count, "score", real, fake, *options)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        outputs.append([(r["column"], r["value"], r["stderr"], r["protocol"], r["model_version"]) for r in rows])
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) == 3
    for count in (1, 2):
        genbench(
            tmp_path / f"stats{count}", count, "stats", real, "-o", tmp_path / f"{count}.npz", "--features", "identity"
        )
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()


def test_all_files_that_cannot_be_read_are_listed_once(tmp_path, folders):
    real, fake = folders
    for name in ("003.png", "200.png"):
        (real / name).write_bytes(b"no picture")
    done = genbench(tmp_path, 2, "score", real, fake, "--features", "identity", "--metric", "fid")
    assert done.returncode == 1
    assert done.stderr.count("error: 2 of the 230 images of real cannot be read") == 1
    assert "003.png" in done.stderr
    assert "200.png" in done.stderr


def test_a_process_that_is_alone_just_computes():
    assert (processes.rank(), processes.size()) == (0, 1)
    assert processes.shared(3, lambda index: index * 2) == [0, 2, 4]
    assert processes.from_first(lambda: "value") == processes.together(lambda: "value") == "value"
    assert processes.after_first(lambda: None) is None
    assert processes.gathered(5) == [5]
    with pytest.raises(ZeroDivisionError):
        processes.shared(1, lambda index: 1 // index)


def test_models_side_by_side_have_the_rows_of_one_after_the_other(tmp_path):
    models = ["plugins:Careful", "plugins:Killed", "plugins:Raises", "plugins:Grey", "plugins:Narrow"]
    arguments = ["run", "digits", "-n", "120", "--metric", "fid", "--metric", "likelihood", "--batch-size", "100"]
    sound = [word for model in models if model != "plugins:Killed" for word in ("--model", model)]
    genbench(tmp_path, 1, *arguments, *sound, "--out", tmp_path / "after")
    every = [word for model in models for word in ("--model", model)]
    done = genbench(tmp_path, 1, *arguments, *every, "--out", tmp_path / "beside", "--jobs", "2")
    assert done.returncode == 1, "two of them fail"
    beside = numbers(tmp_path / "beside")
    assert sorted(row for row in beside if row[0] != models[1]) == sorted(numbers(tmp_path / "after"))
    lost = [row for row in beside if row[0] == models[1]]
    assert {row[2] for row in lost} == {"failed"}
    assert lost[0][7] == "the process of plugins:Killed ended with exit code 3"
    assert len({row[:2] for row in beside}) == len(beside)
    assert (tmp_path / "beside" / "samples").exists()
    again = genbench(tmp_path, 1, *arguments, *sound, "--out", tmp_path / "beside", "--jobs", "2")
    assert again.stderr.count("up to date") == 3, again.stderr


def test_jobs_and_torchrun_are_one_too_many(tmp_path):
    done = genbench(tmp_path, 2, "run", "digits", "--jobs", "2", "--model", "plugins:Grey", "--out", tmp_path)
    assert "error: --jobs starts processes of its own; leave it or torchrun out" in done.stderr

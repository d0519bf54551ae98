"""Numbers of another processor: the same but for rounding, of which this says how much.

Libraries choose other instructions on other processors, and sums in another order end in other digits. Here a process
is held to what processors had long ago, and its rows are compared with those of one that takes all that it finds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import commands
import numpy as np
import pytest
import torch

import genbench

HERE = Path(__file__).parent
OF_VALUE, OF_ERROR = 1e-6, 1e-4  # a number may differ by the larger of these shares of itself and its standard error
OLD = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"}
METRICS = ("fid", "fid-infinity", "kid", "is", "precision-recall", "density-coverage", "mind", "vendi", "memorization")


class Smudged:
    """Half-tones and random pixels by integers alone, the same on every machine."""

    spec = genbench.SampleSpec((1, 8, 8), 17)

    def sample(self, n: int) -> np.ndarray:
        rng = np.random.RandomState(np.random.randint(2**31))
        shade = rng.randint(0, 9, (n, 1, 1, 8))
        return (shade + rng.randint(0, 9, (n, 1, 8, 8))).astype(np.uint8)


def print_rows() -> None:
    torch.set_num_threads(1)
    results = genbench.evaluate(Smudged(), "digits", metrics=METRICS, n=400).results
    print(json.dumps([[r.column, r.value, r.stderr, r.total_stderr, r.low, r.high, r.detail] for r in results]))


def by_column(stdout: str) -> dict[str, list]:
    return {column: numbers for column, *numbers in json.loads(stdout)}


def rows(folder: Path) -> dict[str, list]:
    """Of a process of this processor's."""
    done = commands.begin(print_rows, folder=folder, environment={"GENBENCH_CACHE": str(folder / "cache")}).wait()
    assert done.returncode == 0, done.stderr
    return by_column(done.stdout)


@pytest.fixture(scope="module")
def new(tmp_path_factory) -> dict[str, list]:
    return rows(tmp_path_factory.mktemp("new"))


def test_an_older_processor_gives_the_same_numbers_to_the_stated_digits(new, tmp_path):
    """Libraries look at the processor while they are imported."""
    path = os.pathsep.join(str(folder) for folder in (HERE, HERE.parents[1], HERE.parents[2]))
    environment = {"PYTHONPATH": path, "GENBENCH_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "import test_processors; test_processors.print_rows()"]
    done = subprocess.run(command, env=os.environ | OLD | environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    old = by_column(done.stdout)
    assert new.keys() == old.keys()
    assert sum(numbers[0] is not None for numbers in new.values()) > len(METRICS)
    for column, numbers in new.items():
        assert (numbers[0] is None) == (old[column][0] is None), column
        error = numbers[1] or 0.0
        for here, there in zip(numbers[:5], old[column][:5], strict=True):
            assert (here is None) == (there is None), column
            if here is not None:
                assert there == pytest.approx(here, rel=OF_VALUE, abs=OF_ERROR * error), column


def test_one_processor_gives_the_same_bytes(new, tmp_path):
    assert rows(tmp_path) == new

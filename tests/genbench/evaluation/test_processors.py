"""Numbers of another processor: the same but for rounding, of which this says how much.

Libraries choose other instructions on other processors, and sums in another order end in other digits. Here a process
is held to what processors had long ago, and its rows are compared with those of one that takes all that it finds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

OF_VALUE, OF_ERROR = 1e-6, 1e-4  # a number may differ by the larger of these shares of itself and its standard error
OLD = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"}
METRICS = ("fid", "fid-infinity", "kid", "is", "precision-recall", "density-coverage", "mind", "vendi", "memorization")
SCRIPT = """
import json, sys
import numpy as np
import genbench

class Smudged:
    '''Half-tones and random pixels by integers alone, the same on every machine.'''
    spec = genbench.SampleSpec((1, 8, 8), 17)
    def sample(self, n):
        rng = np.random.RandomState(np.random.randint(2**31))
        shade = rng.randint(0, 9, (n, 1, 1, 8))
        return (shade + rng.randint(0, 9, (n, 1, 8, 8))).astype(np.uint8)

rows = genbench.evaluate(Smudged(), "digits", metrics=sys.argv[1:], n=400).results
print(json.dumps([[r.column, r.value, r.stderr, r.total_stderr, r.low, r.high, r.detail] for r in rows]))
"""


def rows(environment: dict[str, str], cache: str) -> dict[str, list]:
    environment = os.environ | environment | {"GENBENCH_CACHE": cache, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, *METRICS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return {column: numbers for column, *numbers in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def new(tmp_path_factory) -> dict[str, list]:
    return rows({}, str(tmp_path_factory.mktemp("new")))


def test_an_older_processor_gives_the_same_numbers_to_the_stated_digits(new, tmp_path):
    old = rows(OLD, str(tmp_path))
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
    assert rows({}, str(tmp_path)) == new

"""Shared by all tests: an own cache, the place of the real data, and a fixed seed, or that of GENBENCH_TEST_SEED."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
sys.path.insert(0, str(Path(__file__).parent))  # for tests/plugins.py, which the command line also loads by name
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background is deaf to Ctrl-C


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read nor fill the user's cache, and use the shipped checkpoints only."""
    patch = pytest.MonkeyPatch()
    patch.setenv("GENBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.delenv("GENBENCH_CHECKPOINTS", raising=False)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(int(os.environ.get("GENBENCH_TEST_SEED", 0)))


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """The path of a file or folder of the real data; the test skips where it is absent."""

    def find(name: str) -> Path:
        if not (SHARED / name).exists():
            pytest.skip(f"the real data {name} is not beside the checkout (../shared/data)")
        return SHARED / name

    return find

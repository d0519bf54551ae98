"""What `make bench` adds to the timings: the peak memory of each, and a table of ratios within every group."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torchvision import models

from genbench import seeding

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def memory(field: str) -> float | None:
    """A field of this process's memory in MB, where the system tells it (Linux)."""
    if not STATUS.exists():
        return None
    words = next(line.split() for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(words[1]) / 1024


@pytest.fixture(autouse=True)
def peak_memory(request: pytest.FixtureRequest) -> Iterator[None]:
    """Notes how far the resident memory rose above what the inputs and libraries hold already."""
    if not request.config.getoption("--benchmark-enable") or "benchmark" not in request.fixturenames:
        yield
        return
    benchmark = request.getfixturevalue("benchmark")
    for name in request.fixturenames:  # the inputs are there before the measurement begins
        if name not in ("benchmark", "peak_memory", "request"):
            request.getfixturevalue(name)
    before = memory("VmRSS")
    if before is not None:
        CLEAR.write_text("5")  # sets the high-water mark back to the present
    yield
    peak = memory("VmHWM")
    if before is not None and peak is not None:
        benchmark.extra_info["peak_mb"] = round(peak - before)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights of the Inception network, under which activations neither vanish nor explode."""
    with seeding.scoped("weights"):
        network = models.inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    state = {name: x * 6**0.5 if x.ndim == 4 else x for name, x in network.state_dict().items()}
    torch.save(state, path := tmp_path_factory.mktemp("inception") / "weights.pth")
    return path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Each group as a Markdown table: seconds, how many times those of genbench, and memory."""
    session = getattr(config, "_benchmarksession", None)
    found = [one for one in getattr(session, "benchmarks", []) if one.stats.data]
    if not found or not config.getoption("--benchmark-enable"):
        return
    write = terminalreporter.write_line
    terminalreporter.section("ratios")
    write("| what | by | median seconds | times genbench | peak MB |")
    write("| --- | --- | ---: | ---: | ---: |")
    for group in dict.fromkeys(one.group for one in found):
        rows = [one for one in found if one.group == group]
        ours = next((one.stats.median for one in rows if "_of_genbench" in one.name), None)
        for one in rows:
            library = one.name.split("_of_")[-1].split("[")[0].replace("_", "-")
            ratio = "" if ours is None else f"{one.stats.median / ours:.2f}"
            memory_used = one.extra_info.get("peak_mb", "")
            write(f"| {group} | {library} | {one.stats.median:.4g} | {ratio} | {memory_used} |")

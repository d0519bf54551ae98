"""What `make bench` adds to the timings: the peak memory of each, and a table of ratios within every group."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import table
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
    """Each group as a Markdown table: seconds, how many times those of genbench, memory; and speed.csv."""
    session = getattr(config, "_benchmarksession", None)
    measured = [run for run in getattr(session, "benchmarks", []) if run.stats.data]
    if not measured or not config.getoption("--benchmark-enable"):
        return
    line = terminalreporter.write_line
    terminalreporter.section("ratios")
    line("| what | by | least seconds | times genbench | peak MB |")
    line("| --- | --- | ---: | ---: | ---: |")
    timings: list[table.Timing] = []
    clock = "processor" if "process_time" in str(config.getoption("benchmark_timer")) else "wall"
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else 0.0
    for group in dict.fromkeys(run.group for run in measured):
        runs = [run for run in measured if run.group == group]
        # The least of all rounds: whatever else the machine does can only make a round longer.
        ours = next((run.stats.min for run in runs if "_of_genbench" in run.name), None)
        for run in runs:
            library = run.name.split("_of_")[-1].split("[")[0].replace("_", "-")
            ratio = "" if ours is None else f"{run.stats.min / ours:.2f}"
            line(f"| {group} | {library} | {run.stats.min:.4g} | {ratio} | {run.extra_info.get('peak_mb', '')} |")
            if ours is not None and not library.startswith("genbench"):
                what, size = table.split(group)
                seconds = [float(f"{number:.4g}") for number in (ours, run.stats.min)]
                rounded = round(run.stats.min / ours, 2)
                who = table.processor(), torch.get_num_threads()
                timings.append(table.Timing(*who, what, size, seconds[0], library, seconds[1], rounded, load, clock))
    table.write(timings)

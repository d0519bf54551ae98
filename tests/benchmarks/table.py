"""leaderboards/speed.csv: what `make bench` measured, on which processor, and the README's table made of it.

`python tests/benchmarks/table.py` prints the table.
"""

from __future__ import annotations

import csv
import platform
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

INSTRUCTIONS = {"AVX-512 with VNNI": "avx512_vnni", "AVX-512": "avx512f", "AVX2": "avx2"}  # by their flag, widest first
NUMBERS = ("genbench", "peer", "ratio", "load")
ASIDE = "precision, recall, density, coverage"  # in the file only: little more than precision and recall alone
SPEED = Path(__file__).resolve().parents[2] / "leaderboards" / "speed.csv"


@dataclass(frozen=True, slots=True)
class Timing:
    """Least seconds of genbench and of one peer, for one thing at one size; `ratio` is peer over genbench.

    `load` is how many processes wanted to run at the time: more than the threads, and other work was going on. `clock`
    is "wall", or "processor" for the seconds of this process alone, which other work touches little.
    """

    machine: str
    threads: int
    what: str
    size: str
    genbench: float
    peer_name: str
    peer: float
    ratio: float
    load: float = 0.0
    clock: str = "wall"


def processor() -> str:
    """The processor's model, as the system names it, how many there are, and their widest instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = {flag for line in lines if line.startswith("flags") for flag in line.split()}
    widest = next((name for name, flag in INSTRUCTIONS.items() if flag in flags), "no AVX2")
    return f"{names[0]}, {len(names)} cores, {widest}" if names else platform.machine()


def split(group: str) -> tuple[str, str]:
    """What a group measures, and the size that its name says: 'KID of 10,000 and 10,000 features' has one."""
    what, comma, size = group.partition(", ")
    match = re.match(r"(.*?) of ([\d,]+ .*)", group)
    return (match[1], match[2]) if match else (what, size if comma else "")


def write(timings: Iterable[Timing], path: Path = SPEED) -> None:
    """Put timings into the file; those of other machines and of other things stay."""
    new = list(timings)
    measured = {(row.machine, row.threads, row.what, row.size, row.peer_name) for row in new}
    old = [row for row in read(path) if (row.machine, row.threads, row.what, row.size, row.peer_name) not in measured]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Timing)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in old + new)


def read(path: Path = SPEED) -> list[Timing]:
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [
            Timing(**row | {name: float(row[name]) for name in NUMBERS} | {"threads": int(row["threads"])})
            for row in csv.DictReader(file)
        ]


def markdown(timings: Iterable[Timing]) -> str:
    """One table for each machine: a line for each thing at each size but ASIDE, a column of ratios for the peers."""
    rows, lines = [row for row in timings if row.what != ASIDE], []
    for machine, threads in dict.fromkeys((row.machine, row.threads) for row in rows):
        here = [row for row in rows if (row.machine, row.threads) == (machine, threads)]
        busiest = max(row.load for row in here)
        beside = f" (beside other work, load up to {busiest:.1f})" if busiest > threads + 1 else ""
        if any(row.clock == "processor" for row in here):
            beside += ", seconds of the processor"
        named = f"{threads} thread{'s' if threads > 1 else ''}"
        lines += [f"{machine}, {named}{beside}:", "", "| what | size | genbench | times as long |"]
        lines.append("| --- | --- | ---: | --- |")
        for what, size in dict.fromkeys((row.what, row.size) for row in here):
            same = [row for row in here if (row.what, row.size) == (what, size)]
            peers = ", ".join(f"{row.peer_name} {row.ratio:.1f}" for row in same)
            lines.append(f"| {what} | {size} | {same[0].genbench:.3g} s | {peers} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown(read()))

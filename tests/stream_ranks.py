"""What each process of tests/genbench/evaluation/test_stream.py does under torchrun: its half of the items."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

import genbench
from genbench.evaluation.processes import joined


def main(folder: Path) -> None:
    items = torch.load(folder / "items.pt")
    with joined():
        rank = dist.get_rank()
        stream = genbench.Stream(features=items["features"], metrics=items["metrics"])
        outcomes = []
        for epoch in range(2):
            if epoch == 0:
                for part in items["real"][rank].split(37):
                    stream.update(real=part)
            for part in items["fake"][epoch][rank].split(29):
                stream.update(fake=part)
            scores = stream.compute()
            outcomes.append({row.column: [row.value, row.stderr, row.protocol] for row in scores.results})
            stream.reset()
        (folder / f"rank{rank}.json").write_text(json.dumps(outcomes))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

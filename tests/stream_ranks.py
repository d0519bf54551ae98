"""What each process of tests/genbench/evaluation/test_stream.py does: its half of the items."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.distributed as dist

import genbench


def main(folder: Path) -> None:
    items = torch.load(folder / "items.pt")
    dist.init_process_group("gloo")
    try:
        rank = dist.get_rank()
        if rank == 0:  # what one process of a training does by itself waits for no other
            genbench.score(torch.zeros(9, 3, 3, dtype=torch.uint8), torch.ones(9, 3, 3, dtype=torch.uint8), "identity")
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
    finally:
        dist.destroy_process_group()

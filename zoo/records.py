"""The records of trainings that lie beside checkpoints: how each was made, what it reported, and its loss curve."""

from __future__ import annotations

import json
from typing import Any


def of_model(name: str) -> dict[str, dict[str, Any]]:
    """A model's records by benchmark, those of GENBENCH_CHECKPOINTS before the shipped ones; a damaged one is left out.

    Their fields are those of the checkpoint's JSON; `curve` is there where the training kept one.
    """
    from zoo import checkpoints

    records: dict[str, dict[str, Any]] = {}
    for folder in checkpoints.folders():
        for path in sorted(folder.glob(f"*/{name}.json")):
            try:
                record = json.loads(path.read_text())
            except (OSError, ValueError):
                continue
            if isinstance(record, dict):
                records.setdefault(path.parent.name, record)
    return records

"""Boards in the schema of Every Eval Ever, version 0.3.0: one record per row, its numbers with their errors.

Reference: github.com/evaleval/every_eval_ever, ``every_eval_ever/schemas/eval.schema.json``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from genbench.leaderboard.choosing import Key
from genbench.leaderboard.means import seeds_text
from genbench.leaderboard.ranking import Ranking
from genbench.storage.results import Result

SCHEMA = "0.3.0"
LEVEL = 0.95  # of the intervals of rows
# Columns between 0 and 1. Of the others no bound is stated: where there is none, the schema leaves its field out.
SHARES = frozenset(
    {
        *("precision", "recall", "coverage", "clipped_density", "clipped_coverage", "accuracy", "auroc"),
        *("kept_class", "authenticity"),
    }
)


def records(board: Ranking) -> Iterator[dict[str, Any]]:
    """A record for each row of the board that has a number. The same rows give the same records."""
    for key, cells in board.cells.items():
        rows = [row for row in cells.values() if row.value is not None]
        if rows:
            yield _record(board, key, rows)


def _record(board: Ranking, key: Key, rows: list[Result]) -> dict[str, Any]:
    model, seeds = key[0], board.seeds_of(key)
    last = max(rows, key=lambda row: row.moment)
    software = dict(part.split("=", 1) for part in last.software.split() if "=" in part)
    time = str(int(last.moment.timestamp()))
    identity = {
        "deployment_type": "self_deployed",
        "model_availability": "unknown",  # rows do not say where a model's weights are
        "version": last.model_version,
        "device": last.device,
        "seed": seeds_text(seeds),
    }
    return {
        "schema_version": SCHEMA,
        "evaluation_id": f"genbench-{board.benchmark}/{model}/seed-{'-'.join(map(str, seeds))}-{time}",
        "evaluation_timestamp": last.time,
        "retrieved_timestamp": time,
        "source_metadata": {
            "source_name": f"genbench {board.benchmark}",
            "source_type": "evaluation_run",
            "source_organization_name": "genbench",
            "evaluator_relationship": "other",
        },
        "eval_library": {
            "name": "genbench",
            "version": software.pop("genbench", "unknown"),
            "additional_details": software,
        },
        "model_info": {"name": model, "id": f"genbench/{model}", "additional_details": identity},
        "evaluation_results": [_result(board, row, seeds_text(seeds)) for row in rows],
    }


def _result(board: Ranking, row: Result, seeds: str) -> dict[str, Any]:
    metric: dict[str, Any] = {
        "metric_id": f"genbench.{row.column}",
        "metric_name": row.title,
        "lower_is_better": row.better != "higher",
    }
    if row.unit:
        metric["metric_unit"] = row.unit
    if row.column in SHARES:
        metric |= {"score_type": "continuous", "min_score": 0, "max_score": 1, "metric_unit": "proportion"}
    if row.better == "zero":
        metric["additional_details"] = {"best": "0, from either side"}
    source: dict[str, Any] = {"dataset_name": row.benchmark, "source_type": "other"}
    if row.features:
        source["additional_details"] = {"features": row.features, "reference": str(row.reference)}
    details = {"protocol": row.protocol, "kind": row.kind, "remark": row.detail, "biased": "yes" if row.biased else ""}
    return {
        "evaluation_result_id": f"{row.column}-{row.protocol}-{row.seed}",
        "evaluation_name": f"genbench.{board.benchmark}.{row.column}",
        "source_data": source,
        "evaluation_timestamp": row.time,
        "metric_config": metric,
        "score_details": {
            "score": row.value,
            "details": {name: text for name, text in details.items() if text},
            "uncertainty": _uncertainty(row),
        },
        "generation_config": {"additional_details": {"samples": str(row.n), "seed": seeds}},
    }


def _uncertainty(row: Result) -> dict[str, Any]:
    said: dict[str, Any] = {"num_samples": row.n}
    if row.stderr is not None:
        said["standard_error"] = {"value": row.stderr, "method": "over the draw of the samples, the real items fixed"}
    if row.low is not None and row.high is not None:
        said["confidence_interval"] = {"lower": row.low, "upper": row.high, "confidence_level": LEVEL}
    return said

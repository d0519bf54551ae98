"""Records in the schema of Every Eval Ever, held to the one that the package every-eval-ever 0.3.0 ships.

``tests/every_eval_ever/`` has it, with its licence.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from rows import ROW

from genbench.cli import main
from genbench.leaderboard import boards, every_eval
from genbench.storage import results

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "tests" / "every_eval_ever" / "eval.schema.json").read_text())
ROWS = [
    replace(ROW, software="genbench=0.1.0 torch=2.8"),
    replace(ROW, column="precision", title="precision", better="higher", value=0.8, stderr=0.01, place=1),
    replace(ROW, column="memorization", title="C_T", better="zero", value=-1.0, place=2, low=-3.0, high=1.0),
    replace(ROW, column="nll", value=None, stderr=None, status="unsupported", detail="no log_prob", place=3),
]


def valid(record):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft7Validator(SCHEMA).validate(record)
    return record


def test_the_schema_is_the_one_that_records_name():
    assert SCHEMA["version"] == every_eval.SCHEMA


def test_a_committed_board_is_in_the_schema():
    (board,) = boards.boards([ROOT / "leaderboards" / "weather"])
    assert len([valid(record) for record in every_eval.records(board)]) > 5


def test_a_record_holds_every_number_with_its_error():
    (record,) = map(valid, every_eval.records(boards.Board.of(ROWS)))
    assert record["eval_library"]["version"] == "0.1.0"
    fid, precision, memorization = record["evaluation_results"]
    assert fid["score_details"]["score"] == 10.0
    assert fid["score_details"]["uncertainty"]["standard_error"]["value"] == 0.5
    assert fid["metric_config"]["lower_is_better"] is True
    assert "score_type" not in fid["metric_config"], "FID has no largest value, which a continuous score must state"
    assert precision["metric_config"]["lower_is_better"] is False
    assert precision["metric_config"]["max_score"] == 1
    assert memorization["metric_config"]["additional_details"] == {"best": "0, from either side"}
    assert memorization["score_details"]["uncertainty"]["confidence_interval"] == {
        "lower": -3.0,
        "upper": 1.0,
        "confidence_level": 0.95,
    }


def test_records_are_the_same_every_time_and_name_their_seeds():
    rows = [*ROWS, *(replace(row, seed=1) for row in ROWS)]
    (first,), again = (list(every_eval.records(boards.Board.of(rows))) for _ in range(2))
    assert [first] == again
    assert "/seed-0-1-" in first["evaluation_id"]
    assert valid(first)["model_info"]["additional_details"]["seed"] == "0, 1"


def test_the_command_prints_a_line_for_each_model(tmp_path):
    results.append(tmp_path / "results.jsonl", [*ROWS, replace(ROW, model="gan")])
    done = CliRunner().invoke(main, ["leaderboard", str(tmp_path), "--format", "eee"])
    records = [valid(json.loads(line)) for line in done.stdout.splitlines()]
    assert {record["model_info"]["name"] for record in records} == {"vae", "gan"}
    refused = CliRunner().invoke(main, ["leaderboard", str(tmp_path), "--history", "vae", "--format", "eee"])
    assert refused.exit_code == 2

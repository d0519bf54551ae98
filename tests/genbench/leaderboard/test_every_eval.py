"""Records in the schema of Every Eval Ever, held to what its version 0.2.2 asks of the fields that are used."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from rows import ROW

from genbench.cli import main
from genbench.leaderboard import boards, every_eval
from genbench.storage import results

TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
NAMED = {"type": "object", "properties": {"additional_details": TEXTS}}
TEXT, NUMBER = {"type": "string"}, {"type": "number"}
METRIC = {
    "type": "object",
    "required": ["lower_is_better"],
    "properties": {
        **dict.fromkeys(("metric_id", "metric_name", "metric_unit"), TEXT),
        "lower_is_better": {"type": "boolean"},
        "score_type": {"enum": ["binary", "continuous", "levels"]},
        "min_score": NUMBER,
        "max_score": NUMBER,
        "additional_details": TEXTS,
    },
    "if": {"required": ["score_type"], "properties": {"score_type": {"const": "continuous"}}},
    "then": {"required": ["min_score", "max_score"]},
}
UNCERTAINTY = {
    "type": "object",
    "properties": {
        "standard_error": {"type": "object", "required": ["value"], "properties": {"value": NUMBER, "method": TEXT}},
        "confidence_interval": {
            "type": "object",
            "required": ["lower", "upper"],
            "properties": {"lower": NUMBER, "upper": NUMBER},
        },
        "num_samples": {"type": "integer"},
    },
}
SCORE = {
    "type": "object",
    "required": ["score"],
    "properties": {"score": NUMBER, "details": TEXTS, "uncertainty": UNCERTAINTY},
}
RESULT = {
    "type": "object",
    "required": ["evaluation_name", "source_data", "metric_config", "score_details"],
    "properties": {
        "evaluation_name": TEXT,
        "source_data": {
            "type": "object",
            "required": ["dataset_name", "source_type"],
            "properties": {"source_type": {"const": "other"}, "additional_details": TEXTS},
        },
        "metric_config": METRIC,
        "score_details": SCORE,
    },
}
RECORD = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        *("schema_version", "evaluation_id", "retrieved_timestamp", "source_metadata", "model_info", "eval_library"),
        "evaluation_results",
    ],
    "properties": {
        **dict.fromkeys(("schema_version", "evaluation_id", "evaluation_timestamp", "retrieved_timestamp"), TEXT),
        "source_metadata": {
            "type": "object",
            "required": ["source_type", "source_organization_name", "evaluator_relationship"],
            "properties": {
                "source_type": {"enum": ["documentation", "evaluation_run"]},
                "evaluator_relationship": {"enum": ["first_party", "third_party", "collaborative", "other"]},
            },
        },
        "eval_library": {
            "type": "object",
            "required": ["name", "version"],
            "properties": {"additional_details": TEXTS},
        },
        "model_info": NAMED | {"required": ["name", "id"]},
        "evaluation_results": {"type": "array", "items": RESULT},
    },
}
ROWS = [
    replace(ROW, software="genbench=0.1.0 torch=2.8"),
    replace(ROW, column="precision", title="precision", better="higher", value=0.8, stderr=0.01, place=1),
    replace(ROW, column="memorization", title="C_T", better="zero", value=-1.0, place=2, low=-3.0, high=1.0),
    replace(ROW, column="nll", value=None, stderr=None, status="unsupported", detail="no log_prob", place=3),
]


def valid(record):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(record, RECORD, cls=jsonschema.Draft7Validator)
    return record


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
    assert memorization["score_details"]["uncertainty"]["confidence_interval"] == {"lower": -3.0, "upper": 1.0}


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

"""A row is valid or is not made; whatever strangers say in it, it can be written and read again."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from rows import ROW

from genbench.errors import ResultsError
from genbench.storage import results, rows
from genbench.storage.rows import from_record, to_line

NOTHING = {"value": None, "stderr": None, "status": "failed"}


@pytest.mark.parametrize(
    "broken",
    [
        {"value": float("nan")},
        {"value": True},
        {"value": "1"},
        {"value": 10**400},
        {"stderr": -0.1},
        {"stderr": float("inf")},
        {"total_stderr": float("nan")},
        {"low": 2.0, "high": 1.0},
        {"low": float("-inf"), "high": 1.0},
        {"n": -1},
        {"n": 1.5},
        {"n": True},
        {"seed": 2**60},
        {"digits": 21},
        {"place": -1},
        {"seconds": None},
        {"seconds": -1.0},
        {"better": "up"},
        {"kind": "guess"},
        {"status": "fine"},
        {"model": None},
        {"time": "yesterday"},
        NOTHING | {"status": "ok"},
        {"status": "failed"},
    ],
)
def test_impossible_rows_are_not_made(broken):
    with pytest.raises(ValueError, match=r"."):
        replace(ROW, **broken)


def test_numpy_numbers_become_plain_ones():
    row = replace(ROW, value=np.float32(1.5), n=np.int64(7), biased=np.bool_(True), stderr=1)
    assert from_record(json.loads(to_line(row))) == row
    assert [type(value) for value in (row.value, row.n, row.biased, row.stderr)] == [float, int, bool, float]


@pytest.mark.parametrize("text", ["\ud800 lone", "x" * 20_000, "\x00\x1b[31m\u202e", "[bold]x[/]", 'a "quoted"\nline'])
def test_whatever_a_stranger_says_can_be_kept(tmp_path, text):
    row = replace(ROW, model=text, detail=text, **NOTHING)
    results.append(tmp_path / "results.jsonl", [row])
    assert results.read(tmp_path / "results.jsonl") == [row]
    assert len(row.detail) <= rows.LONGEST_TEXT


def test_every_field_is_under_the_checksum(tmp_path):
    record = json.loads(to_line(ROW))
    for name in rows.NAMES:
        changed = {
            "better": "higher",
            "kind": "exact",
            "time": "2026-11-01T12:00:01+00:00",
            "biased": True,
            "schema": 3,
            "status": "failed",
        }.get(name, record[name] + "x" if isinstance(record[name], str) else (record[name] or 0) + 1)
        with pytest.raises(ValueError, match=r"checksum|schema|exactly when|interval"):
            from_record(record | {name: changed})
    assert from_record(dict(reversed(record.items()))) == ROW, "the order of keys says nothing"


@pytest.mark.parametrize(
    "line",
    [
        b'{"schema": 2}',
        b'{"schema": 2, "model": "x", "model": "y"}',
        b"null",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"\xff\xfe",
        b"9" * 5000,
        b'{"schema": 2e400}',
        b'{"schema": ' + b"1" * 400 + b"}",
        b'{"schema": true}',
    ],
)
def test_malformed_lines_are_one_line(tmp_path, line):
    path = tmp_path / "results.jsonl"
    path.write_bytes(line + b"\n" + to_line(ROW).encode() + b"\n")
    with pytest.raises(ResultsError, match=r"line 1 is not a result row .*; remove that line") as caught:
        results.read(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))


def test_extra_fields_are_refused():
    record = json.loads(to_line(ROW))
    with pytest.raises(ValueError, match="a field 'comment' that rows do not have"):
        from_record(record | {"comment": "x"})


def test_a_row_counts_again_when_its_model_version_returns():
    good, other = ROW, replace(ROW, model_version="y", value=3.0)
    failed = replace(ROW, **NOTHING)
    assert results.current([good, replace(other, **NOTHING), failed]) == [good]
    assert results.current([good, other, failed]) == [good]
    unsupported = replace(ROW, value=None, stderr=None, status="unsupported")
    assert results.current([unsupported, failed]) == [unsupported]
    assert results.current([good, unsupported]) == [unsupported], "the newest of what did not fail"


@pytest.mark.parametrize(
    ("time", "included"),
    [
        ("2026-10-31", False),
        ("2026-11-01", True),
        ("2026-11-01T11:59:59", False),
        ("2026-11-01T12:00", True),
        ("2026-11-01T13:00+02:00", False),
        ("2026-11-01T14:00+02:00", True),
    ],
)
def test_a_date_means_all_of_that_day(time, included):
    assert results.as_of([ROW], time) == [ROW] * included


def test_a_table_of_rows_has_their_intervals():
    table = results.as_table([replace(ROW, low=9.0, high=11.5, total_stderr=0.7), replace(ROW, **NOTHING)])
    assert table.loc["fid", ["low", "high", "total_stderr"]].iloc[0].tolist() == [9.0, 11.5, 0.7]
    assert table["low"].isna().tolist() == [False, True]


def test_a_protocol_that_hashes_to_another_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the fingerprint of the protocol called abc"):
        results.note_protocols(tmp_path / "results.jsonl", {"abc": {"n": 1}})
    odd = {"tuple": (1, 2), "path": tmp_path, "nested": {"b": 1, "a": None}, "infinite": float("inf")}
    key = results.fingerprint(odd)
    results.note_protocols(tmp_path / "results.jsonl", {key: odd})
    assert results.protocols(tmp_path / "results.jsonl")[key]["tuple"] == [1, 2]

"""The results file: rows survive kills, several writers and torn lines, and no failure becomes a number."""

from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import fields, replace

import pytest
from rows import ROW

from genbench.errors import ResultsError
from genbench.storage import results
from genbench.storage.results import Result
from genbench.storage.rows import to_line


def test_rows_come_back_as_written(tmp_path):
    path = tmp_path / "new" / "results.jsonl"
    rows = [ROW, replace(ROW, column="nll", value=None, stderr=None, status="unsupported", detail="no log_prob")]
    results.append(path, rows[:1])
    results.append(path, rows[1:])
    assert results.read(path) == rows
    assert [list(json.loads(line)) for line in path.read_text().splitlines()] == [
        [*(f.name for f in fields(Result)), "check"]
    ] * 2


def test_a_missing_file_has_no_rows(tmp_path):
    assert results.read(tmp_path / "results.jsonl") == []


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_torn_last_line_is_ignored_then_replaced(tmp_path, cut):
    path = tmp_path / "results.jsonl"
    results.append(path, [ROW])
    line = to_line(replace(ROW, model="gan"))
    path.write_text(path.read_text() + line[:cut])
    with pytest.warns(UserWarning, match="torn"):
        assert results.read(path) == [ROW]
    results.append(path, [replace(ROW, model="flow")])
    assert [row.model for row in results.read(path)] == ["vae", "flow"]


def test_a_last_line_that_only_lacks_its_newline_is_kept(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text(to_line(ROW))
    results.append(path, [replace(ROW, model="flow")])
    assert [row.model for row in results.read(path)] == ["vae", "flow"]


@pytest.mark.parametrize("line", ["nonsense", '{"schema": 1}', '{"schema": 99}', "[]"])
def test_a_damaged_line_in_the_middle_is_named(tmp_path, line):
    path = tmp_path / "results.jsonl"
    path.write_text(line + "\n" + to_line(ROW) + "\n")
    with pytest.raises(ResultsError, match="line 1"):
        results.read(path)


def test_the_newest_row_counts_and_every_row_is_kept(tmp_path):
    path = tmp_path / "results.jsonl"
    other = [replace(ROW, protocol="other"), replace(ROW, seed=1), replace(ROW, column="is")]
    results.append(path, [ROW, *other, replace(ROW, value=2.0)])
    rows = results.read(path)
    assert len(rows) == 5
    assert results.current(rows) == [replace(ROW, value=2.0), *other]


def test_a_failure_never_replaces_a_good_row_of_the_same_model():
    failure = {"value": None, "stderr": None, "status": "failed", "detail": "it broke"}
    failed = replace(ROW, **failure)
    assert results.current([ROW, failed]) == [ROW]
    assert results.current([failed, ROW]) == [ROW]
    changed = replace(ROW, model_version="y", **failure)
    assert results.current([ROW, changed]) == [changed], "another version that fails is news"
    unknown = replace(ROW, model_version="", **failure)
    assert results.current([ROW, unknown]) == [ROW], "that a module cannot be imported says nothing of the model"


def test_rows_can_be_asked_for_as_of_a_date():
    later = replace(ROW, value=2.0, time="2026-11-02T00:30:00+00:00")
    assert results.as_of([ROW, later], "2026-11-01") == [ROW]
    assert results.as_of([ROW, later], "2026-11-02") == [ROW, later]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"value": 10.0', '"value": 9.0'),
        ('"value": 10.0', '"value": NaN'),
        ('"value": 10.0', '"value": "10.0"'),
        ('"n": 1000', '"n": 1000.5'),
        ('"n": 1000', f'"n": {"9" * 400}'),
        ('"model": "vae"', '"model": ["vae"]'),
        ('"detail": ""', '"detail": "\\ud800"'),
        ('"detail": ""', '"detail": ' + "[" * 5000 + "]" * 5000),
        ('"biased": false', '"biased": 0'),
    ],
)
def test_an_edited_line_is_refused_in_one_line(tmp_path, before, after):
    path = tmp_path / "results.jsonl"
    line = to_line(ROW)
    assert before in line
    path.write_text(line.replace(before, after) + "\n" + line + "\n")
    with pytest.raises(ResultsError, match="line 1 is not a result row") as caught:
        results.read(path)
    assert "\n" not in str(caught.value)


def test_rows_of_an_earlier_schema_are_told_apart(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text('{"schema": 1, "model": "vae"}\n')
    with pytest.raises(ResultsError, match="written by an earlier genbench"):
        results.read(path)


def test_protocols_lie_beside_the_rows_once_each(tmp_path):
    path = tmp_path / "results.jsonl"
    protocol = {"metric": "fid", "parameters": {"k": 3}}
    key = results.fingerprint(protocol)
    results.note_protocols(path, {key: protocol})
    results.note_protocols(path, {key: protocol})
    assert results.protocols(path) == {key: protocol}
    beside = tmp_path / "protocols.jsonl"
    assert len(beside.read_text().splitlines()) == 1
    beside.write_text(beside.read_text().replace('"k": 3', '"k": 5'))
    with pytest.raises(ResultsError, match="its fingerprint does not fit"):
        results.protocols(path)


def test_devices_and_pipes_are_no_results(tmp_path):
    os.mkfifo(tmp_path / "results.jsonl")
    with pytest.raises(ResultsError, match="no regular file"):
        results.read(tmp_path / "results.jsonl")
    with pytest.raises(ResultsError, match="no regular file"):
        results.append(tmp_path / "results.jsonl", [ROW])


def _write_many(path, model):
    for seed in range(20):
        results.append(path, [replace(ROW, model=model, seed=seed), replace(ROW, model=model, seed=seed, column="is")])


def test_several_processes_share_a_file(tmp_path):
    path = tmp_path / "results.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(path, f"m{i}")) for i in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    rows = results.read(path)
    assert len(rows) == len({row.key for row in rows}) == 4 * 20 * 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="choose another folder with --out"):
        results.append(tmp_path / "file" / "results.jsonl", [ROW])


@pytest.mark.parametrize(
    "broken", [{"value": None}, {"status": "failed"}, {"value": float("nan")}, {"value": float("inf")}]
)
def test_a_failure_is_never_a_number(broken):
    with pytest.raises(ValueError, match=r"value|status"):
        replace(ROW, **broken)


def test_every_field_of_a_protocol_changes_its_fingerprint():
    protocol = {"n": 1000, "k": 3, "data": "abc", "effort": {"importance_samples": 64}, "features": None}
    base = results.fingerprint(protocol)
    changed = [results.fingerprint(protocol | {field: "other"}) for field in protocol]
    changed.append(results.fingerprint(protocol | {"effort": {"importance_samples": 65}}))
    changed.append(results.fingerprint(protocol | {"new": 1}))
    assert len({base, *changed}) == len(changed) + 1
    assert results.fingerprint(dict(reversed(protocol.items()))) == base

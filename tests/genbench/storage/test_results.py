"""The results file: rows survive kills, several writers and torn lines, and no failure becomes a number."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import asdict, fields, replace

import pytest

from genbench.errors import ResultsError
from genbench.storage import results
from genbench.storage.results import Result

ROW = Result(1, "vae", "digits", "fid", 1.5, 0.1, "ok", "", "", 1000, 0, "abc", 2.0, "genbench=0.1.0 model=f00")


def test_rows_come_back_as_written(tmp_path):
    path = tmp_path / "new" / "results.jsonl"
    rows = [ROW, replace(ROW, column="nll", value=None, stderr=None, status="unsupported", detail="no log_prob")]
    results.append(path, rows[:1])
    results.append(path, rows[1:])
    assert results.read(path) == rows
    assert [list(json.loads(line)) for line in path.read_text().splitlines()] == [[f.name for f in fields(Result)]] * 2
    assert ROW.model_version == "f00"


def test_a_missing_file_has_no_rows(tmp_path):
    assert results.read(tmp_path / "results.jsonl") == []


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_torn_last_line_is_ignored_then_replaced(tmp_path, cut):
    path = tmp_path / "results.jsonl"
    results.append(path, [ROW])
    line = json.dumps(asdict(replace(ROW, model="gan")))
    path.write_text(path.read_text() + line[:cut])
    with pytest.warns(UserWarning, match="torn"):
        assert results.read(path) == [ROW]
    results.append(path, [replace(ROW, model="flow")])
    assert [row.model for row in results.read(path)] == ["vae", "flow"]


def test_a_last_line_that_only_lacks_its_newline_is_kept(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps(asdict(ROW)))
    results.append(path, [replace(ROW, model="flow")])
    assert [row.model for row in results.read(path)] == ["vae", "flow"]


@pytest.mark.parametrize("line", ["nonsense", '{"schema": 1}', '{"schema": 99}', "[]"])
def test_a_damaged_line_in_the_middle_is_named(tmp_path, line):
    path = tmp_path / "results.jsonl"
    path.write_text(line + "\n" + json.dumps(asdict(ROW)) + "\n")
    with pytest.raises(ResultsError, match="line 1"):
        results.read(path)


def test_newer_rows_replace_older_ones_of_the_same_key(tmp_path):
    path = tmp_path / "results.jsonl"
    other = [replace(ROW, protocol="other"), replace(ROW, seed=1), replace(ROW, column="is")]
    results.append(path, [ROW, *other, replace(ROW, value=2.0)])
    results.compact(path)
    rows = results.read(path)
    assert rows == [replace(ROW, value=2.0), *other]
    before = path.stat().st_mtime_ns
    results.compact(path)
    assert path.stat().st_mtime_ns == before, "nothing to drop, nothing written"


def test_columns_stand_in_the_benchmarks_order_whenever_they_were_computed(tmp_path):
    path = tmp_path / "results.jsonl"
    late = [replace(ROW, model="b"), replace(ROW, model="b", column="is"), replace(ROW, column="is")]
    results.append(path, [*late, replace(ROW, column="old"), ROW])
    results.compact(path, ["is", "fid"])
    assert [(row.model, row.column) for row in results.read(path)] == [
        *(("b", "is"), ("b", ROW.column)),
        *((ROW.model, "is"), (ROW.model, ROW.column), (ROW.model, "old")),
    ]


def _write_many(path, model):
    for seed in range(20):
        results.append(path, [replace(ROW, model=model, seed=seed), replace(ROW, model=model, seed=seed, column="is")])
        if seed % 7 == 0:
            results.compact(path)


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
    with pytest.raises(ValueError, match="value"):
        replace(ROW, **broken)


def test_every_field_of_a_protocol_changes_its_fingerprint():
    protocol = {"n": 1000, "k": 3, "data": "abc", "effort": {"importance_samples": 64}, "features": None}
    base = results.fingerprint(protocol)
    changed = [results.fingerprint(protocol | {field: "other"}) for field in protocol]
    changed.append(results.fingerprint(protocol | {"effort": {"importance_samples": 65}}))
    changed.append(results.fingerprint(protocol | {"new": 1}))
    assert len({base, *changed}) == len(changed) + 1
    assert results.fingerprint(dict(reversed(protocol.items()))) == base

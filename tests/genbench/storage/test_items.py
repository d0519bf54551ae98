"""What held-out items add to a number: found for the very row that is their mean, and for no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rows import ROW

from genbench.storage import items as storage
from genbench.storage.items import Column, Items, Lookup

VALUES = np.linspace(-40, -20, 500) + 1e-4
NLL = replace(ROW, column="nll", value=30.0, kind="exact")


def items(values=VALUES, **changes):
    columns = changes.pop("columns", {"nll": Column("p1", 30.0, 1.0)})
    return Items(
        "digits", **{"model": "vae", "version": "x", "seed": 0, "error": 0.5} | changes, columns=columns, values=values
    )


def of(folder, row):
    return Lookup(folders=[folder]).of(row)


def test_items_come_back_as_they_were_but_for_the_rounding_of_float32(tmp_path):
    storage.save(tmp_path, items())
    read = of(tmp_path, NLL)
    assert (read.model, read.version, read.seed, read.error) == ("vae", "x", 0, 0.5)
    assert read.columns == {"nll": Column("p1", 30.0, 1.0)}
    assert read.values == pytest.approx(VALUES, rel=1e-6)
    assert read.values.dtype == np.float64
    file = tmp_path / "log_probs" / "vae.npz"
    bytes_before = file.read_bytes()
    storage.save(tmp_path, items())
    assert file.read_bytes() == bytes_before, (
        "the same items make the same file, so that version control sees no change"
    )
    assert file.stat().st_size < 500 * 4 + 1000


def test_seeds_have_files_of_their_own_and_new_items_replace_old_ones(tmp_path):
    storage.save(tmp_path, items())
    storage.save(tmp_path, items(seed=1))
    assert sorted(path.name for path in (tmp_path / "log_probs").iterdir()) == ["vae.npz", "vae@1.npz"]
    storage.save(tmp_path, items(columns={"gap": Column("p2", 3.0, 1.0)}))
    gap = replace(NLL, column="gap", protocol="p2", value=3.0)
    assert of(tmp_path, NLL) is not None
    assert of(tmp_path, gap) is not None, "the same items stand behind both"
    storage.save(tmp_path, items(VALUES + 1, columns={"gap": Column("p2", 2.0, 1.0)}))
    assert of(tmp_path, NLL) is None
    assert of(tmp_path, gap) is None
    assert of(tmp_path, replace(gap, value=2.0)) is not None
    assert of(tmp_path, replace(NLL, seed=1)) is not None


@pytest.mark.parametrize(
    "changes",
    [{"protocol": "p2"}, {"value": 30.1}, {"seed": 1}, {"model_version": "y"}, {"column": "bpd"}, {"model": "gan"}],
)
def test_items_belong_to_the_very_row_that_they_were_kept_for(changes):
    lookup = Lookup([items()])
    assert lookup.of(NLL) is not None
    assert lookup.of(replace(NLL, **changes)) is None


def test_parts_of_other_numbers_have_a_file_for_each_column(tmp_path):
    errors = np.linspace(0.1, 0.3, 500)
    rmse, accuracy = (replace(ROW, column=column, value=0.2, kind="") for column in ("paired_error", "accuracy"))
    for row in (rmse, accuracy):
        storage.save(tmp_path, storage.behind({row: 1.0}, errors, log_probs=False))
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.npz"))
    assert names == [f"parts/{rmse.model}.accuracy.npz", f"parts/{rmse.model}.paired_error.npz"]
    assert of(tmp_path, rmse).values == pytest.approx(errors, rel=1e-6)
    assert of(tmp_path, replace(rmse, value=0.21)) is None
    assert of(tmp_path, replace(rmse, column="cycle_error")) is None


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"no archive"])
def test_a_damaged_file_counts_as_absent(tmp_path, damage):
    storage.save(tmp_path, items())
    storage.save(tmp_path, items(model="gan"))
    (tmp_path / "log_probs" / "vae.npz").write_bytes(damage)
    assert of(tmp_path, NLL) is None
    assert of(tmp_path, replace(NLL, model="gan")) is not None
    storage.save(tmp_path, items())
    assert of(tmp_path, NLL) is not None
    np.savez(tmp_path / "log_probs" / "vae.npz", log_prob=VALUES, about=np.array('{"format": 99, "columns": {}}'))
    assert of(tmp_path, NLL) is None

"""A number has as many digits as its error allows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rows import ROW

from genbench.storage.formatting import cell_text, heading, listing
from genbench.storage.names import file_name


@pytest.mark.parametrize(
    ("value", "stderr", "shown"),
    [
        (0.76429, 0.46638, "0.76 ± 0.47"),
        (1485.59, 10.77, "1486 ± 11"),
        (1485.59, 123.4, "1490 ± 120"),
        (9.61159, 0.00529, "9.6116 ± 0.0053"),
        (12.3456, 0.0996, "12.35 ± 0.10"),
        (12.3456, 9.96, "12 ± 10"),
        (-0.00001234, 0.0000021, "-0.0000123 ± 0.0000021"),
        (-0.001, 0.5, "0.00 ± 0.50"),
        (181.3345, 0.0, "181.33 ± 0.00"),
        (181.3345, 1e-14, "181.33 ± 0.00"),
        (181.3345, 1e-4, "181.33 ± 0.00"),
        (12.3456, None, "12.35"),
        (1e300, 1e298, "1e+300 ± 1e+298"),
        (1.5e-12, 2e-13, "1.5e-12 ± 2e-13"),
    ],
)
def test_digits_follow_the_error(value, stderr, shown):
    assert cell_text(replace(ROW, value=value, stderr=stderr)) == shown


def test_intervals_stand_where_they_say_more_than_the_error():
    perfect = replace(ROW, value=1.0, stderr=0.0, low=0.9963, high=1.0, digits=3)
    assert cell_text(perfect) == "1.0000 [0.9963, 1.0000]", "never 1.000 ± 0.000"
    assert cell_text(replace(perfect, value=0.9, stderr=0.01, low=0.88, high=0.92)) == "0.900 ± 0.010"
    estimate = replace(ROW, value=24.0, stderr=0.5, low=23.9, high=24.25, kind="estimate")
    assert cell_text(estimate) == "~ 24.00 [23.90, 24.25] ± 0.50"
    assert cell_text(replace(estimate, low=None)) == "~ 24.00 ± 0.50"
    assert cell_text(replace(ROW, kind="lower_bound")) == "<= 10.00 ± 0.50"


def test_a_listing_puts_what_has_no_number_last_and_no_control_character_through():
    failed = replace(ROW, column="is", title="IS", better="higher", value=None, stderr=None, status="failed")
    text = listing([replace(failed, detail="it\x1b[2J broke\nhere"), ROW])
    assert text.splitlines() == ["FID ↓  10.00 ± 0.50", "IS ↑              —  failed: it\\x1b[2J broke\\nhere"]
    assert heading(replace(ROW, better="zero", unit="nats")) == "FID →0 (nats)"


def test_names_of_models_become_names_of_files():
    assert file_name("package.module:make") == "package.module-make"
    assert file_name("../../etc/passwd") == "etc-passwd"
    assert file_name("...") == "model"
    assert len(file_name("x" * 1000)) == 100
    assert file_name("x" * 1000) != file_name("x" * 1001)
    assert file_name("\ud800" + "x" * 200).encode(), "a name that cannot be written is hashed all the same"

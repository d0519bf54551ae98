"""The file of timings and the table made of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import table
from table import Timing

ROW = Timing("a processor, 2 cores", 2, "FID", "1,000 and 1,000 features", 0.5, "a-peer", 1.5, 3.0)


def test_new_timings_take_the_place_of_old_ones_of_the_same_thing_alone(tmp_path: Path):
    path = tmp_path / "boards" / "speed.csv"
    other = replace(ROW, machine="another")
    table.write([ROW, other], path)
    faster = replace(ROW, genbench=0.25, ratio=6.0)
    table.write([faster], path)
    assert table.read(path) == [other, faster]
    assert path.read_text().splitlines()[0] == "machine,threads,what,size,genbench,peer_name,peer,ratio,load,clock"


def test_the_table_has_a_line_for_each_size_and_names_the_machine():
    text = table.markdown([ROW, replace(ROW, peer_name="b-peer", ratio=10.0), replace(ROW, size="2,000")])
    assert "a processor, 2 cores, 2 threads:" in text
    assert "| FID | 1,000 and 1,000 features | 0.5 s | a-peer 3.0, b-peer 10.0 |" in text.splitlines()
    assert len(text.splitlines()) == 6
    assert table.markdown([ROW, replace(ROW, what=table.ASIDE)]) == table.markdown([ROW])
    assert "2 threads (beside other work, load up to 4.5):" in table.markdown([replace(ROW, load=4.5)])
    assert "2 threads, seconds of the processor:" in table.markdown([replace(ROW, clock="processor")])


def test_a_group_names_what_and_size():
    assert table.split("FID of 10,000 and 10,000 features, D = 2048") == ("FID", "10,000 and 10,000 features, D = 2048")
    assert table.split("trace of the root, D = 2048") == ("trace of the root", "D = 2048")
    assert table.split("resize") == ("resize", "")
    assert table.processor()

"""Known faults: each is what its name says, as strong as it says, and metrics are held to what they see of it."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from matplotlib.colors import to_rgb
from PIL import Image
from rows import ROW

import genbench
from genbench.cli.entry import main
from genbench.errors import InputError
from genbench.evaluation import benchmarks, sanity
from genbench.evaluation.faults import FAULTS, Faulty
from genbench.leaderboard.sanity import COLOURS, Reading, ink_on, readings, save, seen_from, sheet
from genbench.seeding import scoped

BY_NAME = {fault.name: fault for fault in FAULTS}


@pytest.fixture(scope="module")
def material():
    return sanity.prepared(benchmarks.load("digits", metrics=["fid"], n=300))[1]


def samples(material, name, strength, n=300):
    with scoped("faults"):
        return Faulty(material, BY_NAME[name] if name else None, strength).sample(n)


def rows_of(x):
    return {bytes(item.numpy().tobytes()) for item in x}


def share_in(x, items):
    held = rows_of(items)
    return sum(item.numpy().tobytes() in held for item in x) / len(x)


def test_fresh_items_are_in_neither_split_and_none_is_drawn_twice(material):
    data = benchmarks.load("digits", metrics=["fid"]).dataset
    assert len(material.fresh) + len(material.train) == len(data.train)
    assert rows_of(material.fresh) | rows_of(material.train) == rows_of(data.train)
    drawn = samples(material, "", 0.0, len(material.fresh))
    assert rows_of(drawn) == rows_of(material.fresh)
    assert share_in(drawn, material.train) < 0.02


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_is_a_sound_generator_that_changes_more_the_stronger_it_is(material, fault):
    assert list(fault.strengths) == sorted(fault.strengths)
    plain = samples(material, "", 0.0)
    changed = []
    for strength in fault.strengths:
        generator = Faulty(material, fault, strength)
        genbench.check(generator)
        changed.append(1 - share_in(samples(material, fault.name, strength), plain))
    if fault.name in ("missing classes", "skewed classes", "one image per class"):
        different = [len(rows_of(samples(material, fault.name, strength))) for strength in fault.strengths]
        assert different == sorted(different, reverse=True), "fewer different items"
        assert different[0] > different[-1]
    else:
        assert changed == sorted(changed)
        assert changed[-1] > changed[0] or changed[0] == 1


def test_faults_are_as_strong_as_they_say(material):
    assert share_in(samples(material, "copies of training items", 0.25), material.train) == pytest.approx(
        0.25, abs=0.02
    )
    assert share_in(samples(material, "copies of held-out items", 0.5), material.heldout) == pytest.approx(
        0.5, abs=0.02
    )
    assert len(rows_of(samples(material, "one image per class", 1.0))) == 10
    labels = {item.numpy().tobytes(): int(label) for item, label in zip(material.fresh, material.labels, strict=True)}
    classes = [labels[item.numpy().tobytes()] for item in samples(material, "missing classes", 0.3)]
    assert len(set(classes)) == 7
    assert len({labels[i.numpy().tobytes()] for i in samples(material, "missing classes", 1.0)}) == 1
    skewed = [labels[item.numpy().tobytes()] for item in samples(material, "skewed classes", 0.5)]
    assert skewed.count(9) / len(skewed) == pytest.approx(0.55, abs=0.06)
    plain = samples(material, "", 0.0).double()
    noisy = samples(material, "noisy", 0.05).double()
    middle = (plain > 4) & (plain < 12)
    assert (noisy - plain)[middle].std().item() == pytest.approx((0.8**2 + 1 / 12) ** 0.5, rel=0.1)
    shuffled = samples(material, "shuffled pixels", 1.0)
    assert torch.equal(shuffled.flatten(1).sort().values, samples(material, "", 0.0).flatten(1).sort().values)
    spread = [samples(material, "blurred", sigma).double().diff(dim=-1).abs().mean().item() for sigma in (0.4, 0.8)]
    assert plain.diff(dim=-1).abs().mean().item() > spread[0] > spread[1]


def test_what_the_data_does_not_allow_is_left_out(material):
    unlabelled = replace(material, labels=None)
    assert not BY_NAME["missing classes"].fits(unlabelled)
    assert BY_NAME["blurred"].fits(unlabelled)
    sequences = replace(unlabelled, spec=genbench.SampleSpec((64,), 17))
    assert not BY_NAME["blurred"].fits(sequences)
    assert BY_NAME["noisy"].fits(sequences)
    with pytest.raises(InputError, match="no metric of weather reads samples"):
        sanity.prepared(benchmarks.load("weather", metrics=["likelihood"]))


def faulty(values, stderr=1.0, **changes):
    return [("f", "share", float(i), [replace(ROW, value=v, stderr=stderr, **changes)]) for i, v in enumerate(values)]


def test_a_column_reacts_in_its_direction_beyond_its_error():
    real = [replace(ROW, value=10.0, stderr=1.0)]
    assert [r.verdict for r in readings(real, faulty([11.0, 20.0, 30.0]))] == ["same", "worse", "worse"]
    assert [r.verdict for r in readings(real, faulty([0.0], better="lower"))] == ["better"]
    higher = [replace(real[0], better="higher")]
    assert [r.verdict for r in readings(higher, faulty([0.0], better="higher"))] == ["worse"]
    zero = [replace(real[0], value=0.5, better="zero")]
    assert [r.verdict for r in readings(zero, faulty([-9.0, 0.0], better="zero"))] == ["worse", "same"]
    assert [r.verdict for r in readings(real, faulty([99.0], stderr=None))] == ["unknown"]
    # One of two thousand equal numbers is not told apart, where two of a hundred would be by tests one by one.
    assert {r.verdict for r in readings(real, faulty([13.0] + [10.0] * 100))} == {"same"}


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ("same same worse worse", ("worse", 2.0)),
        ("worse same worse worse", ("worse", 2.0)),
        ("worse worse worse worse", ("worse", 0.0)),
        ("worse same same same", ("same", None)),
        ("same same same better", ("better", 3.0)),
        ("worse worse better better", ("better", 2.0)),
        ("unknown unknown unknown unknown", ("unknown", None)),
    ],
)
def test_from_which_strength_on_a_column_reacts(verdicts, expected):
    own = [Reading("f", "share", float(i), ROW, ROW, 0.0, verdict) for i, verdict in enumerate(verdicts.split())]
    assert seen_from(own) == expected


def test_text_has_the_ink_that_is_read_on_its_cell():
    assert (ink_on((0, 0, 0)), ink_on((1, 1, 1))) == ("white", "black")
    assert ink_on(to_rgb(COLOURS["worse"])) == "black", "white on a middle green has a contrast of 3.4"
    # Where both inks have the same contrast, with a grey of this value, it is 4.6.
    assert (ink_on([0.45] * 3), ink_on([0.47] * 3)) == ("white", "black")


def test_the_sheet_says_what_is_praised():
    answers = readings([replace(ROW, value=10.0, stderr=1.0)], faulty([9.0, 1.0]))
    (line,) = sheet(answers).lines
    assert line[-1] == "praised 1"
    assert any("f: praised by FID" in note for note in sheet(answers).notes)


def test_a_column_that_has_no_number_for_a_fault_stays_in_the_table(tmp_path):
    answers = readings(
        [replace(ROW, value=10.0, stderr=1.0), replace(ROW, column="is", title="IS", value=3.0, stderr=0.1, place=1)],
        [*faulty([9.0, 30.0]), ("g", "share", 1.0, [replace(ROW, column="is", value=9.0, stderr=0.1)])],
    )
    assert [line[2:] for line in sheet(answers).lines] == [["1", "?"], ["?", "1"]]
    save(
        answers,
        tmp_path,
        [replace(ROW, title="class FID", value=None, stderr=None, status="unsupported", detail="few")],
    )
    assert (tmp_path / "sanity.png").stat().st_size > 1000
    assert (
        "class FID: not in the table, for want of a number for real items: few" in (tmp_path / "sanity.md").read_text()
    )


def test_the_command_writes_a_table_and_a_picture(tmp_path):
    arguments = [
        "sanity",
        "digits",
        "--metric",
        "fid",
        "--metric",
        "precision-recall",
        "-n",
        "120",
        "--out",
        str(tmp_path),
    ]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "shuffled pixels" in done.output.replace("\n", " ")
    with (tmp_path / "sanity.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert {line["column"] for line in lines} == {"fid", "precision", "recall"}
    assert {line["fault"] for line in lines} == set(BY_NAME)
    assert len(lines) == 3 * sum(len(fault.strengths) for fault in FAULTS)
    verdict = {(line["column"], line["fault"], float(line["strength"])): line["verdict"] for line in lines}
    for column in ("fid", "precision", "recall"):
        assert verdict[column, "shuffled pixels", 1.0] == "worse", "what is no digit at all is seen by every column"
    assert verdict["fid", "missing classes", 1.0] == "worse"
    assert verdict["precision", "missing classes", 1.0] != "worse", "each sample on its own is as good as real"
    text = (tmp_path / "sanity.md").read_text()
    assert "| recall ↑" in text
    with Image.open(tmp_path / "sanity.png") as picture:
        assert min(picture.size) > 250
    before = (tmp_path / "sanity.csv").read_bytes()
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert (tmp_path / "sanity.csv").read_bytes() == before, "the same seed gives the same table"

"""Loss curves: means over even parts of a training, phase by phase, whole again where one was interrupted."""

from __future__ import annotations

import json
import math

from genbench.evaluation.training_curve import POINTS, Curve
from genbench.storage.snapshots import FileSnapshots


def test_a_long_training_leaves_few_points_that_are_means():
    curve = Curve({})
    for step in range(1, 1001):
        curve.add(0, step, 1000, {"loss": float(step)} | ({"validation": 5.0} if step > 900 else {}))
    (phase,) = curve.record()
    assert len(phase["step"]) == POINTS
    assert phase["step"][:2] == [20, 40]
    assert phase["step"][-1] == 1000
    assert phase["loss"][:2] == [10.5, 30.5], "the mean over steps 1 to 20 and 21 to 40"
    assert phase["validation"][0] is None
    assert phase["validation"][-1] == 5.0
    assert json.loads(json.dumps(phase)) == phase


def test_short_trainings_phases_and_numbers_that_are_none():
    curve = Curve({})
    for phase, steps in ((0, 3), (1, 2)):
        for step in range(1, steps + 1):
            curve.add(phase, step, steps, {"loss": math.nan if (phase, step) == (0, 2) else 1.0 + phase})
    first, second = curve.record()
    assert first == {"step": [1, 3], "loss": [1.0, 1.0]}
    assert second == {"step": [1, 2], "loss": [2.0, 2.0]}
    assert Curve({}).record() == []


def test_a_training_that_goes_on_has_the_curve_of_one_that_never_stopped(tmp_path):
    def steps(curve, first, last):
        for step in range(first, last + 1):
            curve.add(0, step, 200, {"loss": 1.0 / step})

    whole = Curve({})
    steps(whole, 1, 200)
    identity = {"model": "m", "benchmark": "b"}
    before = FileSnapshots(tmp_path / "state.pt", identity)
    before.enter()
    steps(Curve(before.notes), 1, 120)
    before.keep({"step": 120})
    steps(Curve(before.notes), 121, 150)  # lost with the process
    after = FileSnapshots(tmp_path / "state.pt", identity)
    after.resume()
    steps(Curve(after.notes), 121, 200)
    assert Curve(after.notes).record() == whole.record()
    steps(taken_back := Curve(before.notes), 121, 200)
    assert taken_back.record() == whole.record(), "after a divergence the steps since then are taken back"

"""Suites name metrics and features that there are."""

from __future__ import annotations

import pytest

from genbench.plugins import registry
from genbench.plugins.bundled import features, metrics
from genbench.plugins.suites import SUITES


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_suites_name_what_there_is(suite):
    known = {card.name: card for card in metrics()}
    assert set(suite.metrics) <= set(known)
    assert len(set(suite.metrics)) == len(suite.metrics)
    extractors = {card.name for card in features()}
    assert suite.features in extractors
    for name in suite.metrics:
        through = getattr(registry.load(known[name].target)(), "features", ())
        assert {each.partition(":")[0] for each in through} <= extractors


def test_the_evaluators_suites_are_what_they_report():
    assert SUITES["adm"].metrics == ("fid", "sfid", "is", "precision-recall")
    assert SUITES["edm"].metrics == ("fid", "fd-dinov2")
    assert set(SUITES["adm"].metrics + SUITES["edm"].metrics) < set(SUITES["full"].metrics)

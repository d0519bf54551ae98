"""Metrics by name, column and module: a stranger's is held to what a metric is, and takes no name of genbench's."""

from __future__ import annotations

from dataclasses import dataclass, field

import plugins
import pytest

from genbench.contracts import Column
from genbench.errors import GenbenchWarning, RegistryError
from genbench.plugins import registry
from genbench.plugins.cards import Card
from genbench.plugins.metrics import metric_named


@dataclass(frozen=True)
class Sound(plugins.Brightness):
    name = "sound"
    columns = (Column("sound", "sound", "higher"),)


class Plain:
    """No dataclass, so that its parameters are not known."""

    name, columns, reads, min_samples = "plain", Sound.columns, "samples", 1

    def compute(self, evidence):
        return {}


@dataclass
class Changeable(Plain):
    """Its parameters may change after the protocol is made."""

    scale: float = 1.0


@dataclass(frozen=True)
class Opaque(Sound):
    parameter: object = field(default_factory=object)


@dataclass(frozen=True)
class Hostile(Sound):
    @property
    def reads(self):
        raise SystemExit(3)


def having(**attributes):
    return type("Odd", (Sound,), attributes)


def raises():
    raise KeyboardInterrupt


ready = Sound()
scaled = lambda: Sound(scale=2.0)  # noqa: E731
number = 3


def test_a_metric_is_found_by_its_name_its_column_and_its_module():
    assert metric_named("precision-recall").name == "precision-recall"
    assert metric_named("precision") == metric_named("precision-recall")
    assert metric_named("plugins:Brightness") == plugins.Brightness()
    assert metric_named(f"{__name__}:scaled") == Sound(scale=2.0)
    assert metric_named(f"{__name__}:ready") is ready
    assert metric_named(ready) is ready
    with pytest.raises(RegistryError, match="no metric is called 'precison'; did you mean precision"):
        metric_named("precison")


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (Plain(), "must be a frozen dataclass"),
        (Changeable(), "must be a frozen dataclass"),
        (Opaque(), "parameters that are no plain values"),
        (Hostile(), "raised SystemExit: 3"),
        (object(), "has no method compute"),
        (Sound, "has no method compute"),
        (having(compute=None)(), "has no method compute"),
        (having(name="")(), "must have a name"),
        (having(name="a\nb")(), "must have a name of printable text"),
        (having(columns=())(), "must have columns"),
        (having(columns=[Column("a", "a", "lower")])(), "must have columns, a tuple"),
        (having(columns=(Column("a", "a", "lower"),) * 2)(), "two columns of one name"),
        (having(columns=(Column("a", "a", "best"),))(), "better is none of higher, lower, zero"),
        (having(columns=(Column("a", "a", "lower", digits=-1),))(), "digits are not within"),
        (having(columns=(Column(3, "a", "lower"),))(), "no printable text"),
        (having(reads="everything")(), "must say what it reads"),
        (having(reads=())(), "must say what it reads"),
        (having(reads=("samples", 3))(), "must say what it reads"),
        (having(min_samples=0)(), "min_samples, a whole number"),
        (having(min_samples=True)(), "min_samples, a whole number"),
        (having(version="1")(), "a whole number for a version"),
        (having(name="fid")(), "is called fid, as one of genbench's own"),
        (having(columns=(Column("recall", "recall", "higher"),))(), "has a column recall, as one of genbench's own"),
    ],
)
def test_what_is_no_metric_is_refused_in_one_sentence(made, reason):
    with pytest.raises(RegistryError, match=reason) as caught:
        metric_named(made)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("number", "is of type int, neither a metric nor a factory"),
        ("raises", "raised KeyboardInterrupt"),
        ("no", "no attrib"),
    ],
)
def test_targets_that_make_no_metric_say_why(target, reason):
    with pytest.raises(RegistryError, match=reason):
        metric_named(f"{__name__}:{target}")


def test_a_metric_that_cannot_be_made_hides_no_other_s_column(monkeypatch):
    cards = {"broken": Card("broken", f"{__name__}:raises"), "mine": Card("mine", f"{__name__}:Sound")}
    monkeypatch.setattr(registry, "is_named", lambda group, name: name in cards)
    monkeypatch.setattr(registry, "cards", lambda group: cards)
    with pytest.warns(GenbenchWarning, match="factory of the metric broken raised KeyboardInterrupt"):
        assert metric_named("sound") == Sound()


def test_a_column_of_two_metrics_names_none(monkeypatch):
    cards = {"one": Card("one", f"{__name__}:Sound"), "two": Card("two", f"{__name__}:scaled")}
    monkeypatch.setattr(registry, "is_named", lambda group, name: name in cards)
    monkeypatch.setattr(registry, "cards", lambda group: cards)
    with pytest.raises(RegistryError, match="sound is a column of sound and of sound"):
        metric_named("sound")

"""Strangers' generators: nothing that they do, raise or return reaches another model's numbers."""

from __future__ import annotations

import dataclasses
import inspect
import math

import numpy as np
import plugins
import pytest
import torch

import genbench
from genbench.contracts import CAPABILITIES, Setting
from genbench.errors import ConformanceError, GenbenchWarning, InputError, ModelError, RegistryError, Unsupported
from genbench.evaluation import generators
from genbench.evaluation.generators import build, draw, log_probs_of, offered, offers, resolve
from genbench.plugins.cards import ModelCard
from genbench.plugins.datasets import dataset_named

SPEC = plugins.SPEC


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting("mine", "digits", dataset_named("digits"))


@pytest.fixture
def heldout(setting):
    return setting.dataset.heldout[:50].clone()


def test_a_model_that_writes_into_its_items_changes_no_other_s_likelihood(heldout):
    before = heldout.clone()
    alone = log_probs_of(plugins.Sums(), heldout, 0).values
    with pytest.warns(GenbenchWarning, match="log_prob wrote into what it was given"):
        halved = log_probs_of(plugins.Halves(), heldout, 0).values
    assert torch.equal(heldout, before)
    assert torch.equal(log_probs_of(plugins.Sums(), heldout, 0).values, alone)
    assert not torch.equal(halved, alone)


def test_a_factory_that_writes_into_the_data_has_a_copy(setting):
    before = setting.dataset.sha256
    with pytest.warns(GenbenchWarning) as told:
        build(resolve("plugins:careless"), setting)
    assert [str(warning.message) for warning in told] == [
        "the factory of plugins:careless changed torch's default dtype, which was put back",
        "the factory of plugins:careless wrote into what it was given, which was a copy",
    ]
    assert dataclasses.replace(setting.dataset).sha256 == before


def test_a_buffer_that_is_used_again_holds_no_earlier_samples():
    samples = draw(plugins.OneBuffer().sample, SPEC, 2500, seed=0)
    assert not torch.equal(samples[:1000], samples[1000:2000])


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (plugins.Impossible(), r"log_prob is above 0 \(118.7 nats\): on levelled data it is the log of a mass"),
        (plugins.Endless(), r"log_prob_interval must be \(lower <= 0, upper >= 0\), .* it is \(nan, inf\)"),
        (plugins.BadError(), "log_prob_error must be a number of nats of at least 0, it is nan"),
        (plugins.NanLikelihood(), "log_prob returned NaN for 50 of 50 items"),
        (plugins.Touchy(), "reading log_prob_kind raised GeneratorExit: never"),
        (plugins.Clock(), r"log_prob returned shape \(50, 1\), not \(50,\)"),
    ],
)
def test_what_is_no_log_probability_fails_with_a_reason(model, reason, heldout):
    with pytest.raises(ModelError, match=reason) as caught:
        log_probs_of(model, heldout, 0)
    assert "\n" not in str(caught.value)


class Claims(plugins.Grey):
    """Log-probabilities of a chosen value, with whatever is claimed of them."""

    def __init__(self, value=-1.0, **claims):
        self.value = value
        vars(self).update(claims)

    def log_prob(self, x):
        return torch.full((len(x),), self.value, dtype=torch.float64)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"log_prob_kind": "precise"}, "log_prob_kind must be one of exact, lower_bound, estimate, it is 'precise'"),
        ({"log_prob_kind": ["exact"]}, "log_prob_kind must be one of"),
        ({"log_prob_error": -0.1}, "log_prob_error must be"),
        ({"log_prob_error": math.inf}, "log_prob_error must be"),
        ({"log_prob_error": "0.1"}, "log_prob_error must be"),
        ({"log_prob_error": torch.ones(2)}, "log_prob_error must be"),
        ({"log_prob_interval": (0.1, 1.0)}, "log_prob_interval must be"),
        ({"log_prob_interval": (-1.0, 0.0, 1.0)}, "log_prob_interval must be"),
        ({"log_prob_interval": (-math.inf, 0.0)}, "log_prob_interval must be"),
        ({"log_prob_interval": 3}, "log_prob_interval raised TypeError"),
        ({"value": 0.001}, "above 0"),
        ({"value": 0.001, "log_prob_kind": "lower_bound"}, "above 0"),
        ({"value": 50.0, "log_prob_kind": "estimate", "log_prob_error": 0.5}, "above 0"),
        ({"value": math.inf}, "infinite for 2 of 2 items"),
        ({"value": -math.inf}, "the model rules them out"),
    ],
)
def test_claims_about_likelihoods_are_held_to_what_they_can_be(claims, reason):
    with pytest.raises(ModelError, match=reason):
        log_probs_of(Claims(**claims), torch.zeros(2, 1, 8, 8, dtype=torch.uint8), 0)


@pytest.mark.parametrize(
    ("claims", "error", "interval"),
    [
        ({}, 0.0, None),
        ({"log_prob_error": torch.tensor(0.5), "log_prob_interval": np.array([-1.0, 2.0])}, 0.5, (-1.0, 2.0)),
        ({"value": 1e-7}, 0.0, None),
        ({"value": 0.4, "log_prob_kind": "estimate", "log_prob_error": 0.1}, 0.1, None),
        ({"value": 0.4, "log_prob_kind": "estimate", "log_prob_interval": (-0.5, 0.0)}, 0.0, (-0.5, 0.0)),
        ({"value": 9.0, "spec": genbench.SampleSpec((1, 8, 8), None)}, 0.0, None),
    ],
)
def test_what_a_model_says_of_its_likelihoods_comes_with_them(claims, error, interval):
    said = log_probs_of(Claims(**claims), torch.zeros(2, 1, 8, 8, dtype=torch.uint8), 0)
    assert (said.kind, said.error, said.interval) == (claims.get("log_prob_kind", "exact"), error, interval)
    assert said.values.dtype == torch.float64


def test_capabilities_are_told_however_attributes_come_about():
    assert offered(plugins.Everything()) == tuple(name for name in CAPABILITIES if name not in ("classes", "training"))
    assert offered(plugins.NumpyGrey()) == ()
    assert offers(plugins.Touchy(), "log_prob"), "it is there, and using it says what is wrong"

    class Delegates:
        def __getattr__(self, name):
            return getattr(plugins.Grey(), name)

    assert offered(Delegates()) == ("log_prob",)
    absent = type("Absent", (plugins.Grey,), {"log_prob": None})()
    assert offered(absent) == ()


def test_an_attribute_that_raises_fails_what_rests_on_it_alone(setting, heldout):
    model = plugins.Stubborn()
    assert draw(model.sample, SPEC, 3, 0).shape == (3, 1, 8, 8)
    with pytest.raises(ModelError, match="reading log_prob raised KeyError: 'log_prob'"):
        log_probs_of(model, heldout, 0)
    with pytest.raises(ModelError, match="reading version raised KeyError"):
        generators.version(model)
    with pytest.raises(ModelError, match="plugins:Mute: reading spec raised RuntimeError: no spec today"):
        build(resolve("plugins:Mute"), setting)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda n: np.zeros((n, 1, 8, 8), np.uint8)[::-1, :, ::-1], SPEC),
        (lambda n: torch.zeros(n, 1, 8, 8, dtype=torch.uint8).to_sparse(), SPEC),
        (lambda n: torch.nn.Parameter(torch.zeros(n, 2)), genbench.SampleSpec((2,), None)),
        (lambda n: np.zeros((n, 2), ">f4"), genbench.SampleSpec((2,), None)),
        (lambda n: torch.zeros(n, 2).half(), genbench.SampleSpec((2,), None)),
        (lambda n: torch.zeros(n, 2).bfloat16(), genbench.SampleSpec((2,), None)),
    ],
)
def test_odd_arrays_are_samples_where_their_meaning_is_plain(made, expected):
    samples = draw(made, expected, 3, 0)
    assert samples.dtype == (torch.float32 if expected.levels is None else torch.uint8)
    assert not samples.any()


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda n: torch.zeros(n, 1, 8, 8, dtype=torch.uint8, device="meta"), r"sample\(3\) returned .* meta device"),
        (lambda n: np.zeros((n, 1, 8, 8), object), "dtype object"),
        (lambda n: np.zeros((n, 1, 8, 8), ">f8"), "levelled samples are uint8, scaled to 0..levels-1 and rounded"),
        (lambda n: torch.zeros(n, 1, 8, 8, dtype=torch.complex64), "complex"),
        (lambda n: [0] * n, "returned list, not a tensor or a numpy array"),
    ],
)
def test_odd_arrays_are_refused_where_it_is_not(made, reason):
    with pytest.raises(ModelError, match=reason):
        draw(made, SPEC, 3, 0)


def test_exits_are_failures_of_the_model(setting):
    with pytest.raises(ModelError, match=r"^sample raised SystemExit: 3$"):
        draw(plugins.Exits().sample, SPEC, 3, 0)
    with pytest.raises(RegistryError, match="no attribute"):
        build(ModelCard("mine", "plugins:nothing"), setting)


def test_samples_are_truncated_where_psi_is_given():
    assert generators.samples_of(plugins.Everything(), SPEC, 9, 0, psi=0.0).max() == 0
    with pytest.raises(ModelError, match="sample_truncated raised TypeError"):
        generators.samples_of(plugins.Grey(), SPEC, 9, 0, psi=0.5)


def test_versions_identify_a_model_and_not_an_object():
    assert generators.version(plugins.Everything()) == "7b"
    plain = generators.version(plugins.Grey())
    assert plain.startswith("samples-")

    class Method(plugins.Grey):
        def version(self):  # as of a library's base class, whose address would differ from run to run
            return 2

    assert generators.version(Method()) == plain


@pytest.mark.parametrize("kind", [None, "psi", ["threshold"], 3])
def test_an_unknown_kind_of_truncation_is_refused(kind):
    with pytest.raises(InputError, match="truncation must be"):
        generators.untruncated(type("Odd", (plugins.Grey,), {"truncation": kind})())


def test_class_joints_are_checked(heldout):
    assert generators.class_log_joints(plugins.Everything(), heldout, 10, 0).shape == (50, 10)
    for joint in (torch.zeros(50, 9), torch.full((50, 10), math.nan), torch.zeros(50, 10, dtype=torch.int64)):
        with pytest.raises(ModelError, match="class_log_joint returned"):
            generators.as_class_log_joints(joint, 50, 10)


def test_translations_need_sources(setting):
    with pytest.raises(Unsupported, match="has no sources to translate"):
        generators.translations(plugins.Everything(), setting.dataset, 3, 0)


def test_names_of_models_files_and_modules_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vae").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "a:b.npz").touch()
    assert resolve("vae").family == "vae", "a model's name wins over a folder"
    assert {resolve(name).target for name in ("mine", "./vae", "a:b.npz")} == {generators.FILE_TARGET}
    assert resolve("my.module:make").target == "my.module:make"
    for name, reason in (
        ("nothing.pt2", "does not exist"),
        ("va", "did you mean vae"),
        ("a\nb", "characters that cannot be printed"),
    ):
        with pytest.raises(RegistryError, match=reason):
            resolve(name)


def test_check_finds_the_faults_of_every_capability():
    assert genbench.check(plugins.Everything()) == offered(plugins.Everything())
    with pytest.raises(ConformanceError, match=r"^1 fault: log_prob is above 0"):
        genbench.check(plugins.Impossible())
    with pytest.raises(ConformanceError, match=r"^1 fault: log_prob wrote into what it was given"):
        genbench.check(plugins.Halves())
    with pytest.raises(ConformanceError, match="reading spec raised RuntimeError"):
        genbench.check(plugins.Mute())
    with pytest.raises(ConformanceError, match=r"^1 fault: sample raised SystemExit: 3"):
        genbench.check(plugins.Exits())
    with pytest.raises(ConformanceError) as caught:
        genbench.check(plugins.Stubborn())
    for what in ("log_prob", "truncation", "reconstruct", "latent_shape", "class_log_joint", "source_spec"):
        assert any(what in fault for fault in caught.value.faults), what


def test_every_protocol_s_members_are_known():
    for name, protocol in CAPABILITIES.items():
        methods = [member for member, _ in inspect.getmembers(protocol, inspect.isfunction) if member[0] != "_"]
        assert set(methods) <= set(generators.MEMBERS[name])
        assert methods or name == "classes", "which is told by a number"

"""Extractors by name, by module and as functions: identified, told where to compute, and held to what features are."""

from __future__ import annotations

import numpy as np
import plugins
import pytest
import torch

from genbench.contracts import Features
from genbench.errors import GenbenchWarning, InputError, ModelError, RegistryError
from genbench.plugins import extractors
from genbench.plugins.extractors import Computing, make

ITEMS = torch.randint(17, (5, 1, 8, 8), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


def pixels(x):
    return x.flatten(1).numpy().astype(np.float64)


def halves(x):
    return x.flatten(1)[:, :32].float()


class Linear(torch.nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        self.weight = torch.randn(64, 3, generator=torch.Generator().manual_seed(seed))

    def forward(self, x):
        return x.flatten(1).float() @ self.weight


class Known:
    name, fingerprint, any_size = "known", "known-1", True

    def __call__(self, x):
        return Features(pixels(x), torch.full((len(x), 4), 0.25))


class Remembers:
    """A factory that takes all that can be told, and makes what shows it."""

    told: dict[str, object]

    def __init__(self, spec, argument="", *, device="cpu", precision="float32", weights=None):
        Remembers.told = {"device": device, "precision": precision, "weights": weights, "argument": argument}

    def __call__(self, x):
        return pixels(x)


def test_a_function_is_an_extractor_that_its_features_identify():
    extractor = make(pixels, plugins.SPEC)
    assert extractor.name == f"{__name__}:pixels"
    features = extractor(ITEMS)
    assert features.embeddings.dtype == torch.float32
    assert torch.equal(features.embeddings, ITEMS.flatten(1).float())
    assert features.probabilities is None
    fingerprints = [make(each, plugins.SPEC).fingerprint for each in (pixels, halves, Linear(0), Linear(1), Linear(1))]
    assert len(set(fingerprints)) == 4
    assert fingerprints[3] == fingerprints[4]
    assert fingerprints[0] == extractor.fingerprint


def test_what_an_extractor_declares_is_kept():
    extractor = make(Known(), plugins.SPEC)
    assert (extractor.name, extractor.fingerprint, extractor.any_size) == ("known", "known-1", True)
    assert extractor(ITEMS).probabilities.shape == (5, 4)


def test_a_module_names_a_factory_which_hears_where_to_compute():
    extractor = make(f"{__name__}:Remembers", plugins.SPEC, Computing("cuda:1", "bfloat16"))
    assert Remembers.told == {"device": "cuda:1", "precision": "bfloat16", "weights": None, "argument": ""}
    assert extractor.name == f"{__name__}:Remembers"
    make(f"{__name__}:Remembers:768", plugins.SPEC)
    assert Remembers.told["argument"] == "768"
    assert make("plugins:channel_means", plugins.SPEC).fingerprint == "channel-means"


def not_callable(spec):
    return 3


def breaks(spec):
    raise SystemExit("no network")


number = 3


@pytest.mark.parametrize(
    ("features", "error", "reason"),
    [
        (f"{__name__}:number", RegistryError, "is of type int, not a factory"),
        (f"{__name__}:not_callable", RegistryError, "returned int; it takes a SampleSpec"),
        (f"{__name__}:breaks", RegistryError, "raised SystemExit: no network"),
        ("plugins:channel_means:3", InputError, "take nothing after a colon"),
        ("no_such_module:f", RegistryError, "no module no_such_module can be imported"),
        (3, InputError, "a name or a function of items, not int"),
        (lambda x: x.nothing, InputError, "raised AttributeError"),
        (lambda x: x.flatten(1)[1:], InputError, r"gave shape \(15, 64\) for 16 items; it must be \(16, D\)"),
        (lambda x: x.float().flatten(1) * torch.nan, InputError, "not finite"),
        (lambda x: torch.rand(len(x), 3), InputError, "differ from call to call; switch its dropout off"),
        (lambda x: "features", InputError, "returned str, not a tensor"),
    ],
)
def test_what_is_no_extractor_is_refused_in_one_sentence(features, error, reason):
    with pytest.raises(error, match=reason) as caught:
        make(features, plugins.SPEC)
    assert "\n" not in str(caught.value)


def test_options_that_are_not_taken_are_refused():
    with pytest.raises(InputError, match="take no --precision"):
        make(pixels, plugins.SPEC, Computing(precision="bfloat16"))
    with pytest.raises(InputError, match="take no --precision"):
        make("plugins:channel_means", plugins.SPEC, Computing(precision="bfloat16"))


def test_items_are_copies_to_an_extractor():
    class Greedy(Known):
        def __call__(self, x):
            return super().__call__(x.floor_divide_(2))

    items = ITEMS.clone()
    with pytest.warns(GenbenchWarning, match="the features known wrote into what it was given"):
        make(Greedy(), plugins.SPEC)(items)
    assert torch.equal(items, ITEMS)


@pytest.mark.parametrize("rows", [torch.full((5, 4), 0.5), torch.full((4, 4), 0.25), torch.tensor([[2.0, -1.0]] * 5)])
def test_probabilities_are_probabilities(rows):
    class Improbable(Known):
        def __call__(self, x):
            return Features(pixels(x), rows)

    with pytest.raises(ModelError, match="class probabilities"):
        make(Improbable(), plugins.SPEC)(ITEMS)


def test_genbench_s_own_are_called_as_they_are():
    assert not isinstance(make("digits-cnn", plugins.SPEC), extractors.Foreign)

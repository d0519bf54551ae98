"""The conformance check for generators: every fault at once, for plug-in authors and for the bundled zoo alike."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from genbench import seeding
from genbench.contracts import (
    Generator,
    HasClassJoint,
    HasCycle,
    HasLatent,
    HasLogProb,
    HasReconstruction,
    HasTranslation,
    HasTruncation,
    SampleSpec,
    capabilities,
)
from genbench.errors import ConformanceError, GenbenchError, ModelError
from genbench.evaluation import generators
from genbench.likelihood import every_state

KINDS = ("exact", "lower_bound", "estimate")
ITEMS = 8
SMALL_SPACE = 4096


def check(generator: Generator, spec: SampleSpec | None = None) -> tuple[str, ...]:
    """Hold a generator to the contract; returns the names of the capabilities that it offers.

    Checked are the spec (against `spec`, if given), shapes, dtypes, ranges and NaN of everything that it returns,
    determinism under the runner's seed, and that likelihoods can be what they claim: never a mass above 1, not
    dependent on the rest of the batch, and on a space of at most 4,096 states exact masses that sum to 1. Raises
    ConformanceError with every fault found.
    """
    faults = generators.shape_faults(generator, spec)
    if not faults:
        found = _Faults(generator)
        found.sampling()
        if isinstance(generator, HasLogProb):
            found.log_prob(generator)
        if isinstance(generator, HasTruncation):
            found.truncation(generator)
        if isinstance(generator, HasReconstruction):
            found.maps_items("reconstruct", generator.reconstruct, found.spec, found.spec)
        if isinstance(generator, HasLatent):
            found.latent(generator)
        if isinstance(generator, HasClassJoint):
            found.class_joint(generator)
        if isinstance(generator, HasTranslation):
            found.maps_items("translate", generator.translate, generators.source_spec(generator), found.spec)
        if isinstance(generator, HasCycle):
            source = generators.source_spec(generator)
            found.maps_items("cycle", generator.cycle, source, source)
        faults = found.faults
    if faults:
        raise ConformanceError(faults)
    return capabilities(generator)


class _Faults:
    """Collects what one part of the contract after the other reveals; a part that breaks never hides the next."""

    def __init__(self, generator: Generator) -> None:
        self.generator, self.faults = generator, list[str]()
        self.spec = SampleSpec(tuple(generator.spec.shape), generator.spec.levels)
        self.items = self._any_items(self.spec)

    def _any_items(self, spec: SampleSpec) -> Tensor:
        """Some items of a spec, whatever the generator makes."""
        with seeding.scoped("check"):
            if spec.levels is None:
                return torch.randn(ITEMS, *spec.shape)
            return torch.randint(spec.levels, (ITEMS, *spec.shape)).to(torch.uint8)

    def expect(self, condition: bool, fault: str) -> None:
        if not condition:
            self.faults.append(fault)

    def attempt(self, what: str, call: Callable[[], Tensor], seed: object = 0) -> Tensor | None:
        """The call's result under a scoped seed, or None after noting the fault."""
        try:
            with seeding.scoped("check", seed), torch.no_grad():
                return generators.shielded(what, call)
        except GenbenchError as error:
            if str(error) not in self.faults:
                self.faults.append(str(error))
            return None

    def draw(
        self, what: str, method: Callable[..., object], n: int, seed: object = 0, **options: float
    ) -> Tensor | None:
        return self.attempt(what, lambda: generators.as_samples(method(n, **options), self.spec, n, what), seed)

    def sampling(self) -> None:
        sample = self.generator.sample
        self.draw("sample", sample, 1)
        first, again, other = (self.draw("sample", sample, ITEMS, seed) for seed in (0, 0, 1))
        if first is None or again is None or other is None:
            return
        self.expect(
            torch.equal(first, again),
            "sample is not deterministic under a seed: draw from torch's, numpy's or random's global state only",
        )
        self.expect(not torch.equal(first, other), "sample returns the same items under different seeds")

    def log_prob(self, model: HasLogProb) -> None:
        kind = model.log_prob_kind
        self.expect(kind in KINDS, f"log_prob_kind must be one of {', '.join(KINDS)}, it is {kind!r}")

        def log_prob(x: Tensor) -> Tensor:
            return generators.as_log_probs(model.log_prob(x), len(x))

        values = self.attempt("log_prob", lambda: log_prob(self.items))
        if values is None:
            return
        again = self.attempt("log_prob", lambda: log_prob(self.items))
        self.expect(again is not None and torch.equal(values, again), "log_prob is not deterministic under a seed")
        if self.spec.levels is not None and kind in ("exact", "lower_bound"):
            self.expect(bool((values <= 1e-6).all()), "log_prob is above 0: on levelled data it is the log of a mass")
        lower, upper = getattr(model, "log_prob_interval", None) or (0.0, 0.0)
        self.expect(lower <= 0 <= upper, "log_prob_interval must be (lower <= 0, upper >= 0), offsets in nats")
        if kind != "exact":
            return
        alone = self.attempt("log_prob", lambda: log_prob(self.items[:1]))
        if alone is not None:
            close = torch.allclose(alone, values[:1], rtol=1e-4, atol=1e-4)
            self.expect(close, "log_prob of an item depends on the other items of its batch")
        if self.spec.levels is not None and self.spec.levels**self.spec.size <= SMALL_SPACE:
            states = every_state(self.spec.size, self.spec.levels).reshape(-1, *self.spec.shape)
            masses = self.attempt("log_prob", lambda: log_prob(states))
            if masses is not None:
                total = float(masses.exp().sum())
                self.expect(abs(total - 1) < 1e-3, f"the exact masses of all {len(states)} states sum to {total:.4f}")

    def truncation(self, model: HasTruncation) -> None:
        try:
            none = generators.untruncated(model)
        except GenbenchError as error:
            self.faults.append(str(error))
            return
        for psi in (0.5, none):
            self.draw("sample_truncated", model.sample_truncated, ITEMS, psi=psi)

    def maps_items(self, what: str, method: Callable[[Tensor], object], before: SampleSpec, after: SampleSpec) -> None:
        """Items of one spec must become items of the other."""
        items = self._any_items(before)
        self.attempt(what, lambda: generators.as_samples(method(items), after, ITEMS, what))

    def latent(self, model: HasLatent) -> None:
        def decoded() -> Tensor:
            z = model.sample_latent(ITEMS)
            expected = (ITEMS, *model.latent_shape)
            if not isinstance(z, Tensor) or tuple(z.shape) != expected or not torch.isfinite(z).all():
                raise ModelError(f"sample_latent({ITEMS}) must return a finite tensor of shape {expected}")
            return generators.as_samples(model.decode(z), self.spec, ITEMS, "decode")

        self.attempt("decode", decoded)

    def class_joint(self, model: HasClassJoint) -> None:
        joint = self.attempt("class_log_joint", lambda: model.class_log_joint(self.items))
        if joint is None:
            return
        if not isinstance(joint, Tensor) or joint.ndim != 2 or len(joint) != ITEMS or joint.shape[1] < 2:
            self.faults.append(f"class_log_joint must return a tensor ({ITEMS}, classes)")
            return
        if joint.isnan().any():
            self.faults.append("class_log_joint returned NaN")
        elif isinstance(model, HasLogProb) and model.log_prob_kind == "exact":
            values = self.attempt("log_prob", lambda: model.log_prob(self.items))
            if values is not None and values.shape == (ITEMS,):
                close = torch.allclose(joint.double().logsumexp(1), values.double(), rtol=1e-3, atol=math.log(1.01))
                self.expect(close, "class_log_joint summed over the classes is not log_prob")

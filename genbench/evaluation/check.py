"""The conformance check for generators: every fault at once, for plug-in authors and for the bundled zoo alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from genbench import seeding
from genbench.contracts import SampleSpec
from genbench.errors import ConformanceError, GenbenchError, ModelError
from genbench.evaluation import drawing, generators
from genbench.likelihood import every_state
from genbench.plugins.arrays import plain
from genbench.plugins.guard import attribute, guarded, name_of, watching

ITEMS = 8
SMALL_SPACE = 4096

T = TypeVar("T")


def check(generator: object, spec: SampleSpec | None = None) -> tuple[str, ...]:
    """Hold a generator to the contract; returns the names of the capabilities that it offers.

    Checked are the spec (against `spec`, if given), shapes, dtypes, ranges and NaN of everything that it returns,
    determinism under the runner's seed, that it writes into nothing that it is given and leaves global state alone, and
    that likelihoods can be what they claim: never a mass above 1, not dependent on the rest of the batch, and on a
    space of at most 4,096 states exact masses that sum to 1. Raises ConformanceError with every fault found.
    """
    faults = generators.shape_faults(generator, spec)
    if faults:
        raise ConformanceError(faults)
    with watching(name_of(generator), quiet=True) as watch:
        offered = generators.offered(generator)
        checks = _Checks(generator)
        checks.choosing()
        checks.sampling()
        for capability in offered:
            getattr(checks, capability, lambda: None)()
    faults = checks.faults + watch.changes
    if faults:
        raise ConformanceError(faults)
    return offered


class _Checks:
    """Collects what one part of the contract after the other reveals; a part that breaks never hides the next.

    The methods that are called as a capability is hold the generator to that capability.
    """

    def __init__(self, generator: object) -> None:
        self.generator, self.faults = generator, list[str]()
        self.spec = generators.spec_of(generator)
        self.items = _any_items(self.spec)
        self.labels: Tensor | None = None  # the classes that samples are drawn of, where they are chosen

    def expect(self, condition: bool, fault: str) -> None:
        if not condition:
            self.faults.append(fault)

    def attempt(self, call: Callable[[], T], seed: object = 0) -> T | None:
        """The call's result under a scoped seed, or None after noting the fault."""
        try:
            with seeding.scoped("check", seed), torch.no_grad():
                return call()
        except GenbenchError as error:
            if str(error) not in self.faults:
                self.faults.append(str(error))
            return None

    def draw(self, what: str, n: int, seed: object = 0, **options: float) -> Tensor | None:
        def drawn() -> Tensor:
            method = attribute(self.generator, what)
            told = () if self.labels is None else (self.labels[:n],)
            return generators.as_samples(guarded(what, method, n, *told, **options), self.spec, n, what)

        return self.attempt(drawn, seed)

    def sampling(self) -> None:
        self.draw("sample", 1)
        first, again, other = (self.draw("sample", ITEMS, seed) for seed in (0, 0, 1))
        if first is None or again is None or other is None:
            return
        self.expect(
            torch.equal(first, again),
            "sample is not deterministic under a seed: draw from torch's, numpy's or random's global state only",
        )
        self.expect(not torch.equal(first, other), "sample returns the same items under different seeds")

    def choosing(self) -> None:
        """Of a generator that chooses classes: that they are a number, and that the samples depend on them."""
        count = self.attempt(lambda: drawing.classes_of(self.generator))
        self.attempt(lambda: drawing.batch_size_of(self.generator))
        if count is None:
            return
        drawn = []
        for label in (0, count - 1):
            self.labels = torch.full((ITEMS,), label)
            drawn.append(self.draw("sample", ITEMS))
        self.labels = torch.arange(ITEMS) % count
        if count > 1 and drawn[0] is not None and drawn[1] is not None:
            self.expect(not torch.equal(drawn[0], drawn[1]), "sample returns the same items whatever the labels")

    def log_prob(self) -> None:
        kind = self.attempt(lambda: generators.kind_of(self.generator))
        values = self._log_probs(self.items)
        said = [
            self.attempt(lambda: generators.interval_of(self.generator) or ()),
            self.attempt(lambda: generators.error_of(self.generator)),
        ]
        if values is None or kind is None:
            return
        again = self._log_probs(self.items)
        self.expect(again is not None and torch.equal(values, again), "log_prob is not deterministic under a seed")
        if None not in said:
            self.attempt(lambda: generators.log_probs_of(self.generator, self.items, 0))
        if kind != "exact":
            return
        alone = self._log_probs(self.items[:1])
        if alone is not None:
            close = torch.allclose(alone, values[:1], rtol=1e-4, atol=1e-4)
            self.expect(close, "log_prob of an item depends on the other items of its batch")
        if self.spec.levels is not None and self.spec.levels**self.spec.size <= SMALL_SPACE:
            states = every_state(self.spec.size, self.spec.levels).reshape(-1, *self.spec.shape)
            masses = self._log_probs(states)
            if masses is not None:
                total = float(masses.exp().sum())
                self.expect(abs(total - 1) < 1e-3, f"the exact masses of all {len(states)} states sum to {total:.4f}")

    def _log_probs(self, x: Tensor) -> Tensor | None:
        return self.attempt(lambda: generators.log_probs(self.generator, x, 0))

    def truncation(self) -> None:
        none = self.attempt(lambda: generators.untruncated(self.generator))
        for psi in () if none is None else (0.5, none):
            self.draw("sample_truncated", ITEMS, psi=psi)

    def reconstruction(self) -> None:
        self._maps("reconstruct", self.spec, self.spec)

    def translation(self) -> None:
        source = self.attempt(lambda: generators.source_spec(self.generator))
        if source is not None:
            self._maps("translate", source, self.spec)

    def cycle(self) -> None:
        source = self.attempt(lambda: generators.source_spec(self.generator))
        if source is not None:
            self._maps("cycle", source, source)

    def _maps(self, what: str, before: SampleSpec, after: SampleSpec) -> None:
        """Items of one spec must become items of the other."""
        items = _any_items(before)

        def mapped() -> Tensor:
            return generators.as_samples(guarded(what, attribute(self.generator, what), items), after, ITEMS, what)

        self.attempt(mapped)

    def latent(self) -> None:
        codes = self.attempt(self._codes)
        if codes is None:
            return

        def decoded() -> Tensor:
            decode = attribute(self.generator, "decode")
            return generators.as_samples(guarded("decode", decode, codes), self.spec, ITEMS, "decode")

        self.attempt(decoded, seed=1)

    def _codes(self) -> Tensor:
        declared = attribute(self.generator, "latent_shape")
        shape = guarded("latent_shape", lambda: tuple(map(int, declared)))
        codes = plain(guarded("sample_latent", attribute(self.generator, "sample_latent"), ITEMS), "sample_latent")
        if tuple(codes.shape) != (ITEMS, *shape) or not torch.isfinite(codes).all():
            raise ModelError(f"sample_latent({ITEMS}) must return a finite tensor of shape {(ITEMS, *shape)}")
        return codes

    def class_joint(self) -> None:
        joint = self.attempt(self._joint)
        if joint is None or not generators.offers(self.generator, "log_prob"):
            return
        kind, values = self.attempt(lambda: generators.kind_of(self.generator)), self._log_probs(self.items)
        if kind == "exact" and values is not None:
            close = torch.allclose(joint.logsumexp(1), values, rtol=1e-3, atol=math.log(1.01))
            self.expect(close, "class_log_joint summed over the classes is not log_prob")

    def _joint(self) -> Tensor:
        what = "class_log_joint"
        joint = plain(guarded(what, attribute(self.generator, what), self.items), what)
        if joint.ndim != 2 or len(joint) != ITEMS or joint.shape[1] < 2:
            raise ModelError(f"class_log_joint must return a tensor ({ITEMS}, classes)")
        return generators.as_class_log_joints(joint, ITEMS, joint.shape[1])


def _any_items(spec: SampleSpec) -> Tensor:
    """Some items of a spec, whatever the generator makes."""
    with seeding.scoped("check"):
        if spec.levels is None:
            return torch.randn(ITEMS, *spec.shape)
        return torch.randint(spec.levels, (ITEMS, *spec.shape)).to(torch.uint8)

"""Scores in a training loop: real and generated items arrive batch by batch, the reference stays between epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genbench.contracts import FeatureExtractor, Features, Reads, SampleSpec
from genbench.data import sources
from genbench.errors import InputError
from genbench.evaluation import processes
from genbench.evaluation.driver import Subject, measure
from genbench.evaluation.evidence import Evidence
from genbench.evaluation.image_pass import BATCH, checked
from genbench.evaluation.protocol import Protocol, Record, digest
from genbench.evaluation.reference import Reference
from genbench.evaluation.score import DEFAULT_FEATURES, METRICS, NO_GENERATOR, Scores
from genbench.plugins import extractors
from genbench.plugins.arrays import plain
from genbench.plugins.extractors import Computing, Custom
from genbench.plugins.metrics import metric_named
from genbench.storage import cache
from genbench.storage.results import Result, fingerprint

Extract = Callable[[np.ndarray], tuple[Features, str]]  # images to features, and what identifies their extractor
Items = np.ndarray | Tensor | Features
GIVEN = "given"  # the name of features that are handed in as they are


class Stream:
    """Scores of real and generated items that arrive in batches.

    `features` names an extractor or is a function of images, as in `genbench.score`; then items are images, uint8
    (n, H, W, C), (n, C, H, W) or (n, H, W). With None, items are features already: arrays (n, D), or Features with
    class probabilities. `metrics` are names, by default those of `score`.

    The numbers are those of `score` to the last digit, however the items are cut into batches. Under torch.distributed
    the items of all processes count, those of the first process first, and every process has all scores.

    >>> stream = Stream(features=None, metrics=["fid"])
    >>> stream.update(real=torch.randn(100, 4), fake=torch.randn(100, 4))
    >>> stream.compute()["fid"] < 1
    True
    >>> stream.reset()  # of the fakes alone
    """

    def __init__(
        self,
        features: str | Custom | None = DEFAULT_FEATURES,
        metrics: Sequence[str] | None = None,
        computing: Computing | None = None,
    ) -> None:
        self.metrics = [metric_named(name) for name in dict.fromkeys(metrics or METRICS)]
        self.source, self.computing = features, computing or Computing()
        self._extractor: FeatureExtractor | None = None
        self._sides = {"real": _Side(self._features), "fake": _Side(self._features)}
        self._whole_real: Whole | None = None

    def update(self, real: Items | None = None, fake: Items | None = None) -> None:
        """Take items of either side, or of both, in. Raises DataError or InputError for what are no such items."""
        for name, items in (("real", real), ("fake", fake)):
            if items is not None:
                self._sides[name].add(self._as_given(name, items) if self.source is None else self._as_images(items))
        if real is not None:
            self._whole_real = None

    def compute(self) -> Scores:
        """The scores of all items so far, of which there may come more. Raises InputError where a side has none.

        Under torch.distributed all processes call it together.
        """
        with processes.sharing():
            return self._computed()

    def _computed(self) -> Scores:
        if any(processes.gathered(self._whole_real is None)):
            self._whole_real = self._sides["real"].whole()
        real, fake = self._whole_real, self._sides["fake"].whole()
        assert real is not None
        for name, side in (("real", real), ("fake", fake)):
            if side.n == 0:
                raise InputError(f"there are no {name} items yet; stream.update({name}=...) takes them in")
        if real.features.embeddings.shape[1] != fake.features.embeddings.shape[1]:
            widths = real.features.embeddings.shape[1], fake.features.embeddings.shape[1]
            raise InputError(f"real items have {widths[0]} features and fake ones {widths[1]}; they must be the same")
        reference = Reference(content=real.content, size=real.n, make_features=lambda: real.features)
        makers: dict[str, Callable[[], Any]] = {"fake": lambda: fake.features, "fake_labels": lambda: None}
        evidence = Evidence(reference, makers, {"": NO_GENERATOR})
        subject = self._subject(real, fake)

        def rows() -> list[Result]:
            return [row for metric_rows in measure(self.metrics, evidence, subject) for row in metric_rows]

        results = processes.from_first(rows)
        records = {subject.protocol.fingerprint(metric): subject.protocol.of(metric) for metric in self.metrics}
        return Scores(tuple(results), records)

    def reset(self, real: bool = False) -> None:
        """Forget the fake items, and the real ones where `real` says so."""
        self._sides["fake"] = _Side(self._features)
        if real:
            self._sides["real"], self._whole_real = _Side(self._features), None

    def merge(self, other: Stream) -> None:
        """Take in all that another stream of the same features has taken in, after one's own items."""
        for name, side in self._sides.items():
            side.merge(other._sides[name])
        self._whole_real = None

    def state_dict(self) -> dict[str, Any]:
        """All that was taken in, as tensors and text, which `torch.save` keeps."""
        return {name: side.state() for name, side in self._sides.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Be as the stream was that gave that state. Raises InputError for what is none."""
        if set(state) != set(self._sides):
            raise InputError(f"a stream's state has the parts real and fake, this has {', '.join(map(str, state))}")
        self._sides = {name: _Side(self._features, part) for name, part in state.items()}
        self._whole_real = None

    def _as_images(self, items: Items) -> np.ndarray:
        """Images uint8 (n, H, W, C)."""
        if isinstance(items, Features):
            raise InputError("features are taken as they are by Stream(features=None) alone")
        images = sources.open_images(items)
        assert isinstance(images, sources.ArrayImages)
        return np.ascontiguousarray(images.array)

    def _as_given(self, name: str, items: Items) -> Features:
        embeddings = items.embeddings if isinstance(items, Features) else items
        vectors = plain(embeddings, name).float()
        if vectors.ndim != 2 or not vectors.isfinite().all():
            raise InputError(f"features must be finite numbers (n, D), {name} has shape {tuple(vectors.shape)}")
        if not isinstance(items, Features) or items.probabilities is None:
            return Features(vectors)
        return Features(vectors, plain(items.probabilities, name).float())

    def _features(self, images: np.ndarray) -> tuple[Features, str]:
        """The features of images (n, H, W, C), and the fingerprint of their extractor."""
        if self._extractor is None:
            assert self.source is not None
            height, width, channels = images.shape[1:]
            self._extractor = extractors.make(self.source, SampleSpec((channels, height, width), 256), self.computing)
        features = checked(self._extractor, torch.from_numpy(images).permute(0, 3, 1, 2))
        return features, self._extractor.fingerprint

    def _subject(self, real: Whole, fake: Whole) -> Subject:
        """What the rows have in common, as in `score` of arrays."""
        name, known = GIVEN, fake.extractor or GIVEN
        if self.source is not None:
            name = str(self.source) if self._extractor is None else self._extractor.name
        about_real: Record = {"reference": real.content, "reference size": real.n}
        parts: dict[Reads, Callable[[], Record]] = {
            "samples": lambda: {"features": known, "n": fake.n},
            "real": lambda: about_real,
            "train": lambda: {"train": ""},
            "labels": lambda: {"labels": digest(None), "labels of samples": "given"},
        }
        return Subject(
            model="array",
            benchmark="array",
            seed=0,
            version=fingerprint({"content": fake.content}),
            device=self.computing.device,
            protocol=Protocol(parts, fake.n, real.n, name),
            own=name.split(":")[0].startswith("inception"),
        )


@dataclass(frozen=True, eq=False)
class Whole:
    """One side as all processes together have it; `content` identifies the items, `extractor` what saw them."""

    features: Features
    content: str
    extractor: str

    @property
    def n(self) -> int:
        return len(self.features.embeddings)


class _Side:
    """What one side has taken in. Images wait until there are as many as `score` puts through a network at once."""

    def __init__(self, extract: Extract, state: Mapping[str, Any] | None = None) -> None:
        self.extract = extract
        self.embeddings: list[Tensor] = []
        self.probabilities: list[Tensor] = []
        self.waiting: np.ndarray | None = None
        self.extractor, self.content = "", ""
        self.pixels: sources.PixelDigest | None = sources.PixelDigest()  # None where not all pictures came by here
        if state is not None:
            self._load(state)

    def add(self, items: np.ndarray | Features) -> None:
        """Take images uint8 (n, H, W, C) or features in."""
        self.content = ""
        if isinstance(items, Features):
            self.pixels = None
            self._append(items)
            return
        if self.waiting is not None and self.waiting.shape[1:] != items.shape[1:]:
            raise InputError(
                f"images of one stream have one size, {self.waiting.shape[1:]} is followed by {items.shape[1:]}"
            )
        if self.pixels is not None:
            self.pixels.add_batch(items)
        images = items if self.waiting is None else np.concatenate([self.waiting, items])
        whole = len(images) // BATCH * BATCH
        for start in range(0, whole, BATCH):
            self._append(self._seen(images[start : start + BATCH]))
        self.waiting = images[whole:].copy()

    def merge(self, other: _Side) -> None:
        own, theirs = self._parts(), other._parts()
        if not len(theirs[0]):
            return
        if len(own[0]):
            self.content, self.pixels = "", None
        else:
            self.content, self.pixels = other._content(), None
        self.embeddings = [part for part in (own[0], theirs[0]) if len(part)]
        known = own[1], theirs[1]
        self.probabilities = [part for part in known if part is not None and len(part)]
        self.waiting, self.extractor = None, self.extractor or other.extractor

    def whole(self) -> Whole:
        """This side of all processes, in their order."""
        embeddings, probabilities = self._parts()
        parts = processes.gathered((embeddings, probabilities, self._content(), self.extractor))
        parts = [part for part in parts if len(part[0])]
        if not parts:
            return Whole(Features(embeddings), "", "")
        stacked = torch.cat([part[0] for part in parts])
        known = [part[1] for part in parts if part[1] is not None]
        content = parts[0][2] if len(parts) == 1 else ""
        return Whole(
            Features(stacked, torch.cat(known) if len(known) == len(parts) else None),
            content or cache.checksum({"features": stacked}),
            next((part[3] for part in parts if part[3]), ""),
        )

    def state(self) -> dict[str, Any]:
        embeddings, probabilities = _joined(self.embeddings), _joined(self.probabilities)
        waiting = None if self.waiting is None else torch.from_numpy(self.waiting.copy())
        return {
            "embeddings": embeddings,
            "probabilities": probabilities,
            "waiting": waiting,
            "content": self._content(),
            "extractor": self.extractor,
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self.embeddings = [] if state["embeddings"] is None else [state["embeddings"].clone()]
        self.probabilities = [] if state["probabilities"] is None else [state["probabilities"].clone()]
        self.waiting = None if state["waiting"] is None else state["waiting"].numpy().copy()
        self.content, self.extractor = state["content"], state["extractor"]
        if self.embeddings or self.waiting is not None:
            self.pixels = None

    def _seen(self, images: np.ndarray) -> Features:
        features, self.extractor = self.extract(images)
        return features

    def _append(self, features: Features) -> None:
        if self.embeddings and self.embeddings[0].shape[1] != features.embeddings.shape[1]:
            widths = self.embeddings[0].shape[1], features.embeddings.shape[1]
            raise InputError(f"features of one stream have one width, {widths[0]} is followed by {widths[1]}")
        self.embeddings.append(features.embeddings)
        if features.probabilities is not None:
            self.probabilities.append(features.probabilities)

    def _parts(self) -> tuple[Tensor, Tensor | None]:
        """The features of all, those that wait included; these go on waiting, for more to join them."""
        embeddings, probabilities = list(self.embeddings), list(self.probabilities)
        if self.waiting is not None and len(self.waiting):
            rest = self._seen(self.waiting)
            embeddings.append(rest.embeddings)
            probabilities += [] if rest.probabilities is None else [rest.probabilities]
        stacked = _joined(embeddings)
        known = _joined(probabilities) if sum(map(len, probabilities)) == sum(map(len, embeddings)) else None
        return torch.empty(0, 0) if stacked is None else stacked, known

    def _content(self) -> str:
        """What identifies the items: the digest of their pixels where it is known, else empty."""
        if self.content or self.pixels is None:
            return self.content
        return self.pixels.hexdigest()


def _joined(parts: list[Tensor]) -> Tensor | None:
    return torch.cat(parts) if parts else None

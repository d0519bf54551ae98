"""Hidden Markov models: a Markov chain of states that nobody sees, each of which emits one observation.

Lecture topic: hidden Markov models. Three questions, three algorithms: how likely is a sequence (forward), which states
lie behind it (Viterbi), and which parameters explain the data best (Baum-Welch, which is EM). States may follow each
other freely, or from left to right as in the writing of a digit; several left-to-right chains side by side are a
mixture, one chain for each way of writing.

References: L. Baum, T. Petrie, G. Soules, N. Weiss, "A Maximization Technique Occurring in the Statistical Analysis of
Probabilistic Functions of Markov Chains" (1970); L. Rabiner, "A Tutorial on Hidden Markov Models and Selected
Applications in Speech Recognition" (1989), for scaling and the left-to-right topology of R. Bakis (1976).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import ModelError
from zoo.nn import Model
from zoo.training import in_batches, report, sizes

ENTRIES = 2**21  # numbers per array of a batch: 16 MB in float64
SMALLEST = 1e-300  # in place of a zero to divide by


@dataclass(frozen=True, slots=True)
class Config:
    """`states` of each of `chains` chains, which are never left for one another; `topology`: "ergodic" (any state
    after any) or "left-to-right" (from the first state on; each step stays, goes on, or goes on by up to `reach`
    states); `iterations` of Baum-Welch, begun from `restarts` different guesses of which the best goes on after
    `trial` iterations; `smoothing`: how many pseudo-observations are added to every row of a table, the allowed
    transitions equally and symbols as frequent as in the train split; `floor`: the least standard deviation of a
    Gaussian emission in any direction, in units of the data's."""

    states: int = 16
    chains: int = 1
    topology: Literal["ergodic", "left-to-right"] = "ergodic"
    reach: int = 2
    iterations: int = 50
    restarts: int = 1
    trial: int = 5
    smoothing: float = 1.0
    floor: float = 0.1

    def __post_init__(self) -> None:
        if self.topology not in ("ergodic", "left-to-right"):
            raise ValueError(f'topology must be "ergodic" or "left-to-right", got {self.topology!r}')
        if min(self.states, self.chains, self.reach, self.iterations, self.restarts, self.trial) < 1:
            raise ValueError("states, chains, reach, iterations, restarts and trial must be at least 1")
        if self.smoothing <= 0 or self.floor <= 0:
            raise ValueError(f"smoothing and floor must be positive, got {self.smoothing} and {self.floor}")


class Categorical(nn.Module):
    """Emission of symbols 0..levels-1: a table p (chains, states, levels)."""

    def __init__(self, chains: int, states: int, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.register_buffer("p", torch.full((chains, states, levels), 1 / levels, dtype=torch.float64))

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x_t | state) of sequences (n, T): float64 (T, chains, n, states)."""
        return self.p.log().permute(2, 0, 1)[x.T].transpose(1, 2)

    def statistics(self, x: Tensor, occupied: Tensor) -> tuple[Tensor, ...]:
        """How often each state emitted each symbol, by the states' occupation (T, chains, n, states)."""
        counts = occupied.new_zeros(self.levels, *self.p.shape[:2])
        return (counts.index_add_(0, x.T.flatten(), occupied.transpose(1, 2).flatten(0, 1)).permute(1, 2, 0),)

    def maximise(self, counts: tuple[Tensor, ...], smoothing: float, floor: float) -> None:
        overall = counts[0].sum((0, 1)) + 0.5
        smoothed = counts[0] + smoothing * overall / overall.sum()
        self.p.copy_(smoothed / smoothed.sum(-1, keepdim=True))

    def points(self, x: Tensor) -> Tensor:
        """Observations (n, T) as vectors to cluster, float64: one-hot, many levels as the quantised values they are."""
        return F.one_hot(x, self.levels).double() if self.levels <= 32 else x[..., None].double() / (self.levels - 1)

    def draw(self, chain: Tensor, state: Tensor) -> Tensor:
        return torch.multinomial(self.p[chain, state], 1).squeeze(1).to(torch.uint8)


class Gaussian(nn.Module):
    """Emission of vectors (D,): a mean and a full covariance for each state."""

    def __init__(self, chains: int, states: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(chains, states, dim, dtype=torch.float64))
        self.register_buffer("covariance", torch.eye(dim, dtype=torch.float64).repeat(chains, states, 1, 1))

    def moments(self, x: Tensor) -> Tensor:
        """1, x and x x' of sequences (n, T, D), by which log-densities are linear: (T, 1, n, 1 + D + D * D)."""
        x = x.transpose(0, 1)
        products = (x[..., :, None] * x[..., None, :]).flatten(-2)
        return torch.cat([torch.ones_like(x[..., :1]), x, products], dim=-1)[:, None]

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x_t | state) in nats of sequences (n, T, D): float64 (T, chains, n, states)."""
        precision = torch.linalg.inv(self.covariance)
        slope = (precision @ self.mean[..., None]).squeeze(-1)
        log_volume = torch.linalg.slogdet(2 * math.pi * self.covariance).logabsdet
        offset = -0.5 * ((slope * self.mean).sum(-1) + log_volume)
        coefficients = torch.cat([offset[..., None], slope, -0.5 * precision.flatten(-2)], dim=-1)
        return self.moments(x) @ coefficients.mT

    def statistics(self, x: Tensor, occupied: Tensor) -> tuple[Tensor, ...]:
        """Expected moments (chains, states, 1 + D + D * D), by the states' occupation (T, chains, n, states)."""
        return ((occupied.mT @ self.moments(x)).sum(0),)

    def maximise(self, counts: tuple[Tensor, ...], smoothing: float, floor: float) -> None:
        """Means and covariances of greatest likelihood under the floor, which raises the eigenvalues below it."""
        dim = self.mean.shape[-1]
        total, first, second = counts[0].split([1, dim, dim * dim], dim=-1)
        overall = counts[0].sum((0, 1)) / total.sum()
        variance = overall[1 + dim :].reshape(dim, dim).diagonal() - overall[1 : 1 + dim] ** 2
        # A state that is never occupied keeps its place.
        self.mean.copy_(torch.where(total > 1e-8, first / total.clamp(min=SMALLEST), self.mean))
        outer = self.mean[..., :, None] * self.mean[..., None, :]
        values, vectors = torch.linalg.eigh((second / total.clamp(min=SMALLEST)).unflatten(-1, (dim, dim)) - outer)
        values = values.clamp(min=floor**2 * variance.mean().item())
        self.covariance.copy_(vectors @ (values[..., None] * vectors.mT))

    def points(self, x: Tensor) -> Tensor:
        return x

    def draw(self, chain: Tensor, state: Tensor) -> Tensor:
        root = torch.linalg.cholesky(self.covariance)[chain, state]
        noise = torch.randn(len(chain), root.shape[-1], 1, dtype=root.dtype, device=root.device)
        return (self.mean[chain, state] + (root @ noise).squeeze(-1)).float()


@dataclass(slots=True)
class Counts:
    """What one pass over the data is expected to show: first states (chains, states), transitions (chains, states,
    states), the emission's statistics, and the log-likelihood of the parameters at hand."""

    first: Tensor
    steps: Tensor
    emission: tuple[Tensor, ...]
    log_p: float

    def __add__(self, other: Counts) -> Counts:
        emission = tuple(mine + theirs for mine, theirs in zip(self.emission, other.emission, strict=True))
        return Counts(self.first + other.first, self.steps + other.steps, emission, self.log_p + other.log_p)


class HiddenMarkov(Model):
    """p(x) = sum over chains and state paths s of p(chain) p(s_1) p(x_1 | s_1) prod_t p(s_t | s_t-1) p(x_t | s_t).

    Levelled items are read symbol by symbol, images in raster order; real-valued items (T, D) and (T,) step by step.
    State s of chain c is numbered c * states + s.
    """

    Config = Config
    log_prob_kind: Literal["exact"] = "exact"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        if len(spec.shape) not in ((1, 2) if spec.levels is None else (1, 3)):
            raise ModelError(
                f"hidden-markov models symbols (T,), images of levels, and real-valued (T,) or (T, D), "
                f"not {'real-valued ' if spec.levels is None else ''}items of shape {spec.shape}"
            )
        chains, states = self.config.chains, self.config.states
        self.length = spec.size if spec.levels is not None else spec.shape[0]
        self.emission: Categorical | Gaussian
        if spec.levels is None:
            self.emission = Gaussian(chains, states, spec.size // self.length)
        else:
            self.emission = Categorical(chains, states, spec.levels)
        first, following = self.allowed()
        self.register_buffer("weight", torch.full((chains,), 1 / chains, dtype=torch.float64))
        self.register_buffer("initial", (first / first.sum()).repeat(chains, 1))
        self.register_buffer("transition", (following / following.sum(1, keepdim=True)).repeat(chains, 1, 1))

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        """One ergodic chain: of 16 states, of as many as there are symbols where those are few, of 8 on images."""
        if spec.is_image:
            return Config(states=8, iterations=20)
        if spec.levels is not None and spec.levels < 8:
            return Config(states=spec.levels, restarts=5)
        return Config(restarts=3)

    def allowed(self) -> tuple[Tensor, Tensor]:
        """Which states a chain may begin with and which may follow which, as ones: (states,), (states, states)."""
        states = self.config.states
        if self.config.topology == "ergodic":
            return torch.ones(states, dtype=torch.float64), torch.ones(states, states, dtype=torch.float64)
        following = torch.ones(states, states, dtype=torch.float64).triu().tril(self.config.reach)
        return F.one_hot(torch.tensor(0), states).double(), following

    def sequences(self, x: Tensor) -> Tensor:
        """Checked items as int64 (n, T) or float64 (n, T, D)."""
        x = self.accept(x)
        return x.long().flatten(1) if self.spec.levels is not None else x.double().reshape(len(x), self.length, -1)

    @property
    def batch(self) -> int:
        return max(1, ENTRIES // (self.length * self.config.chains * self.config.states))

    def forward_pass(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The scaled forward algorithm on sequences x: filtered p(s_t | x_1..x_t, chain) and predicted p(s_t |
        x_1..x_t-1, chain), both (T, chains, n, states), and log p(x | chain) (chains, n).

        Every chain is scaled on its own, so that one far behind another is not lost. A path less likely than 1e-300
        of its chain's best at some step is.
        """
        log_density = self.emission.log_density(x)
        filtered, predicted = torch.empty_like(log_density), torch.empty_like(log_density)
        log_p = log_density.new_zeros(self.config.chains, len(x))
        now = self.initial[:, None].expand(-1, len(x), -1)
        for t in range(self.length):
            predicted[t] = now
            joint = now.log() + log_density[t]
            scale = joint.logsumexp(-1, keepdim=True)
            filtered[t] = (joint - scale).exp()
            log_p += scale.squeeze(-1)
            now = filtered[t] @ self.transition
        return filtered, predicted, log_p

    def backward_pass(self, filtered: Tensor, predicted: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
        """p(s_t, chain | x) (T, chains, n, states) and the expected transitions (chains, states, states).

        The scaled backward variable is occupied / filtered; it never appears alone, so it cannot overflow.
        """
        occupied = torch.empty_like(filtered)
        occupied[-1] = filtered[-1] * (self.weight.log()[:, None] + log_p).softmax(0)[..., None]
        pairs = torch.zeros_like(self.transition)
        for t in range(self.length - 2, -1, -1):
            ratio = occupied[t + 1] / predicted[t + 1].clamp(min=SMALLEST)
            pairs += filtered[t].mT @ ratio
            occupied[t] = filtered[t] * (ratio @ self.transition.mT)
        return occupied, pairs * self.transition

    def expect(self, x: Tensor) -> Counts:
        """The E-step."""
        filtered, predicted, log_p = self.forward_pass(x)
        occupied, steps = self.backward_pass(filtered, predicted, log_p)
        total = (self.weight.log()[:, None] + log_p).logsumexp(0).sum().item()
        return Counts(occupied[0].sum(1), steps, self.emission.statistics(x, occupied), total)

    def maximise(self, counts: Counts) -> None:
        """The M-step: expected counts and pseudo-observations as frequencies."""
        smoothing, (first, following) = self.config.smoothing, (mask.to(self.device) for mask in self.allowed())
        weight = counts.first.sum(1) + smoothing
        self.weight.copy_(weight / weight.sum())
        for table, count, mask in ((self.initial, counts.first, first), (self.transition, counts.steps, following)):
            smoothed = count + smoothing * mask / mask.sum(-1, keepdim=True)
            table.copy_(smoothed / smoothed.sum(-1, keepdim=True))
        self.emission.maximise(counts.emission, smoothing, self.config.floor)

    def guess(self, x: Tensor) -> None:
        """Start from states that are told apart by clustering.

        Left to right, whole sequences are clustered into chains, and each is cut into equal parts, one for each state.
        Ergodic, it is the single steps that are clustered, by what is observed at them and beside them.
        """
        chains, states = self.config.chains, self.config.states
        points = self.emission.points(x)
        if self.config.topology == "left-to-right":
            chain = clusters(points.flatten(1), chains)[:, None].expand(-1, self.length)
            state = (torch.arange(self.length, device=x.device) * states // self.length).expand(len(x), -1)
        else:
            chain = clusters(points.flatten(1), chains)[:, None].expand(-1, self.length)
            beside = F.pad(points, (0, 0, 1, 1))
            around = torch.cat([points, 0.5 * beside[:, :-2], 0.5 * beside[:, 2:]], dim=-1)
            state = clusters(around.flatten(0, 1), states).reshape(len(x), self.length)
        place = F.one_hot((chain * states + state).T, chains * states).double()
        occupied = place.reshape(self.length, len(x), chains, states).transpose(1, 2)
        steps = torch.einsum("tcni,tcnj->cij", occupied[:-1], occupied[1:])
        self.maximise(Counts(occupied[0].sum(1), steps, self.emission.statistics(x, occupied), 0.0))

    @torch.no_grad()
    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Baum-Welch; the budget's steps are its iterations."""
        x = self.sequences(dataset.train)
        iterations = budget.steps or self.config.iterations
        trial = min(self.config.trial, iterations)
        best: tuple[float, dict[str, Tensor]] = (-math.inf, {})
        for _ in range(self.config.restarts):
            self.guess(x[torch.randperm(len(x), device=x.device)[: max(1, ENTRIES // self.length // 8)]])
            for _ in range(trial):
                log_p = self.improve(x)
            if log_p > best[0] or not best[1]:
                best = log_p, {name: tensor.clone() for name, tensor in self.state_dict().items()}
        self.load_state_dict(best[1])
        for step in range(trial, iterations + 1):
            nll = -self.improve(x) / len(x) if step < iterations else -self.log_prob(dataset.train).mean().item()
            report(budget, step, iterations, {"nll": nll})
        return {"nll": nll}

    def improve(self, x: Tensor) -> float:
        """One iteration of EM; returns the log-likelihood before it."""
        parts = [self.expect(part) for part in x.split(self.batch)]
        counts = sum(parts[1:], parts[0])
        self.maximise(counts)
        return counts.log_p

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """log p(x) in nats, a density for real-valued data: float64 (n,)."""

        def part(x: Tensor) -> Tensor:
            return (self.weight.log()[:, None] + self.forward_pass(x)[2]).logsumexp(0)

        return in_batches(part, self.sequences(x), self.batch)

    @torch.no_grad()
    def posterior(self, x: Tensor, /) -> Tensor:
        """p(s_t | x) of every step and state: float64 (n, T, chains * states)."""

        def part(x: Tensor) -> Tensor:
            occupied, _ = self.backward_pass(*self.forward_pass(x))
            return occupied.permute(2, 0, 1, 3).flatten(2)

        return in_batches(part, self.sequences(x), self.batch)

    @torch.no_grad()
    def viterbi(self, x: Tensor, /) -> tuple[Tensor, Tensor]:
        """The most likely state path of each item, int64 (n, T), and log p(path, x) in nats, float64 (n,)."""
        parts = [self._viterbi(part) for part in self.sequences(x).split(max(1, self.batch // self.config.states))]
        return torch.cat([path for path, _ in parts]), torch.cat([log_p for _, log_p in parts])

    def _viterbi(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_density, states = self.emission.log_density(x), self.config.states
        best = (self.weight[:, None] * self.initial).log()[:, None] + log_density[0]
        came_from = []
        for t in range(1, self.length):
            best, before = (best[..., None] + self.transition.log()[:, None]).max(-2)
            best = best + log_density[t]
            # Chains are never left, so a state's predecessor has the same chain.
            came_from.append(before + states * torch.arange(len(best), device=x.device)[:, None, None])
        log_p, last = best.transpose(0, 1).flatten(1).max(1)
        path = [last]
        for before in reversed(came_from):
            path.append(before.transpose(0, 1).flatten(1).gather(1, path[-1][:, None]).squeeze(1))
        return torch.stack(path[::-1], dim=1), log_p

    @torch.no_grad()
    def sample(self, n: int, /) -> Tensor:
        """n items (n, *shape): a chain, its states one after the other, and what they emit."""
        return torch.cat([self._sample(size) for size in sizes(n, 1000)])

    def _sample(self, n: int) -> Tensor:
        chain = torch.multinomial(self.weight, n, replacement=True)
        state = torch.multinomial(self.initial[chain], 1).squeeze(1)
        drawn = [self.emission.draw(chain, state)]
        for _ in range(1, self.length):
            state = torch.multinomial(self.transition[chain, state], 1).squeeze(1)
            drawn.append(self.emission.draw(chain, state))
        return torch.stack(drawn, dim=1).reshape(n, *self.spec.shape)


class HiddenMarkovMixture(HiddenMarkov):
    """Left-to-right chains side by side, one for each way of writing."""

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        """20 chains of 16 states for symbols, 40 for positions."""
        return Config(chains=40 if spec.levels is None else 20, topology="left-to-right", iterations=20)


def clusters(points: Tensor, k: int, rounds: int = 10) -> Tensor:
    """The cluster of each point (n, D) after some rounds of k-means from random points: int64 (n,)."""
    centres = points[torch.randperm(len(points), device=points.device)[:k]]
    for _ in range(rounds):
        cluster = torch.cdist(points, centres).argmin(1)
        sums = torch.zeros_like(centres).index_add_(0, cluster, points)
        counts = torch.bincount(cluster, minlength=len(centres))[:, None]
        centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
    return cluster

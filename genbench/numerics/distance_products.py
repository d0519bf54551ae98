"""Squared distances of many pairs at once: from one fast matrix product, with a proven bound on their error.

A route is how the product is made: in float32, from operands rounded to bfloat16, or from operands rounded to 8-bit
integers, whose products and sums are exact. All routes give lower and upper bounds; they differ in speed and in how
far the two are apart, so a caller that decides what lies between them by other means gets the same answer from each.

The bound. Let x, y be rows after the shift to a common centre and a scaling by a power of two, u, v what the route
makes of them, and p the computed product. Then x.y - u.v = x.(y - v) + (x - u).v, so that
    |x.y - p| <= |x| |y - v| + |x - u| |y| + |x - u| |y - v| + growth |u| |v|,
where the residuals' norms are measured, row by row, and `growth` bounds the rounding of a sum of D products in any
order: D 2^-24 in float32, nothing for integers (N. Higham, "Accuracy and Stability of Numerical Algorithms" (2002),
section 3.1). By a b <= (tau a^2 + b^2 / tau) / 2 each product of norms splits into a term of x and a term of y. Hence
    |x - y|^2 >= low(x) + low(y) - 2 p  and  |x - y|^2 <= low(x) + low(y) - 2 p + gap(x) + gap(y),
and no tile needs more than one number for each of its rows and columns. `SLACK` covers the float32 arithmetic of these
sums, whose terms are at most 2 |x|^2 + 2 |y|^2, and the rounding of the shift; `TINY` covers underflow.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import pad

from genbench.errors import InputError
from genbench.numerics.moments import mirrored
from genbench.numerics.polar import full_float32
from genbench.numerics.sieve import ROUNDS, Projected, principal_directions, sparse_products

Name = Literal["float32", "bfloat16", "int8"]
ROUTES: tuple[Name, ...] = get_args(Name)
GROUP = 32  # rows and columns come in multiples of this many, as kernels like them and group minima need them
CHUNK = 2**20  # elements of the input that are shifted at once
PANEL = 256  # rows of a square product that are multiplied at once
UNIT = 2.0**-24  # the rounding of float32
SLACK, TINY = 2.0**-19, 2.0**-100
FARTHEST = 1e140  # from the centre, along any axis
LEARNT = 4096  # rows that directions are learnt from
DIRECTIONS = (64, 96, 128, 192, 256, 384, 512)  # how many a sieve may have
GLANCE, HOPELESS = 512, 0.5  # rows that tell at first sight, and the share of pairs left by them, at which to give up
OVERHEAD = 0.25  # what a sieve costs beside its products, as a share of those that it may spare
SMALL = 2.0**33  # multiplications below which no route is worth a choice


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """What all points are brought into: (x - centre) scale, of which no coordinate is above 1."""

    centre: Tensor  # float64 (D,), of values that the points' own dtype holds
    scale: float  # a power of two

    @classmethod
    def around(cls, *sets: Tensor) -> Frame:
        """The common frame of sets (n, D). Raises InputError for values that are not finite, or too far apart."""
        low = torch.stack([x.amin(0) for x in sets]).double().amin(0)
        high = torch.stack([x.amax(0) for x in sets]).double().amax(0)
        if not (torch.isfinite(low).all() and torch.isfinite(high).all()):
            raise InputError("features hold values that are not finite; leave those samples out or repair them")
        # Any centre is valid, and the mean of some rows shortens the rows as well as that of all.
        some = [x[:: -(-len(x) // 2048)].double().sum(0) / len(x[:: -(-len(x) // 2048)]) for x in sets]
        centre = torch.stack(some).mean(0).to(sets[0].dtype).double()
        widest = torch.maximum(high - centre, centre - low).max()
        if not widest <= FARTHEST:
            raise InputError("features are too far apart for squared distances; divide by a constant")
        exponent = int(torch.frexp(widest).exponent) if widest > 0 else 0
        return cls(centre, 2.0 ** -max(-900, min(900, exponent)))

    def shift(self, x: Tensor) -> Tensor:
        """Rows (n, D) of the points in the frame, each coordinate rounded once to float32."""
        if x.dtype == torch.float32 and 2.0**-60 < self.scale < 2.0**60:
            return (x - self.centre.float()).mul_(self.scale)
        return (x.double() - self.centre).mul_(self.scale).float()


@dataclass(frozen=True, slots=True)
class Route:
    """How products are made; `step` is the size of an integer level, `tau` the usual relative size of a residual.

    With a `basis` (D, d), pairs are sifted by their coordinates in it first; a tile of which more than the share
    `crowded` is left is multiplied whole.
    """

    name: Name
    step: float = 1.0
    tau: float = UNIT
    basis: Tensor | None = field(default=None, compare=False, repr=False)
    crowded: float = 0.0

    @classmethod
    def fitted(cls, name: Name, sample: Tensor) -> Route:
        """The route with the step that leaves the smallest residuals on a sample of shifted rows (n, D)."""
        if name == "float32":
            return cls(name)
        deviation, largest = float(sample.square().mean().sqrt()), float(sample.abs().max())
        if largest == 0:
            return cls(name)
        reaches = [min(largest, reach * deviation) for reach in (3, 3.5, 4, 5, 6, 8, 12, 20, 40)]
        tries = [cls(name, reach / 127) for reach in reaches] if name == "int8" else [cls(name)]
        # Rows that a step cuts off spoil the bounds of all that they are compared with: few may be.
        residuals = [(sample - route.decode(route.encode(sample))).norm(dim=1) for route in tries]
        length = sample.norm(dim=1).mean()
        misses = [float(residual.quantile(0.95) / length) for residual in residuals]
        best = min(range(len(tries)), key=misses.__getitem__)
        return cls(name, tries[best].step, max(misses[best], UNIT))

    def encode(self, rows: Tensor) -> Tensor:
        """Shifted float32 rows as the operand of a product."""
        if self.name == "int8":
            return (rows / self.step).round_().clamp_(-127, 127).to(torch.int8)
        return rows.bfloat16() if self.name == "bfloat16" else rows

    def decode(self, codes: Tensor) -> Tensor:
        return codes.float().mul_(self.step) if self.name == "int8" else codes.float()

    def growth(self, dim: int, device: torch.device) -> float:
        """A bound on |computed - exact product of the operands|, relative to the product of their norms."""
        if self.name == "int8":
            return 2 * UNIT  # the sum is exact, its conversion to float32 is not
        if self.name == "float32":
            return 1.01 * (dim + 2) * UNIT
        # Units for bfloat16 may cut where they should round; and off the GPU the result is rounded to bfloat16 too.
        return 4 * (dim + 2) * UNIT + (0.0 if device.type == "cuda" else 2.0**-8)


class Products:
    """Makes the products of one route, each in the same memory: fresh memory would cost as much as the product."""

    def __init__(self, route: Route, elements: int, device: torch.device) -> None:
        self.route = route
        self.memory = torch.empty(elements, device=device)
        self._integers = torch.empty(elements if route.name == "int8" else 0, dtype=torch.int32, device=device)

    def __call__(self, rows: Tensor, columns: Tensor) -> Tensor:
        """x.y / factor of all pairs of encoded rows (a, D) and columns (b, D): float32 (a, b), until the next call."""
        shape = len(rows), len(columns)
        result = self.memory[: shape[0] * shape[1]].view(shape)
        if self.route.name == "int8":
            integers = self._integers[: result.numel()].view(shape)
            return result.copy_(torch._int_mm(rows, columns.T, out=integers))
        if self.route.name == "float32":
            with full_float32():  # the bound holds for float32, whatever the user allows elsewhere
                return torch.mm(rows, columns.T, out=result)
        if rows.is_cuda:
            return torch.mm(rows, columns.T, out_dtype=torch.float32)
        return result.copy_(rows @ columns.T)

    def square(self, rows: Tensor) -> Tensor:
        """The products of encoded rows (a, D) with themselves: in float32 half are made, and half copied."""
        if self.route.name != "float32" or rows.is_cuda:
            return self(rows, rows)
        result = self.memory[: len(rows) ** 2].view(len(rows), len(rows))
        with full_float32():
            for start in range(0, len(rows), PANEL):
                stop = start + PANEL
                torch.mm(rows[start:stop], rows[start:].T, out=result[start:stop, start:])
        return mirrored(result)

    @property
    def factor(self) -> float:
        """-2 times what makes x.y of a product."""
        return -2 * self.route.step**2 if self.route.name == "int8" else -2.0


class Points:
    """The rows of one set, encoded for a route, with the two numbers of each row that the bounds are made of.

    `low` and `gap` are float32 (padded,); the rows that pad the set to a multiple of GROUP are infinitely far away.
    """

    def __init__(self, x: Tensor, frame: Frame, route: Route, room: int) -> None:
        self.x, self.frame, self.route = x, frame, route
        self.padded = -(-len(x) // GROUP) * GROUP
        self.width = -(-x.shape[1] // GROUP) * GROUP
        dtype: torch.dtype = getattr(torch, route.name)
        self._room, self._row_bytes = room, self.width * dtype.itemsize
        self._kept: Tensor | None = None
        self._recent: dict[tuple[int, int], Tensor] = {}
        if self.padded * self._row_bytes <= room:
            self._kept = torch.zeros(self.padded, self.width, dtype=dtype, device=x.device)
        self.low = torch.full((self.padded,), torch.inf, device=x.device)
        self.gap = torch.zeros(self.padded, device=x.device)
        self.projected = None if route.basis is None else Projected(route.basis, self.padded)
        step = max(GROUP, CHUNK // x.shape[1])
        for start in range(0, len(x), step):
            self._measure(slice(start, min(start + step, len(x))))

    def __len__(self) -> int:
        return len(self.x)

    def _measure(self, part: slice) -> None:
        rows = self.frame.shift(self.x[part])
        codes = self.route.encode(rows)
        if self._kept is not None:
            self._kept[part, : rows.shape[1]] = codes
        norm = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
        if self.projected is not None:
            self.projected.measure(part, rows, norm)
        residual = 2 * UNIT * norm
        if self.route.name != "float32":
            residual += 1.01 * torch.linalg.vector_norm(self.route.decode(codes).sub_(rows), dim=1).double()
        squares, tau = norm.square(), self.route.tau
        growth = self.route.growth(rows.shape[1], rows.device)
        error = (tau * squares + residual.square() * (1 / tau + 1) + growth * (norm + residual).square()) / 2
        slack = SLACK * (squares + residual.square()) + TINY
        self.low[part] = (squares - 2 * error - slack).float()
        self.gap[part] = (1.0001 * (4 * error + 2 * slack)).float()

    def codes(self, part: slice) -> Tensor:
        """The encoded rows of a part, whose ends are multiples of GROUP; padded with zeros."""
        if self._kept is not None:
            return self._kept[part]
        codes = self._recent.pop((part.start, part.stop), None)
        if codes is None:
            if len(self._recent) >= self.at_hand(part.stop - part.start):
                self._recent.pop(next(iter(self._recent)))  # what was asked for longest ago
            rows = self.x[part.start : min(part.stop, len(self.x))]
            codes = self.route.encode(self.frame.shift(rows))
            codes = pad(codes, (0, self.width - codes.shape[1], 0, part.stop - part.start - len(codes)))
        self._recent[part.start, part.stop] = codes
        return codes

    def at_hand(self, rows: int) -> int:
        """Of how many parts of so many rows the codes are kept, once they were asked for: of two at least."""
        return max(2, self._room // (rows * self._row_bytes))


@dataclass(frozen=True, slots=True)
class Rates:
    """What a machine does: seconds for a multiplication and addition by each route, and for a coordinate of a pair,
    on its own or of a product of chosen pairs (infinite where a device has none)."""

    routes: dict[Name, float]
    pair: float
    sparse: float = math.inf


def _seconds(run: Callable[[], Tensor], repeats: int = 10) -> float:
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        float(run().flatten()[0])  # waits for a GPU
        times.append(time.perf_counter() - start)
    return min(times[1:])


@lru_cache(maxsize=8)
def rates(device: str) -> Rates:
    """How fast each route is on a device, measured once in a process; a route that the device lacks is left out."""
    size, dim = (512, 1024) if device == "cpu" else (4096, 1024)
    # Any values do, and no generator is touched.
    rows = torch.linspace(-1, 1, size * dim, device=device).reshape(size, dim)
    speeds: dict[Name, float] = {}
    for name in ROUTES:
        route = Route(name, 1 / 127)
        codes = route.encode(rows)
        try:
            product = Products(route, size * size, rows.device)
            speeds[name] = _seconds(partial(product, codes, codes)) / (size * size * dim)
        except (RuntimeError, TypeError, NotImplementedError):
            continue
    index = torch.arange(size, device=device)
    pair = _seconds(lambda: (rows[index[:64]] - rows[index[-64:]]).square().sum(1)) / (64 * dim)
    return Rates(speeds, pair, _sparse_rate(rows) if device == "cpu" else math.inf)


def _sparse_rate(rows: Tensor) -> float:
    """Seconds for a coordinate of a product of chosen pairs, one in fifty of the rows (n, D) with themselves."""
    pairs = torch.arange(0, len(rows) ** 2, 50)
    row, column = pairs // len(rows), pairs % len(rows)
    return _seconds(lambda: sparse_products(rows, rows, row, column)) / (len(pairs) * rows.shape[1])


def choose(frame: Frame, first: Tensor, second: Tensor, k: int, reach: int = 0) -> Route:
    """The route that should settle the k nearest neighbours among sets (n, D) and (m, D) soonest.

    The sample shows how many more than k pairs each route leaves open, which are then looked at one by one. Where an
    error is to come, so are those as near as the `reach`-th neighbour, by routes that round: of either set among
    itself, and in the balls around both.
    """
    dim = first.shape[1]
    work = float(len(first)) * len(second) * dim
    if work < SMALL:
        return Route("float32")
    speed = rates(str(first.device))
    rows = frame.shift(first[:: -(-len(first) // 64)])
    columns = frame.shift(second[:: -(-len(second) // 4096)])
    squares = rows.square().sum(1)[:, None] + columns.square().sum(1) - 2 * rows @ columns.T
    # The row itself may be among the columns.
    near, far = (
        squares.kthvalue(min(count + 1, squares.shape[1]), dim=1).values[:, None] for count in (k, max(k, reach))
    )
    best, least = Route("float32"), work * speed.routes["float32"] + len(first) * k * dim * speed.pair
    if math.isfinite(speed.sparse):
        half = LEARNT // 2
        sample = torch.cat([frame.shift(x[:: -(-len(x) // half)]) for x in (first, second)])
        sifted, least = _sifted(sample, _Sieves(rows, columns, far, speed, work), least)
        best = sifted or best
    for name, seconds in speed.routes.items():
        # Routes that round look up k pairs a row at least, and more for an error.
        fewest = work * seconds + len(first) * (k + 3 * reach) * dim * speed.pair
        if name == "float32" or fewest >= least or (name == "int8" and dim > 2**16):
            continue
        route = Route.fitted(name, torch.cat([rows, columns[:1024]]))
        small = Frame(torch.zeros_like(frame.centre), 1.0)
        gaps = [Points(x, small, route, 0).gap[: len(x)] for x in (rows, columns)]
        # In a larger set the k-th neighbour is nearer, where each window of the same width holds more for every one.
        window = (gaps[0][:, None] + gaps[1]) / 2
        open_pairs = float((squares <= near + window).sum(1).double().mean())
        if reach:
            open_pairs += 3 * float((squares <= far + window).sum(1).double().mean())
        cost = work * seconds + len(first) * open_pairs * dim * speed.pair
        if cost < least:
            best, least = route, cost
    return best


@dataclass(frozen=True, eq=False, slots=True)
class _Sieves:
    """What sieves are judged by: rows (a, D) and columns (b, D) of both sets, the squared distances (a, 1) that matter,
    and `work`, the multiplications of all products, at a machine's speed."""

    rows: Tensor
    columns: Tensor
    reach: Tensor
    speed: Rates
    work: float

    def best(self, sample: Tensor, most: int, rounds: int, least: float) -> tuple[Route | None, float, float]:
        """The route by at most so many directions of a sample (m, D), if it takes less than `least` seconds.

        With the seconds, and the share of pairs that the most directions leave.
        """
        counts = [count for count in DIRECTIONS if count <= most and 2 * count <= min(sample.shape)]
        route, left = None, 1.0
        if counts:
            basis = principal_directions(sample, counts[-1], rounds)
            u, v = self.rows @ basis, self.columns @ basis
        for count in counts:
            left = float((torch.cdist(u[:, :count], v[:, :count]).square() <= self.reach).double().mean())
            cost = self.floor(count) + self.work * self.speed.sparse * left
            if cost < least:
                crowded = self.speed.routes["float32"] / self.speed.sparse
                route, least = Route("float32", basis=basis[:, :count].contiguous(), crowded=crowded), cost
        return route, least, left

    def floor(self, count: int) -> float:
        """The seconds of a sieve that leaves no pair."""
        return self.work * self.speed.routes["float32"] * (count / self.rows.shape[1] + OVERHEAD)


def _sifted(sample: Tensor, sieves: _Sieves, least: float) -> tuple[Route | None, float]:
    """The float32 route behind a sieve and its seconds, where these are fewer than `least`; or None and `least`.

    The directions are learnt from few rows of the sample first, and from all of it where that may repay the effort.
    """
    route, seconds, left = sieves.best(sample[:: -(-len(sample) // GLANCE)], DIRECTIONS[-1], 1, least)
    # Twice as many directions as few rows ask for are enough.
    few = DIRECTIONS[-1] if route is None or route.basis is None else route.basis.shape[1]
    most = min(2 * few, DIRECTIONS[-1])
    multiplications = sample.numel() * most * (2 * ROUNDS + 3)
    saving = seconds - sieves.floor(DIRECTIONS[0])
    if left > HOPELESS or saving < multiplications * sieves.speed.routes["float32"]:
        return route, seconds
    finer, seconds, _ = sieves.best(sample, most, ROUNDS, seconds)
    return finer or route, seconds

"""A function, a network or a sampler as a Generator: what it makes becomes items of a spec, as its owner means them.

Reference: L. Theis et al., "A note on the evaluation of generative models" (2016), for the mass of a level under a
density: the integral over the level's cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from genbench.contracts import Effort, Kind, SampleSpec
from genbench.errors import InputError, ModelError
from genbench.likelihood import dequantized_log_prob
from genbench.plugins.arrays import plain

Layout = Literal["NCHW", "NHWC", "flat"]
Rounding = Literal["nearest", "floor"]
FAR = 8.0  # mean distance of values from the middle of their range, in halves of it, that no untrained model shows
Map = Callable[[Tensor], Any]


@dataclass(frozen=True, eq=False)
class Adaptation:
    """What a source's values mean.

    `shape` is that of one item, (channels, height, width) of images whatever the `layout`: "NCHW", "NHWC" or "flat"
    (n, D), which is taken under "NCHW" too. `levels` is how many values there are, None for real-valued items.

    `range` is what the lowest and the highest level are among the source's values, which are mapped to levels and
    clipped; None for a source that makes levels itself, as it does where it makes integers. `rounding` is how: to the
    "nearest" of levels that reach from end to end of the range; or the "floor", where the range is cut into as many
    cells as there are levels, which is usual where data was dequantized, and the default with a density.

    `latent` says that the source maps codes: their size or shape, for codes of a standard normal distribution, or a
    function of n (or a distribution) that draws them. `classes` is how many classes there are to choose from.

    `log_prob` gives the log of the mass of items (of the density, where they are real-valued), (n,) in nats, of
    `log_prob_kind`. `density` gives the log density of items instead, which becomes a lower bound on the mass by
    dequantization. `reconstruct` maps items to items. These three are given items as the source makes them: floats in
    the range, in the layout, on the device.

    `batch_size` is how many items are asked for at once, None for 1,000; `device` where a network runs, None where it
    is; `effort` how many noises dequantization averages; `name` and `version` what it is called.
    """

    shape: tuple[int, ...] = (3, 32, 32)
    levels: int | None = 256
    range: tuple[float, float] | None = (-1.0, 1.0)
    layout: Layout = "NCHW"
    rounding: Rounding | None = None
    latent: Any = None
    classes: int | None = None
    log_prob: Map | None = None
    log_prob_kind: Kind = "exact"
    density: Map | None = None
    reconstruct: Map | None = None
    batch_size: int | None = None
    device: str | None = None
    effort: Effort = field(default_factory=Effort)
    name: str = ""
    version: str | None = None

    def __post_init__(self) -> None:
        try:
            spec = self.spec
        except (TypeError, ValueError) as error:
            raise InputError(str(error)) from error
        if self.layout not in get_args(Layout):
            raise InputError(f"layout must be one of {', '.join(get_args(Layout))}, not {self.layout!r}")
        if self.layout == "NHWC" and not spec.is_image:
            raise InputError(
                f"layout NHWC is one of images, whose shape is (channels, height, width), not {spec.shape}"
            )
        if self.rounding not in (None, *get_args(Rounding)):
            raise InputError(f"rounding must be one of {', '.join(get_args(Rounding))}, not {self.rounding!r}")
        if self.range is not None and not (
            len(self.range) == 2 and all(map(math.isfinite, self.range)) and self.range[0] < self.range[1]
        ):
            raise InputError(f"range must be (lowest, highest), as (-1, 1), not {self.range!r}")
        if self.log_prob is not None and self.density is not None:
            raise InputError("give log_prob or density, not both: a density is turned into log_prob by dequantization")
        if self.log_prob_kind not in get_args(Kind):
            raise InputError(f"log_prob_kind must be one of {', '.join(get_args(Kind))}, not {self.log_prob_kind!r}")
        if self.density is not None and self.levels is not None and self.range is None:
            raise InputError("a density needs the range of the values that it is one of, as range=(0, 1)")
        for count in ("classes", "batch_size"):
            value = getattr(self, count)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InputError(f"{count} must be a whole number of at least 1, not {value!r}")

    @property
    def spec(self) -> SampleSpec:
        return SampleSpec(tuple(self.shape), self.levels)

    @property
    def floors(self) -> bool:
        return (self.rounding or ("nearest" if self.density is None else "floor")) == "floor"


class Adapted:
    """A Generator made of a source, with the capabilities that its `Adaptation` gives it; see `genbench.adapt`."""

    def __init__(self, source: Any, options: Adaptation) -> None:
        network = _network_of(source)
        if network is not None:
            network.eval()
            if options.device is not None:
                network.to(options.device)
        self.source, self.options, self.spec = source, options, options.spec
        self.device, self.dtype = _place_of(network, options.device)
        self.name = options.name or _name_of(source)
        self.batch_size, self.classes, self.version = options.batch_size, options.classes, options.version
        self._codes = _codes(options.latent)
        self._draw = source if self._codes is not None else _sampler(source)
        if self._codes is not None and options.classes is None:
            self.latent_shape = tuple(self.sample_latent(1).shape[1:]) if _is_drawn(options.latent) else _sizes(options)
            self.decode = self._decode
        if options.log_prob is not None or options.density is not None:
            bound = options.density is not None and self.spec.levels is not None
            self.log_prob_kind: Kind = "lower_bound" if bound else options.log_prob_kind
            self.log_prob = self._log_prob
        if options.reconstruct is not None:
            self.reconstruct = self._reconstruct

    def place_with(self, network: nn.Module | None) -> None:
        """Give the source what it maps where that network is, which it calls."""
        self.device, self.dtype = _place_of(network, self.options.device)

    @torch.no_grad()
    def sample(self, n: int, labels: Tensor | None = None, /) -> Tensor:
        """n items (n, *shape) of the spec; of the classes `labels`, int64 (n,), where there are classes to choose.

        Without labels, classes are drawn evenly.
        """
        told: list[Any] = [n if self._codes is None else self._told(self._codes(n))]
        if self.classes is not None:
            chosen = torch.randint(self.classes, (n,)) if labels is None else torch.as_tensor(labels)
            told.append(chosen.long().to(self.device))
        return self.items(self._draw(*told), n)

    @torch.no_grad()
    def sample_latent(self, n: int, /) -> Tensor:
        """n codes, float32 (n, *latent_shape)."""
        if self._codes is None:
            raise ModelError(f"{self.name} was adapted without latent, so it has no codes")
        return self._codes(n).float().cpu()

    @torch.no_grad()
    def _decode(self, z: Tensor, /) -> Tensor:
        return self.items(self.source(self._told(z)), len(z))

    def _told(self, values: Tensor) -> Tensor:
        """Values where the source computes, in its precision."""
        return values.to(self.device, self.dtype)

    @torch.no_grad()
    def _log_prob(self, x: Tensor, /) -> Tensor:
        options = self.options
        if options.density is None or self.spec.levels is None:
            function = options.log_prob or options.density
            assert function is not None
            return _one_per_item(function(self.values(x)), len(x))
        return dequantized_log_prob(self._density, x, self.spec, options.effort.dequantization_samples)

    def _density(self, u: Tensor) -> Tensor:
        """The log density at u (n, *shape) in [0, 1), where each level's cell is as wide as any, float64 (n,)."""
        assert self.options.density is not None
        assert self.options.range is not None
        assert self.spec.levels is not None
        low, high = self.options.range
        width = high - low
        if self.options.floors:
            values = low + width * u
        else:  # levels reach from end to end, so the outer cells stick out
            step = width / (self.spec.levels - 1)
            values, width = low + step * (self.spec.levels * u - 0.5), step * self.spec.levels
        density = _one_per_item(self.options.density(self._told(self._arranged(values))), len(u))
        return density + self.spec.size * math.log(width)

    @torch.no_grad()
    def _reconstruct(self, x: Tensor, /) -> Tensor:
        assert self.options.reconstruct is not None
        return self.items(self.options.reconstruct(self.values(x)), len(x))

    def values(self, x: Tensor) -> Tensor:
        """Items (n, *shape) as the source makes them: floats in the range, in the layout, on the device."""
        levels = self.spec.levels
        if levels is None:
            return self._told(self._arranged(x))
        if self.options.range is None:
            return self._arranged(x).to(self.device)
        low, high = self.options.range
        share = (x + 0.5) / levels if self.options.floors else x.float() / (levels - 1)
        return self._told(self._arranged(low + (high - low) * share))

    def items(self, made: Any, n: int) -> Tensor:
        """What the source made for n items, as items (n, *shape) on the CPU. Raises ModelError where it cannot be."""
        x = self._shaped(plain(_stacked(made), self.name), n)
        if self.spec.levels is None:
            return x.float()
        if not x.is_floating_point():
            return self._levels(x)
        if not torch.isfinite(x).all():
            raise ModelError(f"{self.name} made values that are not finite")
        if self.options.range is None:
            raise ModelError(f"{self.name} made {x.dtype} where range=None promises levels; name their range")
        low, high = self.options.range
        reach = float((x.double() - (low + high) / 2).abs().mean()) / ((high - low) / 2) if x.numel() else 0.0
        if reach > FAR:
            raise ModelError(
                f"the values of {self.name} reach from {float(x.min()):.4g} to {float(x.max()):.4g}, "
                f"which is far outside range=({low:g}, {high:g}); name their range"
            )
        share = (x.double() - low) / (high - low)
        top = self.spec.levels - 1
        levels = (share * self.spec.levels).floor() if self.options.floors else (share * top).round()
        return levels.clamp(0, top).to(torch.uint8)

    def _levels(self, x: Tensor) -> Tensor:
        """Integers that are levels already."""
        assert self.spec.levels is not None
        if x.numel() and not 0 <= int(x.min()) <= int(x.max()) < self.spec.levels:
            raise ModelError(
                f"{self.name} made integers from {int(x.min())} to {int(x.max())}; the levels are "
                f"0..{self.spec.levels - 1}"
            )
        return x.to(torch.uint8)

    def _shaped(self, x: Tensor, n: int) -> Tensor:
        """Values in the source's layout as (n, *shape)."""
        shape = self.spec.shape
        if x.ndim == 3 and len(shape) == 3 and shape[0] == 1:  # grey, without its channel
            x = x[:, None] if self.options.layout != "NHWC" else x[..., None]
        last = self.options.layout == "NHWC"
        expected = (n, *shape[1:], shape[0]) if last else (n, *shape)
        if tuple(x.shape) == (n, self.spec.size):
            x = x.reshape(expected)
        if tuple(x.shape) != expected:
            hint = ""
            if self.spec.is_image and tuple(x.shape) == ((n, *shape) if last else (n, *shape[1:], shape[0])):
                hint = f"; say layout={'NCHW' if last else 'NHWC'!r}"
            raise ModelError(f"{self.name} made shape {tuple(x.shape)}, not {expected}{hint}")
        return x.permute(0, 3, 1, 2).contiguous() if last else x

    def _arranged(self, x: Tensor) -> Tensor:
        """Items (n, *shape) in the source's layout."""
        if self.options.layout == "flat":
            return x.flatten(1)
        return x.permute(0, 2, 3, 1) if self.options.layout == "NHWC" else x


def _network_of(source: Any) -> nn.Module | None:
    """The module that a source is, or a method of."""
    owner = getattr(source, "__self__", source)
    return owner if isinstance(owner, nn.Module) else None


def _place_of(network: nn.Module | None, device: str | None) -> tuple[torch.device, torch.dtype]:
    """Where a network's first weights are, and their precision."""
    for weight in () if network is None else network.parameters():
        if weight.is_floating_point():
            return weight.device, weight.dtype
    return torch.device(device or "cpu"), torch.float32


def _name_of(source: Any) -> str:
    """A function's or a class's own name."""
    return str(getattr(source, "__qualname__", type(source).__name__))


def _sampler(source: Any) -> Callable[..., Any]:
    """How a source is asked for n items. Raises InputError where it cannot be."""
    if isinstance(source, torch.distributions.Distribution):
        return lambda n: source.sample(torch.Size((n,)))
    if not isinstance(source, nn.Module) and callable(source):
        function: Callable[..., Any] = source
        return function
    method = getattr(source, "sample", None)
    if not callable(method):
        raise InputError(
            f"{_name_of(source)} has no method sample(n); say latent=SIZE where it maps codes, or give a function of n"
        )
    sampler: Callable[..., Any] = method
    return sampler


def _is_drawn(latent: Any) -> bool:
    """Whether codes are drawn by a function or a distribution of their own."""
    return callable(latent) or isinstance(latent, torch.distributions.Distribution)


def _sizes(options: Adaptation) -> tuple[int, ...]:
    return (options.latent,) if isinstance(options.latent, int) else tuple(options.latent)


def _codes(latent: Any) -> Callable[[int], Tensor] | None:
    """What draws n codes; None where there are none. Raises InputError for what is no size, shape or sampler."""
    if latent is None:
        return None
    if isinstance(latent, torch.distributions.Distribution):
        return lambda n: latent.sample(torch.Size((n,)))
    if callable(latent):
        return lambda n: torch.as_tensor(latent(n))
    sizes = (latent,) if isinstance(latent, int) else latent
    if (
        isinstance(latent, bool)
        or not isinstance(sizes, Sequence)
        or not all(isinstance(size, int) and size > 0 for size in sizes)
    ):
        raise InputError(f"latent must be a size, a shape or a function of n, as latent=128, not {latent!r}")
    return lambda n: torch.randn(n, *sizes)


def _stacked(made: Any) -> Any:
    """A list of tensors, arrays or pictures as one."""
    if not isinstance(made, list | tuple) or not made:
        return made
    if all(isinstance(part, Tensor) for part in made):
        return torch.stack(list(made)) if len({part.shape for part in made}) == 1 else made
    arrays = [np.asarray(part) for part in made]
    return np.stack(arrays) if len({array.shape for array in arrays}) == 1 else made


def _one_per_item(values: Any, n: int) -> Tensor:
    """Log-probabilities as float64 (n,) on the CPU. Raises ModelError for another shape."""
    values = plain(values, "log_prob")
    if tuple(values.shape) not in ((n,), (n, 1)):
        raise ModelError(f"log_prob returned shape {tuple(values.shape)}, not ({n},)")
    return values.reshape(n).double()

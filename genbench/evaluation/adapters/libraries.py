"""The models of other libraries as generators: pipelines of diffusers, autoencoders of pythae, normalizing flows.

None of the libraries is imported here: what is given is called as its library documents.

References: J. Ho et al., "Denoising Diffusion Probabilistic Models" (2020); C. Chadebec et al., "Pythae: Unifying
Generative Autoencoders in Python" (2022); Y. Burda et al., "Importance Weighted Autoencoders" (2016).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from genbench import seeding
from genbench.contracts import Effort
from genbench.errors import InputError
from genbench.evaluation.adapters.adapted import Adaptation, Adapted, Layout
from genbench.likelihood import importance_weighted_bound

PIPELINE_BATCH = 64  # images that a diffusion pipeline is asked for at once
# pythae's models whose prior is a standard normal distribution, and whose posterior is normal before any flow.
NORMAL_PRIOR = (
    *("VAE", "BetaVAE", "DisentangledBetaVAE", "BetaTCVAE", "FactorVAE", "INFOVAE_MMD", "IWAE", "MIWAE", "PIWAE"),
    *("CIWAE", "VAE_LinNF", "VAE_IAF"),
)


def diffusers(
    pipeline: Any,
    shape: tuple[int, int, int] | None = None,
    levels: int = 256,
    classes: int | None = None,
    batch_size: int = PIPELINE_BATCH,
    **call: Any,
) -> Adapted:
    """A pipeline of diffusers, which is on the device and in the precision that it was put in.

    `call` goes to the pipeline, as ``num_inference_steps=50``; a `prompt` may be one text, or a list of them of which
    each sample takes one at random. `shape` (channels, height, width) is found out by one image where it is not given.
    Pipelines that take `class_labels` (as DiT's) choose from `classes`, which are the network's own where it says.

    >>> pipeline = DDPMPipeline.from_pretrained("google/ddpm-cifar10-32").to("cuda")
    >>> genbench.evaluate(genbench.adapt.diffusers(pipeline, num_inference_steps=1000), "cifar10")

    Raises InputError for a pipeline that can be asked in none of these ways.
    """
    takes = inspect.signature(pipeline.__call__).parameters
    if "class_labels" in takes and classes is None:
        classes = getattr(getattr(getattr(pipeline, "transformer", None), "config", None), "num_embeds_ada_norm", None)
    if hasattr(pipeline, "set_progress_bar_config"):
        pipeline.set_progress_bar_config(disable=True)  # one for every batch

    def drawn(n: int, labels: Tensor | None = None, /, **options: Any) -> Any:
        asked = {**call, **options, "output_type": "np"}
        if labels is not None and "class_labels" in takes:
            asked["class_labels"] = labels.tolist()
        elif "prompt" in takes and "prompt" in call:
            prompts = [call["prompt"]] if isinstance(call["prompt"], str) else list(call["prompt"])
            asked["prompt"] = [prompts[place] for place in torch.randint(len(prompts), (n,)).tolist()]
        elif "batch_size" in takes:
            asked["batch_size"] = n
        else:
            raise InputError(
                f"{type(pipeline).__name__} takes no batch_size; say prompt=TEXT, or adapt a function of n"
            )
        return pipeline(**asked).images

    if shape is None:
        steps = {"num_inference_steps": 2} if "num_inference_steps" in takes else {}
        told = () if classes is None else (torch.zeros(1, dtype=torch.int64),)
        with seeding.scoped("shape"), torch.no_grad():
            height, width, channels = drawn(1, *told, **steps)[0].shape
        shape = (channels, height, width)
    options = Adaptation(
        shape, levels, (0.0, 1.0), "NHWC", classes=classes, batch_size=batch_size, name=type(pipeline).__name__
    )
    return Adapted(drawn, options)


def flow(
    distribution: Any,
    shape: tuple[int, ...] = (3, 32, 32),
    levels: int | None = 256,
    range: tuple[float, float] = (0.0, 1.0),
    effort: Effort | None = None,
) -> Adapted:
    """A normalizing flow: one of zuko, normflows or nflows, or any torch distribution with `sample` and `log_prob`.

    It is one of items as vectors (n, D) or of shape (n, *shape), dequantized: `range` is what the `levels` cells of
    the data were spread over, as ``(0, 1)`` for (x + u) / 256 with uniform noise u. Samples are the levels whose cells
    they fall into, and likelihoods of levelled items are lower bounds on their masses. With ``levels=None`` items are
    real, and their likelihoods exact densities. Raises InputError for what can neither sample nor tell a density.

    >>> genbench.evaluate(genbench.adapt.flow(zuko.flows.NSF(64), shape=(1, 8, 8), levels=17), "digits")
    """
    network = distribution if isinstance(distribution, nn.Module) else None
    if network is not None:
        network.eval()
    sample, log_density = _sampling(distribution), _log_density(distribution)
    with seeding.scoped("shape"), torch.no_grad():
        layout: Layout = "flat" if sample(2).ndim == 2 and len(shape) > 1 else "NCHW"
    options = Adaptation(
        shape, levels, range, layout, density=log_density, effort=effort or Effort(), name=type(distribution).__name__
    )
    adapted = Adapted(sample, options)
    adapted.place_with(network)
    return adapted


def _sampling(distribution: Any) -> Callable[[int], Tensor]:
    """What draws n items: torch's distributions take a shape, lazy ones of zuko must be called first."""

    def drawn(n: int) -> Tensor:
        source = distribution if hasattr(distribution, "sample") else distribution()
        made = source.sample(torch.Size((n,)) if isinstance(source, torch.distributions.Distribution) else n)
        items: Tensor = made[0] if isinstance(made, tuple) else made  # normflows gives log densities too
        return items

    if not hasattr(distribution, "sample") and not callable(distribution):
        raise InputError(f"{type(distribution).__name__} is no flow: it has neither sample and log_prob nor a call")
    return drawn


def _log_density(distribution: Any) -> Callable[[Tensor], Tensor]:
    def log_density(x: Tensor) -> Tensor:
        source = distribution if hasattr(distribution, "log_prob") else distribution()
        values: Tensor = source.log_prob(x)
        return values.flatten(1).sum(1) if values.ndim > 1 else values  # of each dimension, where they are independent

    return log_density


def pythae(model: Any, sampler: Any = None, levels: int = 256, effort: Effort | None = None) -> Adapted:
    """An autoencoder of pythae, which is one of data in [0, 1], with its reconstructions.

    Samples are the decoder's means for codes of a standard normal distribution, or what a pythae `sampler` that was
    fitted draws, as models without such a prior need. A VAE with that prior has likelihoods too, lower bounds by
    importance weighting: with the "mse" loss those of its unit normal decoder, dequantized, as pythae's `get_nll`
    takes it; with "bce" those of binary data, for ``levels=2``. Raises InputError for a model that needs a sampler.

    >>> genbench.evaluate(genbench.adapt.pythae(model, levels=17), "digits")
    """
    normal = getattr(model, "model_name", "") in NORMAL_PRIOR
    if sampler is None and not normal:
        raise InputError(
            f"{type(model).__name__} has no standard normal prior; fit one of pythae.samplers and say sampler=..."
        )
    effort = effort or Effort()
    loss = getattr(model.model_config, "reconstruction_loss", "")
    weighted = _ImportanceWeighted(model, loss, effort, levels)
    options = Adaptation(
        tuple(model.model_config.input_dim),
        levels,
        (0.0, 1.0),
        rounding="nearest",
        latent=model.latent_dim if sampler is None else None,
        log_prob=weighted if normal and loss == "bce" and levels == 2 else None,
        log_prob_kind="lower_bound",
        density=weighted if normal and loss == "mse" else None,
        reconstruct=model.reconstruct,
        effort=effort,
        name=type(model).__name__,
    )
    model.eval()
    if sampler is None:
        source: Callable[..., Any] = lambda z: model.decoder(z)["reconstruction"]  # noqa: E731
    else:
        source = lambda n: sampler.sample(num_samples=n, batch_size=n, return_gen=True)  # noqa: E731
    adapted = Adapted(source, options)
    adapted.place_with(model)
    return adapted


class _ImportanceWeighted:
    """The bound on log p(x) of a VAE, (n,) in nats, at data x (n, *shape) in [0, 1]."""

    def __init__(self, model: Any, loss: str, effort: Effort, levels: int) -> None:
        self.model, self.loss = model, loss
        # A density is averaged over noises besides.
        noises = 1 if levels == 2 and loss == "bce" else effort.dequantization_samples
        self.samples = max(1, effort.importance_samples // noises)

    def __call__(self, x: Tensor) -> Tensor:
        encoded = self.model.encoder(x)
        mean, log_variance = encoded["embedding"], encoded["log_covariance"]

        def log_weights(k: int) -> Tensor:
            noise = torch.randn(k, *mean.shape, device=mean.device, dtype=mean.dtype)
            z = mean + (0.5 * log_variance).exp() * noise
            # The normalizers of prior and proposal cancel but for the determinant.
            prior_by_proposal = 0.5 * (noise.square() - z.square() + log_variance).sum(-1)
            return prior_by_proposal + self._log_likelihood(z.flatten(0, 1), x.repeat(k, *[1] * (x.ndim - 1)), k)

        return importance_weighted_bound(log_weights, self.samples)

    def _log_likelihood(self, z: Tensor, x: Tensor, k: int) -> Tensor:
        """log p(x|z) of k codes for each item, (k, n)."""
        decoded, items = self.model.decoder(z)["reconstruction"].flatten(1), x.flatten(1)
        if self.loss == "bce":
            each = -nn.functional.binary_cross_entropy(decoded, items, reduction="none")
        else:
            each = -0.5 * (decoded - items).square() - 0.5 * math.log(2 * math.pi)
        return each.sum(1).reshape(k, -1)

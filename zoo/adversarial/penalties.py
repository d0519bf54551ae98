"""The penalties of adversarial training, as plain functions of a critic, of images or of weights.

A critic here is any function of images (n, C, H, W) to scores whose sum over each image's own is what counts.

References: I. Gulrajani et al., "Improved Training of Wasserstein GANs" (2017); L. Mescheder, A. Geiger and S. Nowozin,
"Which Training Methods for GANs do actually Converge?" (2018); A. Brock, J. Donahue and K. Simonyan, "Large Scale GAN
Training for High Fidelity Natural Image Synthesis" (2019); T. Karras et al., "Analyzing and Improving the Image Quality
of StyleGAN" (2020).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Critic = Callable[[Tensor], Tensor]


def slope(critic: Critic, images: Tensor) -> Tensor:
    """The gradient of the summed scores at images (n, C, H, W), itself differentiable: (n, C * H * W)."""
    images = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradient.flatten(1)


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """E[(||grad f(x)|| - 1)^2] at x = e real + (1 - e) fake, e ~ U[0, 1] for each pair of images."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    return (slope(critic, share * real + (1 - share) * fake).norm(dim=1) - 1).square().mean()


def r1(critic: Critic, real: Tensor) -> Tensor:
    """E[||grad D(x)||^2] at the data: where the generator has reached it, the discriminator comes to rest."""
    return slope(critic, real).square().sum(1).mean()


def orthogonality(weight: Tensor) -> Tensor:
    """The squared inner products of all pairs of different rows of a weight (rows, ...), summed.

    BigGAN's form leaves the diagonal alone: rows are to be orthogonal, and may be of any length.
    """
    rows = weight.flatten(1)
    products = rows @ rows.T
    return products.square().sum() - products.diagonal().square().sum()


def path_lengths(images: Tensor, w: Tensor) -> Tensor:
    """||J^T y|| of every image's w (n, layers, latent), averaged over the layers: (n,), differentiable.

    J is the derivative of images (n, C, H, W) by w, and y a random image of unit variance over the square root of the
    number of pixels, so that the lengths do not depend on it.
    """
    noise = torch.randn_like(images) / math.sqrt(math.prod(images.shape[2:]))
    (gradient,) = torch.autograd.grad((images * noise).sum(), w, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()

"""The recipes of GANs and translators by the size of the images: one table, by model and by preset.

A preset holds what departs from the model's Config, whose defaults are its paper's values. "8" suits a thousand images
of 8 x 8, "28" and "32" the tens of thousands of MNIST and CIFAR, "64" all that is larger; widths and steps up to
32 x 32 are such that a training takes less than an hour on one core of a CPU. "8-binary" is for two levels, which are
told from a generator's greys early on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genbench.contracts import SampleSpec

# Against a discriminator that knows a thousand small images by heart, and to reach an end in a few thousand steps.
SMALL_DCGAN = {
    **{"latent": 32, "steps": 2600, "batch": 64, "rate": 1e-3, "discriminator_rate": 1e-3},
    **{"width": 32, "dropout": 0.1, "noise": 0.1, "average": 0.999},
}
MIDDLE_DCGAN = {"steps": 8_000, "batch": 64, "width": 32, "average": 0.999}
SMALL_PERCEPTRON = {"latent": 64, "steps": 6000, "rate": 1e-3, "discriminator_rate": 1e-3, "hidden": 128}
MIDDLE_PERCEPTRON = {"steps": 30_000}
# At a fifth of these rates the discriminator wins, and the minimax loss is flat.
FAST_PERCEPTRON = {**MIDDLE_PERCEPTRON, "rate": 1e-3, "discriminator_rate": 1e-3}
LARGE_PERCEPTRON = {**FAST_PERCEPTRON, "steps": 100_000}
SMALL_F_GAN = {
    **{"latent": 64, "steps": 4000, "rate": 3e-4, "discriminator_rate": 5e-4, "average": 0.998},
    # Without it data and model share no support, and half of the divergences are infinite.
    **{"noise": 0.3, "hidden": 128},
}
SMALL_CRITIC = {"latent": 64, "batch": 32, "width": 32, "average": 0.999}
MIDDLE_CRITIC = {"steps": 6_000, "width": 32, "average": 0.999}
SMALL_EQUALISED = {
    **{"latent": 24, "steps": 2200, "batch": 32, "width": 16, "rate": 1e-2, "discriminator_rate": 1e-2},
    **{"average": 0.998, "noise": 0.1, "penalty": 0.05},
}
# On a thousand images of 8 x 8 a shallower and faster mapping network, and styles from one w, keep all digits.
SMALL_STYLE = {
    **{**SMALL_EQUALISED, "steps": 2600, "rate": 5e-3, "discriminator_rate": 5e-3},
    **{"depth": 4, "mapping_speed": 0.1, "mixing": 0.0},
}
MIDDLE_EQUALISED = {"latent": 64, "steps": 12_000, "batch": 32, "width": 8, "penalty": 1.0}
SMALL_RESIDUAL = {
    **{"latent": 16, "steps": 1600, "batch": 32, "rate": 1e-3, "discriminator_rate": 1e-3, "critic_steps": 1},
    **{"width": 16, "average": 0.998, "noise": 0.1},
}
MIDDLE_RESIDUAL = {"steps": 8_000, "batch": 32, "width": 8, "critic_steps": 1, "average": 0.999}
MIDDLE_BIGGAN = {
    **{**MIDDLE_RESIDUAL, "steps": 6_000, "batch": 64, "embedding": 64},
    **{"rate": 1e-4, "discriminator_rate": 4e-4, "critic_steps": 2, "noise": 0.1},
}

SMALL_TRANSLATOR = {
    **{"steps": 1500, "batch": 32, "rate": 1e-3, "discriminator_rate": 1e-3, "average": 0.995, "noise": 0.1},
    **{"jitter_x": 1, "width": 16, "discriminator_width": 16, "patches": 1},
}
MIDDLE_TRANSLATOR = {"steps": 6_000, "average": 0.999, "width": 16, "discriminator_width": 32, "patches": 2}

PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "gan": {"8": SMALL_PERCEPTRON, "28": FAST_PERCEPTRON, "32": FAST_PERCEPTRON, "64": LARGE_PERCEPTRON},
    "gan-nonsaturating": {"8": SMALL_PERCEPTRON, "28": FAST_PERCEPTRON, "32": FAST_PERCEPTRON, "64": LARGE_PERCEPTRON},
    "cgan": {
        **{"8": SMALL_PERCEPTRON, "28": MIDDLE_PERCEPTRON, "32": MIDDLE_PERCEPTRON, "64": {"steps": 100_000}},
    },
    "f-gan": {
        "8": SMALL_F_GAN,
        "28": {"steps": 30_000, "noise": 0.3, "average": 0.999},
        "32": {"steps": 30_000, "noise": 0.3, "average": 0.999},
        "64": {"steps": 100_000, "noise": 0.3, "average": 0.999},
    },
    "dcgan": {
        "8": SMALL_DCGAN,
        "8-binary": {**SMALL_DCGAN, "latent": 16},
        "28": MIDDLE_DCGAN,
        "32": MIDDLE_DCGAN,
        "64": {"steps": 100_000},
    },
    "dcgan-modes": {
        "8": {**SMALL_DCGAN, "prior": "normal", "modes": 16},
        "28": {**MIDDLE_DCGAN, "prior": "normal", "modes": 16},
        "32": {**MIDDLE_DCGAN, "prior": "normal", "modes": 16},
        "64": {"steps": 100_000, "prior": "normal", "modes": 16},
    },
    "lsgan": {
        "8": SMALL_DCGAN,
        "28": {**MIDDLE_DCGAN, "latent": 128},
        "32": {**MIDDLE_DCGAN, "latent": 128},
        "64": {"steps": 100_000, "latent": 1024},
    },
    "wgan": {
        "8": {**SMALL_CRITIC, "steps": 1200, "rate": 5e-4, "discriminator_rate": 5e-4},
        "28": {**MIDDLE_CRITIC, "steps": 8_000, "rate": 5e-4, "discriminator_rate": 5e-4},
        "32": {**MIDDLE_CRITIC, "steps": 8_000, "rate": 5e-4, "discriminator_rate": 5e-4},
        "64": {"steps": 100_000},
    },
    "wgan-gp": {
        "8": {**SMALL_CRITIC, "steps": 1300, "critic_steps": 3, "rate": 2e-3, "discriminator_rate": 2e-3},
        "28": {**MIDDLE_CRITIC, "steps": 4_500, "rate": 2e-4, "discriminator_rate": 2e-4},
        "32": {**MIDDLE_CRITIC, "steps": 4_500, "rate": 2e-4, "discriminator_rate": 2e-4},
        "64": {"steps": 100_000},
    },
    "sn-gan": {
        "8": {
            **{**SMALL_CRITIC, "steps": 3000, "critic_steps": 1, "rate": 5e-4, "discriminator_rate": 1e-3},
            "momentum": 0.0,
        },
        "28": {**MIDDLE_CRITIC, "steps": 10_000, "critic_steps": 1},
        "32": {**MIDDLE_CRITIC, "steps": 10_000, "critic_steps": 1},
        "64": {"steps": 100_000},
    },
    "progan": {
        "8": {**SMALL_EQUALISED, "steps": 3600},
        "28": MIDDLE_EQUALISED,
        "32": MIDDLE_EQUALISED,
        "64": {"steps": 200_000},
    },
    "stylegan": {
        "8": SMALL_STYLE,
        "28": {**MIDDLE_EQUALISED, "average": 0.999},
        "32": {**MIDDLE_EQUALISED, "average": 0.999},
        "64": {"steps": 200_000},
    },
    "stylegan-modes": {
        "8": {**SMALL_STYLE, "modes": 16},
        "28": {**MIDDLE_EQUALISED, "average": 0.999, "modes": 16},
        "32": {**MIDDLE_EQUALISED, "average": 0.999, "modes": 16},
        "64": {"steps": 200_000, "modes": 16},
    },
    "stylegan2": {
        "8": {**SMALL_STYLE, "steps": 5200, "depth": 3, "noise": 0.2},
        "28": {**MIDDLE_EQUALISED, "average": 0.999},
        "32": {**MIDDLE_EQUALISED, "average": 0.999},
        "64": {"steps": 200_000},
    },
    "sagan": {
        "8": {**SMALL_RESIDUAL, "squares": 0.999},
        "28": {**MIDDLE_RESIDUAL, "latent": 64},
        "32": {**MIDDLE_RESIDUAL, "latent": 64},
        "64": {"steps": 200_000},
    },
    "biggan": {
        "8": {**SMALL_RESIDUAL, "embedding": 16},
        "28": MIDDLE_BIGGAN,
        "32": MIDDLE_BIGGAN,
        "64": {"steps": 200_000, "batch": 256},
    },
    "pix2pix": {
        "8": {**SMALL_TRANSLATOR, "rate": 2e-3, "dropout": 0.0, "closeness": 30.0},
        "28": MIDDLE_TRANSLATOR,
        "32": MIDDLE_TRANSLATOR,
        "64": {"steps": 100_000},
    },
    "cyclegan": {
        "8": {**SMALL_TRANSLATOR, "steps": 800, "blocks": 2},
        "28": {**MIDDLE_TRANSLATOR, "steps": 4_000, "blocks": 3},
        "32": {**MIDDLE_TRANSLATOR, "steps": 4_000, "blocks": 3},
        "64": {"steps": 100_000},
    },
    "pose-gan": {
        "8": {
            **{**SMALL_TRANSLATOR, "steps": 1200, "jitter_y": 1, "coarse_width": 12, "width": 8},
            **{"reach": 1, "coarse_steps": 4000, "coarse_rate": 2e-3, "closeness": 30.0},
        },
        "28": {**MIDDLE_TRANSLATOR, "coarse_width": 16, "reach": 2},
        "32": {**MIDDLE_TRANSLATOR, "coarse_width": 16, "reach": 2},
        "64": {"steps": 100_000},
    },
    "ganimation": {
        "8": {
            **{"steps": 1000, "batch": 32, "critic_steps": 2, "rate": 2e-3, "discriminator_rate": 2e-3},
            **{"average": 0.995, "noise": 0.2, "jitter_x": 1, "jitter_y": 1, "width": 16, "blocks": 2},
            **{"critic_width": 16, "patches": 2, "condition": 50.0},
        },
        "28": {"steps": 6_000, "width": 16, "blocks": 3, "critic_width": 16, "patches": 3, "average": 0.999},
        "32": {"steps": 6_000, "width": 16, "blocks": 3, "critic_width": 16, "patches": 3, "average": 0.999},
        "64": {"steps": 100_000},
    },
}


def size(spec: SampleSpec) -> str:
    """The name of the preset for images of a spec: "8", "28", "32" or "64"."""
    side = max(spec.shape[1:], default=1)
    return next((name for name, largest in (("8", 16), ("28", 28), ("32", 48)) if side <= largest), "64")


def preset(model: str, spec: SampleSpec) -> Mapping[str, Any]:
    """What a model's Config is given for images of a spec."""
    presets = PRESETS[model]
    name = size(spec)
    return presets.get(f"{name}-binary", presets[name]) if spec.levels == 2 else presets[name]

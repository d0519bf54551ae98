"""A Fréchet distance and precision in a plain training loop, every epoch; the reference is seen once.

Run it: python examples/training_loop.py
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import nn

import genbench

STEPS, EPOCHS, SAMPLES = 200, 3, 500


def as_images(x: torch.Tensor) -> torch.Tensor:
    """Floats in [0, 1], (n, 64), as uint8 images (n, 8, 8)."""
    return (x.reshape(-1, 8, 8) * 255).round().clamp(0, 255).to(torch.uint8)


def train(epochs: int = EPOCHS, steps: int = STEPS) -> list[float]:
    """A small VAE; returns the Fréchet distance of the pixels after each epoch."""
    torch.manual_seed(0)
    data = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 16))
    decoder = nn.Sequential(nn.Linear(8, 128), nn.ReLU(), nn.Linear(128, 64), nn.Sigmoid())
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)

    stream = genbench.Stream(features="identity", metrics=["fid", "precision-recall"])
    stream.update(real=as_images(data))

    scores = []
    for epoch in range(epochs):
        for _ in range(steps):
            x = data[torch.randint(len(data), (64,))]
            mean, log_variance = encoder(x).chunk(2, 1)
            z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
            divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1)
            loss = (50 * (decoder(z) - x).square().sum(1) + divergence).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        stream.reset()  # the samples of the last epoch; the reference stays
        with torch.no_grad():
            for _ in range(SAMPLES // 100):
                stream.update(fake=as_images(decoder(torch.randn(100, 8))))
        result = stream.compute()
        scores.append(result["fid"])
        numbers = "  ".join(f"{row.column} {row.value:.2f}" for row in result.results)
        print(f"epoch {epoch + 1}  loss {loss.item():.1f}  {numbers}")
    return scores


if __name__ == "__main__":
    train()

"""A callback for Lightning that logs genbench's scores of samples after every validation, on any number of devices.

Run it: python examples/lightning_callback.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning
import torch
from torch import Tensor, nn

import genbench


class Scores(lightning.Callback):
    """Logs each metric as ``genbench/COLUMN``, of `n` samples against the images of the validation batches.

    `images` maps a validation batch to uint8 images; `sample` maps the module and a number to as many. Every process
    draws its share of the samples.
    """

    def __init__(
        self,
        images: Callable[[Any], Tensor],
        sample: Callable[[Any, int], Tensor],
        n: int = 1000,
        features: Any = "inception",
        metrics: Sequence[str] = ("fid", "precision-recall"),
    ) -> None:
        self.images, self.sample, self.n = images, sample, n
        self.stream = genbench.Stream(features, metrics)
        self.real_is_known = False

    def on_validation_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not trainer.sanity_checking and not self.real_is_known:
            self.stream.update(real=self.images(batch))

    def on_validation_epoch_end(self, trainer: Any, module: Any) -> None:
        if trainer.sanity_checking:
            return
        self.real_is_known = True
        self.stream.reset()
        with torch.no_grad():
            self.stream.update(fake=self.sample(module, self.n // trainer.world_size))
        for row in self.stream.compute().results:
            if row.value is not None:
                module.log(f"genbench/{row.column}", row.value, rank_zero_only=True)

    def state_dict(self) -> dict[str, Any]:
        return {"stream": self.stream.state_dict(), "real_is_known": self.real_is_known}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.stream.load_state_dict(state["stream"])
        self.real_is_known = state["real_is_known"]


class Autoencoder(lightning.LightningModule):
    """A linear autoencoder of the digits, whose samples decode normal codes: something to score."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(64, 8), nn.Linear(8, 64)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return (self.decoder(self.encoder(batch[0])) - batch[0]).square().mean()

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None: ...

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-2)


def as_images(x: Tensor) -> Tensor:
    """Floats in [0, 1], (n, 64), as uint8 images (n, 8, 8)."""
    return (x.reshape(-1, 8, 8) * 255).round().clamp(0, 255).to(torch.uint8)


def train(epochs: int = 2) -> dict[str, float]:
    """Train, and return the last scores."""
    from sklearn.datasets import load_digits
    from torch.utils.data import DataLoader, TensorDataset

    data = TensorDataset(torch.tensor(load_digits().data, dtype=torch.float32) / 16)
    scores = Scores(
        images=lambda batch: as_images(batch[0]),
        sample=lambda module, n: as_images(module.decoder(torch.randn(n, 8, device=module.device))),
        n=500,
        features="identity",
    )
    trainer = lightning.Trainer(
        max_epochs=epochs, callbacks=[scores], logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(Autoencoder(), DataLoader(data, 64, shuffle=True), DataLoader(data, 256))
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


if __name__ == "__main__":
    print(train())

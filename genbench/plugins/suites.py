"""Suites: what a paper's own evaluator reports, by one name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Suite:
    """Names of metrics and of the features that those are computed from which name none of their own.

    `resize` is how images reach the network where the evaluator does not do it as the features usually do.
    """

    name: str
    metrics: tuple[str, ...]
    features: str = "inception"
    resize: str | None = None
    summary: str = ""


SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            "adm",
            ("fid", "sfid", "is", "precision-recall"),
            summary="FID, sFID, IS, precision and recall, which guided-diffusion's evaluator reports",
        ),
        Suite("edm", ("fid", "fd-dinov2"), summary="FID and FD-DINOv2, which EDM2 reports"),
        Suite(
            "full",
            (
                *("fid", "sfid", "fd-dinov2", "cmmd", "fdr", "fid-infinity", "kid", "is", "mind"),
                *("precision-recall", "density-coverage", "clipped", "vendi", "rke"),
                *("memorization", "authenticity", "fls"),
            ),
            summary="all that compares samples with real items, through Inception, DINOv2 and CLIP",
        ),
    )
}

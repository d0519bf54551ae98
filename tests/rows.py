"""A result row for tests of storage and boards."""

from __future__ import annotations

from genbench.storage.results import Result

ROW = Result(
    model="vae",
    benchmark="digits",
    column="fid",
    title="FID",
    unit="",
    digits=2,
    better="lower",
    note="",
    place=0,
    value=10.0,
    stderr=0.5,
    total_stderr=None,
    low=None,
    high=None,
    biased=False,
    status="ok",
    detail="",
    kind="",
    n=1000,
    reference=797,
    seed=0,
    features="digits-cnn",
    device="cpu",
    protocol="p1",
    model_version="x",
    software="genbench=0.1.0",
    time="2026-11-01T12:00:00+00:00",
    seconds=1.0,
    model_seconds=2.0,
    features_seconds=0.5,
)

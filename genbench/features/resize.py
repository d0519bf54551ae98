"""The bilinear resize of TensorFlow 1, which the FID network was trained behind and every published FID uses.

Pixel i of the output lies at i * before / after of the input, by pixels' corners rather than centres, and nothing is
averaged on the way down. Both axes are linear maps, so that the second is one matrix product.

Reference: TensorFlow 1.x, ``core/kernels/resize_bilinear_op.cc`` with ``align_corners=False``.
"""

from __future__ import annotations

import torch
from torch import Tensor


def positions(before: int, after: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each of `after` output pixels its two input pixels (int64) and the weight of the second, as `like` is.

    The ratio is rounded to float32 as in TensorFlow, because it decides which pixel a position falls on.
    """
    ratio = torch.tensor(before / after, dtype=torch.float32, device=like.device)
    place = torch.arange(after, dtype=like.dtype, device=like.device) * ratio
    low = place.long()
    return low, (low + 1).clamp(max=before - 1), place - low


def resized(x: Tensor, side: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 images (n, C, H, W) as (n, C, side, side) of `dtype`, float32 or float64, in (x - 128) / 128.

    Values lie within [-1, 127/128].
    """
    x = x.contiguous()  # decoders leave colours innermost, where a matrix product cannot use them
    like = torch.empty(0, dtype=dtype, device=x.device)
    if x.shape[2] == side:
        rows = (x.to(dtype) - 128) / 128
    else:
        low, high, weight = positions(x.shape[2], side, like)
        rows = x[:, :, low].to(dtype).lerp_(x[:, :, high].to(dtype), weight[:, None]).sub_(128).div_(128)
    return rows if x.shape[3] == side else rows @ weights(x.shape[3], side, like)


def weights(before: int, after: int, like: Tensor) -> Tensor:
    """The matrix (before, after), of the dtype and device of `like`, whose columns make the output pixels."""
    low, high, weight = positions(before, after, like)
    matrix = like.new_zeros(before, after)
    columns = torch.arange(after, device=like.device)
    matrix.index_put_((low, columns), 1 - weight, accumulate=True)
    return matrix.index_put_((high, columns), weight, accumulate=True)

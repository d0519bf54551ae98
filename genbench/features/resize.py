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


def pixels_read(x: Tensor, axis: int, after: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images with the pixels along an axis that `after` output pixels read, and their `positions` among those.

    Of a long axis that is few of them: memory is bounded by the output and the image itself, however thin it is.
    """
    low, high, weight = positions(x.shape[axis], after, like)
    if x.shape[axis] <= 2 * after:
        return x, low, high, weight
    used, places = torch.cat([low, high]).unique(return_inverse=True)
    return x.index_select(axis, used), places[:after], places[after:], weight


def resized(x: Tensor, side: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 images (n, C, H, W) as (n, C, side, side) of `dtype`, float32 or float64, in (x - 128) / 128.

    Values lie within [-1, 127/128].
    """
    like = torch.empty(0, dtype=dtype, device=x.device)
    right_height, right_width = x.shape[2] == side, x.shape[3] == side
    x, above, below, lower = pixels_read(x, 2, side, like)
    x, left, right, further = pixels_read(x, 3, side, like)
    x = x.contiguous()  # decoders leave colours innermost, where a matrix product cannot use them
    if right_height:
        rows = (x.to(dtype) - 128) / 128
    else:
        rows = x[:, :, above].to(dtype).lerp_(x[:, :, below].to(dtype), lower[:, None]).sub_(128).div_(128)
    if right_width:
        return rows
    matrix = like.new_zeros(x.shape[3], side)  # its columns make the output pixels
    columns = torch.arange(side, device=like.device)
    matrix.index_put_((left, columns), 1 - further, accumulate=True)
    return rows @ matrix.index_put_((right, columns), further, accumulate=True)

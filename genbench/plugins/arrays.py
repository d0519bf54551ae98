"""What plug-ins return, as plain tensors: every unusual array is read as what it plainly means, or refused."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genbench.errors import ModelError
from genbench.plugins.guard import guarded
from genbench.plugins.interruptions import printable


def plain(value: object, what: str) -> Tensor:
    """A contiguous tensor on the CPU of the same values, which shares nothing with `value` and knows no gradient.

    Taken are tensors and numpy arrays of numbers, with negative strides, foreign byte order, sparse, quantized (as the
    numbers they stand for), on any device, with a gradient, and of subclasses that compute as their parents do. Raises
    ModelError of one sentence, beginning with `what`, for all else: complex numbers, objects, masked values, tensors
    without values (on the meta device).
    """
    return guarded(what, lambda: _plain(value, what))


def _plain(value: object, what: str) -> Tensor:
    if isinstance(value, np.ndarray):
        return _of_array(value, what)
    if not isinstance(value, Tensor):
        raise ModelError(f"{what} returned {printable(type(value).__name__)}, not a tensor or a numpy array")
    kind = type(value)
    if kind.__torch_dispatch__ is not Tensor.__torch_dispatch__:
        name = printable(kind.__name__)
        raise ModelError(f"{what} returned a {name}, a kind of tensor with rules of its own; return a plain tensor")
    with torch._C.DisableTorchFunctionSubclass():
        tensor = value.detach()
        if tensor.is_meta:
            raise ModelError(f"{what} returned a tensor on the meta device, which holds no values")
        if tensor.is_nested:
            raise ModelError(f"{what} returned a nested tensor; its items must have one shape")
        if tensor.is_complex():
            raise ModelError(f"{what} returned complex numbers ({tensor.dtype})")
        if tensor.is_quantized:
            tensor = tensor.dequantize()
        if tensor.layout != torch.strided:
            tensor = tensor.to_dense()
        if kind is not Tensor:
            tensor = tensor.as_subclass(Tensor)
        return tensor.resolve_neg().cpu().clone(memory_format=torch.contiguous_format)


def _of_array(value: np.ndarray, what: str) -> Tensor:
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        raise ModelError(f"{what} returned masked values, which are no numbers")
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or array.dtype == np.longdouble != np.float64:
        raise ModelError(f"{what} returned a numpy array of dtype {array.dtype}")
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))

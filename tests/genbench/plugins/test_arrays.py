"""What plug-ins return: every unusual array is read as what it plainly means, or refused in one sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genbench.errors import ModelError
from genbench.plugins.arrays import plain

VALUES = torch.tensor([[0.0, 1.0, 0.0], [2.0, 0.0, 3.0]])
ARRAY = VALUES.numpy()


class Hostile(torch.Tensor):
    """A subclass that may not be looked at."""

    @classmethod
    def __torch_function__(cls, *arguments, **options):
        raise SystemExit(3)


class Wrapper(torch.Tensor):
    """A subclass that computes by rules of its own."""

    @staticmethod
    def __new__(cls, elements):
        return torch.Tensor._make_wrapper_subclass(cls, elements.shape, dtype=elements.dtype)

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), options=None):
        raise RuntimeError("not for you")


@pytest.mark.parametrize(
    "make",
    [
        lambda: VALUES.flip(1).numpy()[:, ::-1],
        lambda: ARRAY.astype(">f4"),
        lambda: np.asfortranarray(ARRAY),
        lambda: ARRAY.view(np.recarray),
        lambda: np.ma.masked_array(ARRAY, False),
        lambda: np.frombuffer(ARRAY.tobytes(), np.float32).reshape(2, 3),  # not to be written into
        lambda: VALUES.to_sparse(),
        lambda: VALUES.to_sparse_csr(),
        lambda: VALUES.to_mkldnn(),
        lambda: VALUES.T.contiguous().T,
        lambda: VALUES.clone().requires_grad_() * 1,
        lambda: torch.nn.Parameter(VALUES),
        lambda: VALUES.as_subclass(Hostile),
        lambda: torch.view_as_complex(torch.stack([0 * VALUES, -VALUES], -1)).conj().imag,  # negated lazily
    ],
)
@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_unusual_arrays_are_read_as_what_they_mean(make):
    value = make()
    read = plain(value, "sample(2)")
    assert type(read) is torch.Tensor
    assert torch.equal(read, VALUES)
    assert read.is_contiguous()
    assert not read.requires_grad
    read.zero_()
    assert torch.equal(plain(value, "sample(2)"), VALUES), "and share nothing with it"


def test_quantized_values_are_the_numbers_that_they_stand_for():
    scale, zero = torch.tensor(0.5), torch.tensor(0)
    quantized = torch.ops.aten.quantize_per_tensor.tensor_qparams(VALUES, scale, zero, torch.quint8)
    assert torch.equal(plain(quantized, "sample"), VALUES)


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.int64, bool, ">i2", np.float64])
def test_numbers_keep_their_kind(dtype):
    read = plain(np.zeros(2, dtype), "sample")
    assert read.numpy().dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([1, 2], "list, not a tensor or a numpy array"),
        (None, "NoneType, not a tensor"),
        (VALUES.to("meta"), "on the meta device, which holds no values"),
        (VALUES.to(torch.complex64), r"complex numbers \(torch.complex64\)"),
        (Wrapper(VALUES), "a Wrapper, a kind of tensor with rules of its own; return a plain tensor"),
        (np.zeros(2, object), "numpy array of dtype object"),
        (np.zeros(2, complex), "numpy array of dtype complex128"),
        (np.zeros(2, "M8[s]"), "numpy array of dtype datetime64"),
        (np.zeros(2, [("a", "f4")]), "numpy array of dtype"),
        (np.ma.masked_array([1.0, 2.0], [False, True]), "masked values, which are no numbers"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_means_no_numbers_is_refused(value, reason):
    with pytest.raises(ModelError, match=f"^sample returned .*{reason}") as caught:
        plain(value, "sample")
    assert "\n" not in str(caught.value)

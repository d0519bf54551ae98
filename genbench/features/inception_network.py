"""The Inception network behind FID and the Inception Score, folded for speed.

It is the graph that TensorFlow released on 2015-12-05, which differs from torchvision's Inception v3 in its pooling:
averages leave the padding out, and the last block takes a maximum. Batch norms are folded into the convolutions in
float64, and an average that is followed by a 1 x 1 convolution is taken after it, where it has fewer channels.

References: C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens and Z. Wojna, "Rethinking the Inception Architecture for
Computer Vision" (2016); T. Salimans et al., "Improved Techniques for Training GANs" (2016); M. Heusel et al., "GANs
Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium" (2017).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import inception as blocks

SIDE = 299
CLASSES = 1008
STAGES = {
    "64": ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1"),
    "192": ("Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
    "768": ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    "2048": ("Mixed_7a", "Mixed_7b", "Mixed_7c"),
}
SPATIAL = "spatial"  # what sFID compares: 7 of the 192 channels that the first branch of Mixed_6d makes, 17 x 17 each
SPATIAL_CHANNELS = 7
TAPS = (*STAGES, "logits", SPATIAL)
PACKED_FOR = 8  # images; the layout of packed weights hardly depends on it


def averaged(branch: nn.Module, x: Tensor) -> Tensor:
    """ReLU of the 3 x 3 average, padding left out, of a 1 x 1 convolution: the two commute, their weights sum to 1."""
    return F.relu_(F.avg_pool2d(branch(x), 3, stride=1, padding=1, count_include_pad=False))


class BlockA(blocks.InceptionA):  # type: ignore[misc]
    def _forward(self, x: Tensor) -> list[Tensor]:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return [self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), double, averaged(self.branch_pool, x)]


class BlockC(blocks.InceptionC):  # type: ignore[misc]
    def _forward(self, x: Tensor) -> list[Tensor]:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return [self.branch1x1(x), single, double, averaged(self.branch_pool, x)]


class BlockE(blocks.InceptionE):  # type: ignore[misc]
    def _forward(self, x: Tensor) -> list[Tensor]:
        single, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        wide = [self.branch3x3_2a(single), self.branch3x3_2b(single)]
        wide += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        return [self.branch1x1(x), *wide, self.pooled(x)]

    def pooled(self, x: Tensor) -> Tensor:
        return averaged(self.branch_pool, x)


class LastBlock(BlockE):
    """The one block whose pooling takes a maximum, in the graph as it was released."""

    def pooled(self, x: Tensor) -> Tensor:
        return self.branch_pool(F.max_pool2d(x, 3, stride=1, padding=1))


class Convolution(nn.Module):
    """A convolution with its batch norm folded in, and a ReLU unless `relu` is taken away.

    Where it `packs`, oneDNN gets the weights in its own layout and applies the ReLU while results are in registers.
    """

    def __init__(self, block: blocks.BasicConv2d, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        weight, norm = block.conv.weight.double(), block.bn
        scale = norm.weight.double() * (norm.running_var.double() + norm.eps).rsqrt()
        shift = norm.bias.double() - norm.running_mean.double() * scale
        folded = (weight * scale[:, None, None, None]).to(device, dtype)
        self.weight = folded.contiguous(memory_format=torch.channels_last)
        self.bias = shift.to(device, dtype)
        self.stride, self.padding = list(block.conv.stride), list(block.conv.padding)
        self.relu = True
        self.packs = self.packed = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.packs:
            y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding)
            return F.relu_(y) if self.relu else y
        if not self.packed:
            self.weight = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, self.padding, self.stride, [1, 1], 1, [PACKED_FOR, *x.shape[1:]]
            )
            self.packed = True
        after = "relu" if self.relu else "none"
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, self.padding, self.stride, [1, 1], 1, after, [], ""
        )


def can_pack(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether this torch has the operators that its own compiler uses for such convolutions, and this processor can."""
    if device.type != "cpu" or dtype == torch.float64 or not torch.backends.mkldnn.is_available():
        return False
    operators = torch.ops.mkldnn
    if not all(hasattr(operators, name) for name in ("_convolution_pointwise", "_reorder_convolution_weight")):
        return False
    supports = getattr(operators, "_is_mkldnn_bf16_supported", lambda: False)
    return dtype == torch.float32 or bool(supports())


def skeleton() -> blocks.Inception3:
    """The network without weights, on the meta device: torchvision's with the pooling of 2015."""
    parts = [blocks.BasicConv2d, BlockA, blocks.InceptionB, BlockC, blocks.InceptionD, BlockE, None]
    with torch.device("meta"):
        network = blocks.Inception3(CLASSES, aux_logits=False, inception_blocks=parts, init_weights=False)
        network.Mixed_7c = LastBlock(2048)
    return network.eval()


class Inception(nn.Module):
    """Images (n, 3, 299, 299) in (x - 128) / 128 to the features of a tap, and to logits where it gets that far.

    `state` has the names of torchvision's Inception3 and float32 tensors; `dtype` is that of the convolutions,
    and `pack` lets them use what is fastest on a CPU without a compiler.
    """

    def __init__(
        self, state: Mapping[str, Tensor], dtype: torch.dtype, device: torch.device, pack: bool = True
    ) -> None:
        super().__init__()
        self.trunk = skeleton()
        self.trunk.load_state_dict(state, assign=True)
        self.dtype = dtype
        self.wide = torch.promote_types(dtype, torch.float32)  # of averages over space and of the classifier
        for path, module in list(self.trunk.named_modules()):
            if isinstance(module, blocks.BasicConv2d):
                owner, _, name = path.rpartition(".")
                parent = self.trunk.get_submodule(owner)
                folded = Convolution(module, dtype, device)
                folded.relu = name != "branch_pool" or isinstance(parent, LastBlock)  # others come before an average
                folded.packs = pack and can_pack(dtype, device)
                setattr(parent, name, folded)
        self.trunk.fc.to(device, self.wide)
        self.requires_grad_(False)

    def forward(self, x: Tensor, tap: str) -> tuple[Tensor, Tensor | None]:
        """The features (n, D) of a tap and, for 2048 and logits, the logits (n, 1008) without the classifier's bias.

        The Inception Score is the one of these logits. Features are averages over space, but for ``spatial``: the 2,023
        values of ``mixed_6/conv`` that guided-diffusion's evaluator takes. All are float32, or float64 where the
        convolutions are.
        """
        x = x.to(self.dtype).contiguous(memory_format=torch.channels_last)
        for name, modules in STAGES.items():
            for module in modules:
                block = self.trunk.get_submodule(module)
                if tap == SPATIAL and module == "Mixed_6d":
                    maps = block.branch1x1(x)[:, :SPATIAL_CHANNELS]
                    return maps.permute(0, 2, 3, 1).flatten(1).to(self.wide), None  # in the order of TensorFlow's maps
                x = block(x)
            if name == tap and name != "2048":
                return x.to(self.wide).mean((2, 3)), None
        pooled = x.to(self.wide).mean((2, 3))
        unbiased = F.linear(pooled, self.trunk.fc.weight)
        return (unbiased + self.trunk.fc.bias if tap == "logits" else pooled), unbiased

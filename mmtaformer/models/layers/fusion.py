"""Ways to join what a query gathers inside its frame and from its neighbours."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmtaformer.utils.errors import UsageError

from ..checks import require_positive


def gate_bias(intra_share: float) -> float:
    """Bias b for which gates of b and -b weigh spatial attention by a share.

    Args:
        intra_share: Between 0 and 1; temporal attention has the rest.
    """
    return math.log(intra_share / (1 - intra_share)) / 2


@MODELS.register_module()
class DynamicAttentionFusion(BaseModule):
    """Channel-wise gated sum of spatial and temporal attention, Eqs. (3)-(5).

    Args:
        embed_dims: Channels C. Defaults to 256.
        channels: Width of the bottleneck. 32 is what the parameter counts of
            the paper imply. Defaults to 32.
        intra_share: About how much spatial attention weighs at the start; temporal
            attention has the rest. It is added to the biases of the gates, see
            :func:`gate_bias`; their random part stays. Defaults to 0.5.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        channels: int = 32,
        intra_share: float = 0.5,
        init_cfg=None,
    ):
        super().__init__(init_cfg)
        require_positive(self, channels=channels)
        if not 0 < intra_share < 1:
            raise UsageError(
                f"DynamicAttentionFusion has intra_share={intra_share!r}; give a "
                "number between 0 and 1, both excluded."
            )
        self.fc = nn.Linear(embed_dims, channels)
        self.gate_intra = nn.Linear(channels, embed_dims)
        self.gate_inter = nn.Linear(channels, embed_dims)
        with torch.no_grad():
            self.gate_intra.bias.add_(gate_bias(intra_share))
            self.gate_inter.bias.sub_(gate_bias(intra_share))

    def forward(self, intra: Tensor, inter: Tensor) -> Tensor:
        """Fuse two (..., C) tensors into one of the same shape."""
        hidden = F.relu(self.fc(intra + inter))
        # A softmax over two gates is a sigmoid of their difference, which needs
        # one projection instead of two.
        gate = F.linear(
            hidden,
            self.gate_intra.weight - self.gate_inter.weight,
            self.gate_intra.bias - self.gate_inter.bias,
        )
        return torch.lerp(inter, intra, gate.sigmoid().to(intra.dtype))


@MODELS.register_module()
class AdditionFusion(BaseModule):
    """Element-wise addition, the first variant of Table 4.

    Args:
        embed_dims: C, accepted for the common interface of the fusions.
    """

    def __init__(self, embed_dims: int = 256, init_cfg=None):
        super().__init__(init_cfg)
        self.embed_dims = embed_dims

    def forward(self, intra: Tensor, inter: Tensor) -> Tensor:
        """Fuse two (..., C) tensors into one of the same shape."""
        return intra + inter


@MODELS.register_module()
class ConcatenationFusion(BaseModule):
    """Concatenation and a projection back to C, the second variant of Table 4.

    Args:
        embed_dims: Channels C. Defaults to 256.
    """

    def __init__(self, embed_dims: int = 256, init_cfg=None):
        super().__init__(init_cfg)
        self.fc = nn.Linear(2 * embed_dims, embed_dims)

    def forward(self, intra: Tensor, inter: Tensor) -> Tensor:
        """Fuse two (..., C) tensors into one of the same shape."""
        return self.fc(torch.cat([intra, inter], dim=-1))

"""Instance masks by dynamic convolution, after CondInst."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.models.utils import aligned_bilinear
from mmdet.registry import MODELS
from mmengine.model import BaseModule, caffe2_xavier_init
from torch import Tensor, nn

from ..checks import require_positive
from ..layers.mlp import mlp
from ..structures import ClipFeatures


@MODELS.register_module()
class DynamicConvMaskHead(BaseModule):
    """Mask features of each frame and a small network per instance to read them.

    The controller turns an instance query into the weights of a three-layer 1x1
    convolution. Its input is the distance of every pixel to the query's reference
    point and the mask features; its output is the mask logits of every frame.

    Args:
        embed_dims: Channels C.
        channels: Hidden channels of the dynamic convolution.
        num_levels: How many of the finest levels make the mask features.
        stride: Stride of the finest level in pixels.
        feature_channels: F, channels of the mask features; C / 32 by default. A small
            C needs more than that leaves.
        distance_unit: Unit of the distance to the reference point, in pixels; 1 in
            SeqFormer's released code. A longer one allows for a higher learning rate.
        init_cfg: Initialization config.
    """

    upsampling = 2

    def __init__(
        self,
        embed_dims: int = 256,
        channels: int = 8,
        num_levels: int = 3,
        stride: int = 8,
        feature_channels: int | None = None,
        distance_unit: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        feature_channels = feature_channels or embed_dims // 32
        require_positive(
            self,
            channels=channels,
            num_levels=num_levels,
            feature_channels=feature_channels,
        )
        self.embed_dims = embed_dims
        self.channels = channels
        self.stride = stride
        self.distance_unit = distance_unit
        self.feature_channels = feature_channels
        in_channels = self.feature_channels + 2
        self.weight_sizes = [channels * in_channels, channels * channels, channels]
        self.bias_sizes = [channels, channels, 1]
        self.controller = mlp(
            embed_dims, embed_dims, sum(self.weight_sizes) + sum(self.bias_sizes)
        )
        self.lateral_convs = nn.ModuleList(
            nn.Conv2d(embed_dims, embed_dims, 3, padding=1) for _ in range(num_levels)
        )
        self.output_convs = nn.ModuleList(
            [
                nn.Conv2d(embed_dims, embed_dims // 4, 3, padding=1),
                nn.Conv2d(embed_dims // 4, self.feature_channels, 3, padding=1),
            ]
        )

    def init_weights(self) -> None:
        """Caffe2's Xavier for the convolutions, Xavier for the controller."""
        for conv in (*self.lateral_convs, *self.output_convs):
            caffe2_xavier_init(conv)
        for layer in self.controller:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        super().init_weights()

    @property
    def num_levels(self) -> int:
        """How many of the finest levels make the mask features."""
        return len(self.lateral_convs)

    @property
    def output_stride(self) -> int:
        """Stride of the mask logits in pixels."""
        return self.stride // self.upsampling

    def mask_features(self, memory: ClipFeatures) -> Tensor:
        """Merge the finest encoder levels top-down.

        Args:
            memory: The encoder's output, or some frames of it.

        Returns:
            Tensor: (B, T, F, H, W) at the finest level's stride.
        """
        maps = memory.level_maps(self.num_levels)
        merged = None
        for conv, level in zip(self.lateral_convs, reversed(maps), strict=True):
            if merged is not None:
                level = level + F.interpolate(merged, size=level.shape[-2:])
            merged = F.relu(conv(level))
        for conv in self.output_convs:
            merged = F.relu(conv(merged))
        return merged.unflatten(0, (memory.tokens.size(0), -1))

    def forward(
        self, instance_query: Tensor, features: Tensor, points: Tensor
    ) -> Tensor:
        """Mask logits of some instances.

        Args:
            instance_query: (n, C).
            features: (T, F, H, W) mask features of the clip they are all in, or
                (n, T, F, H, W) of the clip that each is in.
            points: (n, T, 2) reference points (x, y) in pixels of the input image.

        Returns:
            Tensor: (n, T, 2H, 2W) logits at half the features' stride.
        """
        params = self.controller(instance_query)
        if len(params) == 0:
            # Keeps every parameter in the graph, which distributed training needs.
            frames, _, height, width = features.shape[-4:]
            shape = (0, frames, self.upsampling * height, self.upsampling * width)
            return features.new_zeros(shape) + 0 * (params.sum() + features.sum())
        with torch.autocast(params.device.type, enabled=False):
            logits = self.dynamic_conv(params.float(), features.float(), points.float())
            return aligned_bilinear(logits, self.upsampling)

    def dynamic_conv(self, params: Tensor, features: Tensor, points: Tensor) -> Tensor:
        """Run one three-layer network per instance over all frames.

        Args:
            params: (n, P) weights w1, w2, w3, then biases b1, b2, b3.
            features: (T, F, H, W) or (n, T, F, H, W).
            points: (n, T, 2) in pixels.

        Returns:
            Tensor: (n, T, H, W) logits.
        """
        num, (frames, _, height, width) = len(params), features.shape[-4:]
        split = params.split([*self.weight_sizes, *self.bias_sizes], dim=1)
        w1, w2, w3, b1, b2, b3 = split
        w1 = w1.view(num, 1, self.channels, -1)
        w_xy, w_features = w1[..., :2], w1[..., 2:]

        # The two distance channels are linear in the pixel's position, so their part
        # of the first layer is a row plus a column, not a map per instance.
        steps = torch.arange(max(height, width), device=params.device)
        centres = (steps + 0.5) * self.stride
        distance_x = (points[..., 0, None] - centres[:width]) / self.distance_unit
        distance_y = (points[..., 1, None] - centres[:height]) / self.distance_unit
        row = w_xy[..., 0, None] * distance_x.unsqueeze(2)
        column = w_xy[..., 1, None] * distance_y.unsqueeze(2)

        hidden = torch.matmul(w_features, features.flatten(-2))
        hidden = hidden.view(num, frames, self.channels, height, width)
        hidden = hidden + (column + b1.view(num, 1, -1, 1)).unsqueeze(-1)
        hidden = F.relu(hidden + row.unsqueeze(-2)).flatten(3)
        w2 = w2.view(num, 1, self.channels, self.channels)
        hidden = F.relu(torch.matmul(w2, hidden) + b2.view(num, 1, -1, 1))
        logits = torch.matmul(w3.view(num, 1, 1, -1), hidden) + b3.view(num, 1, 1, 1)
        return logits.view(num, frames, height, width)

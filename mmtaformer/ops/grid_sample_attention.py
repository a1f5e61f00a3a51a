"""Multi-scale deformable attention by PyTorch's ``grid_sample``, on every device."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def multi_scale_attention(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """As mmcv's ``multi_scale_deformable_attn_pytorch``, without mmcv.

    Args:
        value: (N, S, M, D), of the dtype of the other tensors.
        spatial_shapes: (H_l, W_l) of the levels.
        sampling_locations: (N, Lq, M, L, P, 2) in [0, 1].
        attention_weights: (N, Lq, M, L, P).

    Returns:
        (N, Lq, M*D).
    """
    batch, _, heads, channels = value.shape
    queries = sampling_locations.shape[1]
    output = value.new_zeros((batch * heads, channels, queries))
    tokens = [height * width for height, width in spatial_shapes]
    for level, tokens_of_level in enumerate(value.split(tokens, dim=1)):
        height, width = spatial_shapes[level]
        images = tokens_of_level.permute(0, 2, 3, 1).reshape(
            batch * heads, channels, height, width
        )
        locations = sampling_locations[:, :, :, level].transpose(1, 2).flatten(0, 1)
        weights = attention_weights[:, :, :, level].transpose(1, 2).flatten(0, 1)
        sampled = F.grid_sample(images, 2 * locations - 1, align_corners=False)
        output = output + (sampled * weights[:, None]).sum(-1)  # over the points
    return output.view(batch, heads * channels, queries).transpose(1, 2).contiguous()

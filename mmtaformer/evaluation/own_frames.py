"""Models in which every frame sees itself in place of other frames.

What such a model loses in evaluation is what it took from other frames.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from mmtaformer.models.layers import SpatioTemporalDeformableAttention
from mmtaformer.models.structures import ClipFeatures


@contextmanager
def only_own_frames(model: nn.Module, kinds: tuple[type, ...]) -> Iterator[None]:
    """Give every frame itself in place of other frames, for as long as this lasts.

    Args:
        model: The model.
        kinds: Classes of the layers concerned.
    """
    layers = [module for module in model.modules() if isinstance(module, kinds)]
    for layer in layers:
        encodes = isinstance(layer, SpatioTemporalDeformableAttention)
        replacement = sample_own_frame if encodes else attend_to_own_frame
        layer.forward = partial(replacement, layer.forward)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def sample_own_frame(
    forward: Callable[..., Tensor],
    query: Tensor,
    features: ClipFeatures,
    first_frame: int = 0,
) -> Tensor:
    """Call the encoder's attention with neighbours that are copies of the frame.

    The arguments are those of :class:`SpatioTemporalDeformableAttention`. A frame has
    as many neighbours as before, so that the weights of a sample mean the same.
    """
    attended = []
    for t in range(query.size(1)):
        frame = first_frame + t
        own = features.tokens[:, frame : frame + 1]
        copies = features.with_tokens(own.expand_as(features.tokens))
        attended.append(forward(query[:, t : t + 1], copies, frame))
    return torch.cat(attended, dim=1)


def attend_to_own_frame(
    forward: Callable[..., Tensor],
    box_query: Tensor,
    *,
    reference: Tensor | None = None,
    **positions: Tensor | None,
) -> Tensor:
    """Call the decoder's temporal self-attention with copies of each frame's queries.

    References are copied likewise. The indices of the frames stay what they are. Shapes
    are those of :class:`TemporalSelfAttention`.
    """

    def copies(x: Tensor, t: int) -> Tensor:
        return x[:, t : t + 1].expand_as(x)

    attended = []
    for t in range(box_query.size(1)):
        if reference is not None:
            positions["reference"] = copies(reference, t)
        attended.append(forward(copies(box_query, t), **positions)[:, t])
    return torch.stack(attended, dim=1)

"""Names and shapes of the checkpoints that other code bases publish.

Written down from their public code, independently of the rules under test.
"""

from dataclasses import dataclass

import torch

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Sizes:
    """Of a DETR: the same letters as in the model's docstrings."""

    dims: int = 64
    heads: int = 4
    levels: int = 4
    encoder_points: int = 2
    decoder_points: int = 4
    feedforward: int = 128
    encoder_layers: int = 3
    decoder_layers: int = 3
    queries: int = 8
    classes: int = 42
    in_channels: tuple[int, ...] = (64, 128, 256)


def random_state(shapes: Shapes, seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict of random values, variances positive."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(shape, generator=generator) + 0.1
        for name, shape in shapes.items()
    }


def stored_twice(shapes: Shapes, seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict of random values in which the decoder's box branches are copies."""
    state = random_state(shapes, seed)
    for name in state:
        state[name] = state[
            name.replace("transformer.decoder.bbox_embed", "bbox_embed")
        ]
    return state


def linear(name: str, inputs: int, outputs: int, kernel: int = 0) -> Shapes:
    """A linear layer or a convolution."""
    window = (kernel, kernel) if kernel else ()
    return {f"{name}.weight": (outputs, inputs, *window), f"{name}.bias": (outputs,)}


def norm(name: str, dims: int) -> Shapes:
    return {f"{name}.weight": (dims,), f"{name}.bias": (dims,)}


def batch_norm(name: str, dims: int) -> Shapes:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (dims,) for part in parts}


def self_attention(name: str, dims: int) -> Shapes:
    return {
        f"{name}.in_proj_weight": (3 * dims, dims),
        f"{name}.in_proj_bias": (3 * dims,),
        **linear(f"{name}.out_proj", dims, dims),
    }


def deformable_attention(name: str, sizes: Sizes, points: int, box: bool) -> Shapes:
    samples = sizes.heads * sizes.levels * points
    projections = ["value_proj", "output_proj"] + ["output_proj_box"] * box
    shapes = linear(f"{name}.sampling_offsets", sizes.dims, samples * 2)
    shapes |= linear(f"{name}.attention_weights", sizes.dims, samples)
    for projection in projections:
        shapes |= linear(f"{name}.{projection}", sizes.dims, sizes.dims)
    return shapes


def mlp(name: str, dims: int, outputs: int) -> Shapes:
    return {
        **linear(f"{name}.layers.0", dims, dims),
        **linear(f"{name}.layers.1", dims, dims),
        **linear(f"{name}.layers.2", dims, outputs),
    }


def detr(sizes: Sizes, prefix: str, streams: tuple[str, ...], refine: bool) -> Shapes:
    """Deformable DETR's transformer and branches; SeqFormer has two streams."""
    two_streams = len(streams) > 1
    dims, hidden = sizes.dims, sizes.feedforward
    shapes: Shapes = {f"{prefix}transformer.level_embed": (sizes.levels, dims)}
    for index in range(sizes.encoder_layers):
        layer = f"{prefix}transformer.encoder.layers.{index}"
        shapes |= deformable_attention(
            f"{layer}.self_attn", sizes, sizes.encoder_points, two_streams
        )
        shapes |= norm(f"{layer}.norm1", dims) | norm(f"{layer}.norm2", dims)
        shapes |= linear(f"{layer}.linear1", dims, hidden)
        shapes |= linear(f"{layer}.linear2", hidden, dims)
    for index in range(sizes.decoder_layers):
        layer = f"{prefix}transformer.decoder.layers.{index}"
        shapes |= deformable_attention(
            f"{layer}.cross_attn", sizes, sizes.decoder_points, two_streams
        )
        for stream in streams:
            shapes |= self_attention(f"{layer}.self_attn{stream}", dims)
            shapes |= linear(f"{layer}.linear1{stream}", dims, hidden)
            shapes |= linear(f"{layer}.linear2{stream}", hidden, dims)
            for number in (1, 2, 3):
                shapes |= norm(f"{layer}.norm{number}{stream}", dims)
        if two_streams:
            shapes |= linear(f"{layer}.time_attention_weights", dims, 1)
    shapes |= linear(f"{prefix}transformer.reference_points", dims, 2)
    shapes[f"{prefix}query_embed.weight"] = (sizes.queries, 2 * dims)
    for index in range(sizes.decoder_layers):
        shapes |= linear(f"{prefix}class_embed.{index}", dims, sizes.classes)
        shapes |= mlp(f"{prefix}bbox_embed.{index}", dims, 4)
        if refine:
            shapes |= mlp(f"{prefix}transformer.decoder.bbox_embed.{index}", dims, 4)
    for index, channels in enumerate(sizes.in_channels):
        shapes |= linear(f"{prefix}input_proj.{index}.0", channels, dims, kernel=1)
        shapes |= norm(f"{prefix}input_proj.{index}.1", dims)
    shapes |= linear(f"{prefix}input_proj.3.0", sizes.in_channels[-1], dims, kernel=3)
    return shapes | norm(f"{prefix}input_proj.3.1", dims)


def seqformer_head(sizes: Sizes, prefix: str = "") -> Shapes:
    dims = sizes.dims
    shapes = mlp(f"{prefix}controller", dims, _dynamic_parameters(dims))
    for name in ("lay3", "lay4", "dcn"):
        shapes |= linear(f"{prefix}mask_head.{name}", dims, dims, kernel=3)
    shapes |= linear(f"{prefix}mask_head.lay1", dims, dims // 4, kernel=3)
    return shapes | linear(f"{prefix}mask_head.lay2", dims // 4, dims // 32, kernel=3)


def _dynamic_parameters(dims: int) -> int:
    """Three layers of 8 channels on dims / 32 features and two distances."""
    return (dims // 32 + 2) * 8 + 8 + 8 * 8 + 8 + 8 + 1


def seqformer(sizes: Sizes = Sizes()) -> Shapes:
    """SeqFormer's released code, without its backbone."""
    return detr(sizes, "detr.", ("", "_box"), True) | seqformer_head(sizes)


def vnext(sizes: Sizes = Sizes()) -> Shapes:
    """SeqFormer in VNext, without its backbone."""
    return detr(sizes, "detr.detr.", ("", "_box"), True) | seqformer_head(
        sizes, "detr."
    )


def resnet50_blocks(base: int):
    """(stage 1..4, block, input channels, width) of every bottleneck."""
    inputs = base
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        width = base * 2 ** (stage - 1)
        for block in range(blocks):
            yield stage, block, inputs, width
            inputs = 4 * width


def torchvision_resnet50(prefix: str = "", base: int = 8) -> Shapes:
    shapes = {f"{prefix}conv1.weight": (base, 3, 7, 7)}
    shapes |= batch_norm(f"{prefix}bn1", base)
    for stage, block, inputs, width in resnet50_blocks(base):
        name = f"{prefix}layer{stage}.{block}"
        shapes[f"{name}.conv1.weight"] = (width, inputs, 1, 1)
        shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
        shapes[f"{name}.conv3.weight"] = (4 * width, width, 1, 1)
        for number, dims in ((1, width), (2, width), (3, 4 * width)):
            shapes |= batch_norm(f"{name}.bn{number}", dims)
        if block == 0:
            shapes[f"{name}.downsample.0.weight"] = (4 * width, inputs, 1, 1)
            shapes |= batch_norm(f"{name}.downsample.1", 4 * width)
    return shapes


def detectron2_resnet50(prefix: str = "", base: int = 8) -> Shapes:
    shapes = {f"{prefix}stem.conv1.weight": (base, 3, 7, 7)}
    shapes |= batch_norm(f"{prefix}stem.conv1.norm", base)
    for stage, block, inputs, width in resnet50_blocks(base):
        name = f"{prefix}res{stage + 1}.{block}"
        convs = {
            "conv1": (width, inputs, 1, 1),
            "conv2": (width, width, 3, 3),
            "conv3": (4 * width, width, 1, 1),
        }
        if block == 0:
            convs["shortcut"] = (4 * width, inputs, 1, 1)
        for conv, shape in convs.items():
            shapes[f"{name}.{conv}.weight"] = shape
            shapes |= batch_norm(f"{name}.{conv}.norm", shape[0])
    return shapes


def swin(
    prefix: str = "",
    dims: int = 8,
    depths: tuple[int, ...] = (2, 2, 2, 2),
    heads: tuple[int, ...] = (1, 2, 4, 8),
    window: int = 4,
) -> Shapes:
    """The backbone part of Swin's official code."""
    shapes = linear(f"{prefix}patch_embed.proj", 3, dims, kernel=4)
    shapes |= norm(f"{prefix}patch_embed.norm", dims)
    for stage, (depth, num_heads) in enumerate(zip(depths, heads, strict=True)):
        width = dims * 2**stage
        for block in range(depth):
            name = f"{prefix}layers.{stage}.blocks.{block}"
            shapes |= norm(f"{name}.norm1", width) | norm(f"{name}.norm2", width)
            table = ((2 * window - 1) ** 2, num_heads)
            shapes[f"{name}.attn.relative_position_bias_table"] = table
            shapes[f"{name}.attn.relative_position_index"] = (window**2, window**2)
            shapes |= linear(f"{name}.attn.qkv", width, 3 * width)
            shapes |= linear(f"{name}.attn.proj", width, width)
            shapes |= linear(f"{name}.mlp.fc1", width, 4 * width)
            shapes |= linear(f"{name}.mlp.fc2", 4 * width, width)
        if stage < len(depths) - 1:
            merging = f"{prefix}layers.{stage}.downsample"
            shapes[f"{merging}.reduction.weight"] = (2 * width, 4 * width)
            shapes |= norm(f"{merging}.norm", 4 * width)
    return shapes

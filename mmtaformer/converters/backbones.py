"""Backbone names of other code bases in terms of mmdet's ResNet and SwinTransformer."""

from collections.abc import Callable, Mapping

from mmdet.models.backbones.swin import swin_converter
from torch import Tensor

from .rules import Conversion, Rule, convert_by_rules

_STATISTICS = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
_WEIGHT = r"(weight|bias)"


def torchvision_resnet_rules(prefix: str) -> list[Rule]:
    """Rules for torchvision's ResNets, whose names mmdet keeps.

    Args:
        prefix: Regular expression of what stands before ``conv1.weight``.
    """
    block = r"layer[1-4]\.\d+\."
    return [
        Rule(
            rf"{prefix}(conv1|{block}conv[1-3]|{block}downsample\.0)\.weight",
            (r"backbone.\1.weight",),
        ),
        Rule(
            rf"{prefix}(bn1|{block}bn[1-3]|{block}downsample\.1)\.{_STATISTICS}",
            (r"backbone.\1.\2",),
        ),
        Rule(rf"{prefix}fc\.{_WEIGHT}", note="ImageNet's classifier"),
    ]


def detectron2_resnet_rules(prefix: str) -> list[Rule]:
    """Rules for detectron2's ResNets: res2..res5 are layer1..layer4.

    Args:
        prefix: Regular expression of what stands before ``stem.conv1.weight``.
    """
    rules = [
        Rule(rf"{prefix}stem\.conv1\.weight", ("backbone.conv1.weight",)),
        Rule(rf"{prefix}stem\.conv1\.norm\.{_STATISTICS}", (r"backbone.bn1.\1",)),
    ]
    for stage in range(1, 5):
        block, here = rf"{prefix}res{stage + 1}\.(\d+)\.", rf"backbone.layer{stage}.\1."
        rules += [
            Rule(block + r"conv([1-3])\.weight", (here + r"conv\2.weight",)),
            Rule(block + rf"conv([1-3])\.norm\.{_STATISTICS}", (here + r"bn\2.\3",)),
            Rule(block + r"shortcut\.weight", (here + "downsample.0.weight",)),
            Rule(
                block + rf"shortcut\.norm\.{_STATISTICS}",
                (here + r"downsample.1.\2",),
            ),
        ]
    return rules


def _merge_order(part: str) -> Callable[[Tensor], Tensor]:
    """Mmdet's order of the four patches that a Swin stage merges into one."""

    def reorder(value: Tensor) -> Tensor:
        return next(
            iter(swin_converter({f"layers.0.downsample.{part}": value}).values())
        )

    return reorder


def swin_rules(prefix: str = "") -> list[Rule]:
    """Rules for Swin's official code, also as SeqFormer and VNext carry it.

    Args:
        prefix: Regular expression of what stands before ``patch_embed.proj.weight``.
    """
    block = rf"{prefix}layers\.(\d+)\.blocks\.(\d+)\."
    block_here = r"backbone.stages.\1.blocks.\2."
    merging = rf"{prefix}layers\.(\d+)\.downsample\."
    merging_here = r"backbone.stages.\1.downsample."
    reordered = "patches in the order in which mmdet merges them"
    return [
        Rule(
            rf"{prefix}patch_embed\.proj\.{_WEIGHT}",
            (r"backbone.patch_embed.projection.\1",),
        ),
        Rule(
            rf"{prefix}(patch_embed\.norm|norm[1-3])\.{_WEIGHT}",
            (r"backbone.\1.\2",),
        ),
        Rule(block + rf"(norm[12])\.{_WEIGHT}", (block_here + r"\3.\4",)),
        Rule(
            block + r"attn\.((?:qkv|proj)\.(?:weight|bias)|relative_position_\w+)",
            (block_here + r"attn.w_msa.\3",),
        ),
        Rule(block + rf"mlp\.fc1\.{_WEIGHT}", (block_here + r"ffn.layers.0.0.\3",)),
        Rule(block + rf"mlp\.fc2\.{_WEIGHT}", (block_here + r"ffn.layers.1.\3",)),
        Rule(
            merging + r"reduction\.weight",
            (merging_here + "reduction.weight",),
            reordered,
            _merge_order("reduction.weight"),
        ),
        Rule(
            merging + rf"norm\.{_WEIGHT}",
            (merging_here + r"norm.\2",),
            reordered,
            _merge_order("norm.weight"),
        ),
        Rule(block + "attn_mask", note="computed from the size of the image"),
        Rule(
            rf"{prefix}norm0\.{_WEIGHT}", note="the first stage is no input of the neck"
        ),
        Rule(rf"{prefix}(norm|head)\.{_WEIGHT}", note="ImageNet's classifier"),
    ]


def convert_swin(source: Mapping[str, Tensor]) -> Conversion:
    """Convert a checkpoint of Swin's official code to mmdet's SwinTransformer.

    Args:
        source: Parameters under their official names.

    Returns:
        Conversion: Parameters under ``backbone.``.

    Raises:
        DataError: If a name is not one of Swin's.
    """
    return convert_by_rules(
        source,
        swin_rules(),
        "Swin Transformer's official code",
        "layers.0.blocks.0.attn.qkv.weight",
    )

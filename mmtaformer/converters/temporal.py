"""TAFormer's temporal parts when the weights come from a model without them.

What TAFormer adds disturbs what the other weights were trained for, in four places:

- The query of the encoder's attention gains the encoding e_t of the frame. Its mean
  over a training clip, 92% of its energy, is subtracted from the level embedding, which
  is added to the same query and to nothing else.
- T-MSDA gives each query something from other frames. Inflating copies the layer's
  spatial offsets and weights into every relative frame: where nothing moves, T-MSDA
  then gives what S-MSDA gives, and so does any weighted mean of both.
- The fusion weighs S-MSDA by ``intra_share`` and T-MSDA by the rest, whatever the
  input: with both gates' weights zero their biases alone decide. At 0.75 T-MSDA still
  receives a quarter of the gradient; a closed gate would leave it none.
- Temporal self-attention adds nothing, with a zero output projection. Its layer norm
  comes on top of the previous layer's, whose mean and deviation over channels it is
  given as bias and scale.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmtaformer.models.detectors import TAFormer
from mmtaformer.models.layers import (
    AdditionFusion,
    ConcatenationFusion,
    DynamicAttentionFusion,
    SpatioTemporalDeformableAttention,
    temporal_sine_encoding,
)

from .conversion import Conversion

TEMPORAL_INITS = ("inflate", "zero", "default")


def initialize_temporal(
    conversion: Conversion,
    model: TAFormer,
    strategy: str = "inflate",
    intra_share: float = 0.75,
    num_frames: int = 5,
) -> None:
    """Add temporal parts to weights that have none, in place.

    Args:
        conversion: What was converted.
        model: The model that takes it.
        strategy: ``inflate`` does all of the above, ``zero`` all but inflating, so that
            T-MSDA starts from its own initialization behind the same gate;
            ``default`` leaves every temporal part to its own initialization.
        intra_share: Weight of S-MSDA in the fusion.
        num_frames: Length of the clips to be trained on.

    Raises:
        ValueError: If the model has no temporal parts, the source has them already, or
            lacks what they start from.
    """
    if strategy == "default":
        return
    attentions = {
        f"encoder.layers.{index}.self_attn": layer.self_attn
        for index, layer in enumerate(model.encoder.layers)
        if layer.self_attn.temporal_window > 0
    }
    norms = _preceding_norms(model)
    if not attentions and not norms:
        raise ValueError(
            "--temporal-init needs a config with temporal parts (a temporal_window in "
            "the encoder or a temporal_self_attn in the decoder)."
        )
    state = conversion.state_dict
    new_encoder = not any(".temporal_sampling_offsets." in name for name in state)
    new_decoder = not any(name.startswith("decoder.temporal_self") for name in state)
    if not (new_encoder and attentions) and not (new_decoder and norms):
        raise ValueError(
            "--temporal-init starts from a model without temporal parts, but the "
            "source has them already: convert it without this option."
        )
    _require(conversion, [f"{name}.sampling_offsets.weight" for name in attentions])
    _require(conversion, [f"{name}.weight" for names in norms for name in names])
    if new_encoder:
        if model.positional_encoding.temporal:
            _absorb_frame_encoding(conversion, num_frames)
        for name, attention in attentions.items():
            if strategy == "inflate":
                _inflate(conversion, name, attention)
            _set_fusion(conversion, name, attention.fusion, intra_share, strategy)
    if new_decoder:
        for index, names in enumerate(norms):
            _pass_through(conversion, f"decoder.temporal_self_attns.{index}", names)


def _preceding_norms(model: TAFormer) -> list[list[str]]:
    """For each temporal self-attention the norms whose output it receives."""
    decoder = model.decoder
    names = [f"decoder.layers.{i}.norm3_box" for i in range(decoder.num_layers - 1)]
    count = len(decoder.temporal_self_attns)
    return [names] if count == 1 else [[name] for name in names[:count]]


def _require(conversion: Conversion, names: list[str]) -> None:
    for name in names:
        if name not in conversion.state_dict:
            raise ValueError(
                f"--temporal-init starts from '{name}', which the source does not have."
            )


def _absorb_frame_encoding(conversion: Conversion, num_frames: int) -> None:
    embeds = conversion.state_dict["level_embed"]
    mean = temporal_sine_encoding(num_frames, embeds.size(1)).mean(0)
    conversion.adapt(
        "level_embed",
        embeds - mean.to(embeds),
        f"less the mean encoding of {num_frames} frames",
    )


def _inflate(
    conversion: Conversion, name: str, attention: SpatioTemporalDeformableAttention
) -> None:
    """Sample every relative frame as the layer samples the query's own."""
    heads, levels, points = (
        attention.num_heads,
        attention.num_levels,
        attention.num_points,
    )
    frames = len(attention.relative_frames)
    # Other numbers of points take the first ones, or repeat them from the start.
    chosen = torch.arange(attention.num_temporal_points) % points
    repeats = chosen.bincount(minlength=points)[chosen]
    for layer in ("sampling_offsets", "attention_weights"):
        for part in ("weight", "bias"):
            source = f"{name}.{layer}.{part}"
            value = conversion.state_dict[source]
            # (M, L, K, xy or 1, ...)
            value = value.unflatten(0, (heads, levels, points, -1))[:, :, chosen]
            if source.endswith("attention_weights.bias"):
                # Repeated points share the weight of one.
                value = value - repeats.log()[:, None].to(value)
            value = value.unsqueeze(1).expand(-1, frames, *value.shape[1:])
            conversion.add(
                f"{name}.temporal_{layer}.{part}",
                value.flatten(0, 4),
                f"{layer} of the same layer, for each of {frames} relative frames",
            )


def _set_fusion(
    conversion: Conversion,
    name: str,
    fusion: nn.Module,
    intra_share: float,
    strategy: str,
) -> None:
    """Weigh S-MSDA by ``intra_share`` and T-MSDA by the rest, if the fusion can."""
    note = f"S-MSDA weighs {intra_share:g}"
    if isinstance(fusion, DynamicAttentionFusion):
        bias = math.log(intra_share / (1 - intra_share)) / 2
        for gate, sign in (("gate_intra", 1), ("gate_inter", -1)):
            shape = getattr(fusion, gate).weight.shape
            target = f"{name}.fusion.{gate}"
            conversion.add(f"{target}.weight", torch.zeros(shape), note)
            conversion.add(f"{target}.bias", torch.full(shape[:1], sign * bias), note)
    elif isinstance(fusion, ConcatenationFusion):
        identity = torch.eye(fusion.fc.out_features)
        weight = torch.cat([intra_share * identity, (1 - intra_share) * identity], 1)
        conversion.add(f"{name}.fusion.fc.weight", weight, note)
        conversion.add(f"{name}.fusion.fc.bias", torch.zeros(len(weight)), note)
    elif isinstance(fusion, AdditionFusion) and strategy == "inflate":
        for part in ("weight", "bias"):
            target = f"{name}.output_proj.{part}"
            value = conversion.state_dict[target] / 2
            conversion.adapt(target, value, "halved, for the sum of S- and T-MSDA")
    else:
        raise ValueError(
            f"--temporal-init {strategy} cannot give T-MSDA little weight in "
            f"{type(fusion).__name__}; 'inflate' works with addition too, 'default' "
            "with every fusion."
        )


def _pass_through(conversion: Conversion, name: str, norms: list[str]) -> None:
    """Make a temporal self-attention return nearly what it receives.

    It receives ``weight * n + bias`` of a preceding norm, with n of mean 0 and variance
    1 over channels. Its own norm takes off the mean and deviation of that over
    channels, which hardly depend on n; so bias and scale give them back.
    """
    state = conversion.state_dict
    means, deviations = [], []
    for norm in norms:
        weight, bias = state[f"{norm}.weight"], state[f"{norm}.bias"]
        means.append(bias.mean())
        variance = weight.square().mean() + bias.var(correction=0)
        deviations.append(variance.sqrt())
    size = len(weight)
    _add_all(
        conversion,
        {
            f"{name}.attn.out_proj.weight": weight.new_zeros(size, size),
            f"{name}.attn.out_proj.bias": weight.new_zeros(size),
        },
        "zero: passes box queries on",
    )
    _add_all(
        conversion,
        {
            f"{name}.norm.weight": torch.stack(deviations).mean().expand(size),
            f"{name}.norm.bias": torch.stack(means).mean().expand(size),
        },
        "undoes itself after the preceding norm",
    )


def _add_all(conversion: Conversion, values: dict[str, Tensor], note: str) -> None:
    for name, value in values.items():
        conversion.add(name, value, note)

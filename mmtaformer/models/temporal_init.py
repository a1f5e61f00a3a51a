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

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from mmtaformer.utils.errors import DataError

from .detectors import TAFormer
from .layers import (
    AdditionFusion,
    ConcatenationFusion,
    DynamicAttentionFusion,
    SpatioTemporalDeformableAttention,
    temporal_sine_encoding,
)
from .layers.fusion import gate_bias

TEMPORAL_INITS = ("inflate", "zero", "default")

State = Mapping[str, Tensor]
# Name of a parameter -> its value, and what that is made of.
Start = dict[str, tuple[Tensor, str]]


def temporal_start(
    state: State,
    model: TAFormer,
    strategy: str = "inflate",
    intra_share: float = 0.75,
    num_frames: int = 5,
) -> Start:
    """Compute how temporal parts start on top of weights that have none.

    Args:
        state: The weights, under this project's names.
        model: The model that takes them.
        strategy: ``inflate`` does all of the above, ``zero`` all but inflating, so that
            T-MSDA starts from its own initialization behind the same gate;
            ``default`` leaves every temporal part to its own initialization.
        intra_share: Weight of S-MSDA in the fusion.
        num_frames: Length of the clips to be trained on; of the videos, if the model
            encodes the index in the video.

    Returns:
        What is added to the weights, or replaces them: name to value and note.

    Raises:
        DataError: If the model has no temporal parts, the source has them already, or
            lacks what they start from.
    """
    if strategy == "default":
        return {}
    attentions = {
        f"encoder.layers.{index}.self_attn": layer.self_attn
        for index, layer in enumerate(model.encoder.layers)
        if layer.self_attn.temporal_window > 0
    }
    norms = _preceding_norms(model)
    if not attentions and not norms:
        raise DataError(
            "--temporal-init needs a config with temporal parts (a temporal_window in "
            "the encoder or a temporal_self_attn in the decoder)."
        )
    if any(".temporal_sampling_offsets." in name for name in state):
        attentions = {}
    if any(name.startswith("decoder.temporal_self") for name in state):
        norms = []
    if not attentions and not norms:
        raise DataError(
            "--temporal-init starts from a model without temporal parts, but the "
            "source has them already: convert it without this option."
        )
    _require(state, (f"{name}.sampling_offsets.weight" for name in attentions))
    _require(state, (f"{name}.weight" for names in norms for name in names))
    start: Start = {}
    if attentions and model.positional_encoding.temporal:
        start |= _absorb_frame_encoding(state, num_frames)
    for name, attention in attentions.items():
        if strategy == "inflate":
            start |= _inflate(state, name, attention)
        start |= _set_fusion(state, name, attention.fusion, intra_share, strategy)
    for index, names in enumerate(norms):
        start |= _pass_through(state, f"decoder.temporal_self_attns.{index}", names)
    return start


def _preceding_norms(model: TAFormer) -> list[list[str]]:
    """For each temporal self-attention the norms whose output it receives."""
    decoder = model.decoder
    if len(decoder.temporal_self_attns) and decoder.first_temporal_layer == 0:
        raise DataError(
            "--temporal-init cannot pass on the queries that enter the first layer, "
            "which no norm precedes: set decoder.first_temporal_layer=1, or give "
            "--temporal-init default."
        )
    names = [f"decoder.layers.{i}.norm3_box" for i in range(decoder.num_layers - 1)]
    count = len(decoder.temporal_self_attns)
    return [names] if count == 1 else [[name] for name in names[:count]]


def _require(state: State, names: Iterable[str]) -> None:
    for name in names:
        if name not in state:
            raise DataError(
                f"--temporal-init starts from '{name}', which the source does not have."
            )


def _absorb_frame_encoding(state: State, num_frames: int) -> Start:
    embeds = state["level_embed"]
    mean = temporal_sine_encoding(num_frames, embeds.size(1)).mean(0)
    note = f"less the mean encoding of {num_frames} frames"
    return {"level_embed": (embeds - mean.to(embeds), note)}


def _inflate(
    state: State, name: str, attention: SpatioTemporalDeformableAttention
) -> Start:
    """Sample every relative frame as the layer samples the query's own."""
    heads, levels = attention.num_heads, attention.num_levels
    points, frames = attention.num_points, len(attention.relative_frames)
    # Other numbers of points take the first ones, or repeat them from the start.
    chosen = torch.arange(attention.num_temporal_points) % points
    repeats = chosen.bincount(minlength=points)[chosen]
    start: Start = {}
    for layer in ("sampling_offsets", "attention_weights"):
        note = f"{layer} of the same layer, for each of {frames} relative frames"
        for part in ("weight", "bias"):
            value = state[f"{name}.{layer}.{part}"]
            # (M, L, K, xy or 1, ...)
            value = value.unflatten(0, (heads, levels, points, -1))[:, :, chosen]
            if (layer, part) == ("attention_weights", "bias"):
                # Repeated points share the weight of one.
                value = value - repeats.log()[:, None].to(value)
            value = value.unsqueeze(1).expand(-1, frames, *value.shape[1:])
            start[f"{name}.temporal_{layer}.{part}"] = (value.flatten(0, 4), note)
    return start


def _set_fusion(
    state: State, name: str, fusion: nn.Module, intra_share: float, strategy: str
) -> Start:
    """Weigh S-MSDA by ``intra_share`` and T-MSDA by the rest, if the fusion can."""
    values = {}
    note = f"S-MSDA weighs {intra_share:g}"
    if isinstance(fusion, DynamicAttentionFusion):
        bias = gate_bias(intra_share)
        for gate, sign in (("gate_intra", 1), ("gate_inter", -1)):
            shape = getattr(fusion, gate).weight.shape
            values[f"fusion.{gate}.weight"] = torch.zeros(shape)
            values[f"fusion.{gate}.bias"] = torch.full(shape[:1], sign * bias)
    elif isinstance(fusion, ConcatenationFusion):
        identity = torch.eye(fusion.fc.out_features)
        values["fusion.fc.weight"] = torch.cat(
            [intra_share * identity, (1 - intra_share) * identity], dim=1
        )
        values["fusion.fc.bias"] = torch.zeros(len(identity))
    elif isinstance(fusion, AdditionFusion) and strategy == "inflate":
        note = "halved, for the sum of S- and T-MSDA"
        for part in ("output_proj.weight", "output_proj.bias"):
            values[part] = state[f"{name}.{part}"] / 2
    else:
        raise DataError(
            f"--temporal-init {strategy} cannot give T-MSDA little weight in "
            f"{type(fusion).__name__}; 'inflate' works with addition too, 'default' "
            "with every fusion."
        )
    return {f"{name}.{part}": (value, note) for part, value in values.items()}


def _pass_through(state: State, name: str, norms: list[str]) -> Start:
    """Make a temporal self-attention return nearly what it receives.

    It receives ``weight * n + bias`` of a preceding norm, with n of mean 0 and variance
    1 over channels. Its own norm takes off the mean and deviation of that over
    channels, which hardly depend on n; so bias and scale give them back.
    """
    means, deviations = [], []
    for norm in norms:
        weight, bias = state[f"{norm}.weight"], state[f"{norm}.bias"]
        means.append(bias.mean())
        variance = weight.square().mean() + bias.var(correction=0)
        deviations.append(variance.sqrt())
    size = len(weight)
    zero, undo = "zero: passes box queries on", "undoes itself after the preceding norm"
    return {
        f"{name}.attn.out_proj.weight": (weight.new_zeros(size, size), zero),
        f"{name}.attn.out_proj.bias": (weight.new_zeros(size), zero),
        f"{name}.norm.weight": (torch.stack(deviations).mean().expand(size), undo),
        f"{name}.norm.bias": (torch.stack(means).mean().expand(size), undo),
    }

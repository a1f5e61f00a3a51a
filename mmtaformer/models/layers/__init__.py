from .decoder import TemporalAugmentedDecoder, TemporalSelfAttention
from .decoder_layer import (
    QueryDecomposedCrossAttention,
    TemporalAugmentedDecoderLayer,
)
from .deformable_attention import SpatioTemporalDeformableAttention
from .encoder import SpatioTemporalEncoder, SpatioTemporalEncoderLayer
from .fusion import AdditionFusion, ConcatenationFusion, DynamicAttentionFusion
from .positional_encoding import (
    SpatioTemporalPositionalEncoding,
    temporal_sine_encoding,
)

__all__ = [
    "AdditionFusion",
    "ConcatenationFusion",
    "DynamicAttentionFusion",
    "QueryDecomposedCrossAttention",
    "SpatioTemporalDeformableAttention",
    "SpatioTemporalEncoder",
    "SpatioTemporalEncoderLayer",
    "SpatioTemporalPositionalEncoding",
    "TemporalAugmentedDecoder",
    "TemporalAugmentedDecoderLayer",
    "TemporalSelfAttention",
    "temporal_sine_encoding",
]

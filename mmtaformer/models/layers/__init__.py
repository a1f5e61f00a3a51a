from .decoder import TemporalAugmentedDecoder
from .decoder_layer import QueryDecomposedDecoderLayer
from .deformable_attention import (
    QueryDecomposedCrossAttention,
    SpatioTemporalDeformableAttention,
)
from .encoder import SpatioTemporalEncoder, SpatioTemporalEncoderLayer
from .fusion import AdditionFusion, ConcatenationFusion, DynamicAttentionFusion
from .mlp import mlp
from .positional_encoding import (
    SpatioTemporalPositionalEncoding,
    temporal_sine_encoding,
)
from .temporal_self_attention import TemporalSelfAttention

__all__ = [
    "AdditionFusion",
    "ConcatenationFusion",
    "DynamicAttentionFusion",
    "QueryDecomposedCrossAttention",
    "QueryDecomposedDecoderLayer",
    "SpatioTemporalDeformableAttention",
    "SpatioTemporalEncoder",
    "SpatioTemporalEncoderLayer",
    "SpatioTemporalPositionalEncoding",
    "TemporalAugmentedDecoder",
    "TemporalSelfAttention",
    "mlp",
    "temporal_sine_encoding",
]

"""TAFormer: temporal-aware transformer for video instance segmentation."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models.mot import BaseMOTModel
from mmdet.registry import MODELS
from mmdet.structures import TrackDataSample
from mmengine.model import xavier_init
from torch import Tensor, nn

from mmtaformer.ops import set_attention_backend

from ..structures import ClipFeatures, DecoderLayerOutput


@MODELS.register_module()
class TAFormer(BaseMOTModel):
    """Clip-level detector that classifies, boxes and masks instances in one pass.

    .. code:: text

        frames (B, T, 3, H, W)
          -> backbone, neck    C3..C6, (B * T, C, H_l, W_l)
          -> embed             ClipFeatures: tokens (B, T, S, C) and encodings
          -> encoder           the same, tokens aware of neighbouring frames
          -> decoder           per layer: instance queries (B, Q, C),
                               box queries (B, T, Q, C), boxes (B, T, Q, 4)
          -> bbox_head         losses, or per-frame results

    Without the temporal parts in its config it is SeqFormer.

    Args:
        backbone (dict): Config of the backbone (C3, C4, C5).
        neck (dict): Config of the neck, which projects to C channels and adds C6.
        positional_encoding (dict): Config of the positional encoding.
        encoder (dict): Config of the encoder.
        decoder (dict): Config of the decoder.
        bbox_head (dict): Config of the head.
        num_queries (int): Number of queries Q. Defaults to 300.
        num_feature_levels (int): Number of levels L. Defaults to 4.
        attention_backend (str, optional): What computes every deformable attention of
            the process, see :func:`mmtaformer.ops.set_attention_backend`.
        test_cfg (dict, optional): ``max_per_video`` (10), ``encode_masks`` (False:
            bool tensors; True: run-length encodings) and ``frames_per_chunk`` (None:
            whole video at once).
        train_cfg (dict, optional): Unused, accepted as mmdet's models do.
        data_preprocessor (dict, optional): Config of the data preprocessor.
        init_cfg (dict, optional): Initialization config.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        positional_encoding: dict,
        encoder: dict,
        decoder: dict,
        bbox_head: dict,
        num_queries: int = 300,
        num_feature_levels: int = 4,
        attention_backend: str | None = None,
        test_cfg: dict | None = None,
        train_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if attention_backend is not None:
            set_attention_backend(attention_backend)
        self.test_cfg = test_cfg or {}
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.positional_encoding = MODELS.build(positional_encoding)
        self.encoder = MODELS.build(encoder)
        self.decoder = MODELS.build(decoder)
        self.bbox_head = MODELS.build(bbox_head)
        embed_dims = self.encoder.embed_dims
        self.level_embed = nn.Parameter(torch.zeros(num_feature_levels, embed_dims))
        self.query_embedding = nn.Embedding(num_queries, 2 * embed_dims)
        self.reference_points_fc = nn.Linear(embed_dims, 2)

    def init_weights(self) -> None:
        """Deformable DETR's initialization: Xavier for every matrix of encoder and
        decoder, then what each module does for itself."""
        for module in (self.encoder, self.decoder):
            for parameter in module.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
        super().init_weights()
        for module in self.modules():
            if isinstance(module, MultiScaleDeformableAttention):
                # mmengine skips it: mmcv's constructor has marked it as initialized.
                module.init_weights()
        nn.init.normal_(self.level_embed)
        xavier_init(self.reference_points_fc, distribution="uniform", bias=0.0)

    def loss(
        self, inputs: Tensor, data_samples: list[TrackDataSample], **kwargs
    ) -> dict[str, Tensor]:
        """Losses of a batch of clips.

        Args:
            inputs: (B, T, 3, H, W) normalized and padded frames.
            data_samples: The B clips with their ground truth.

        Returns:
            dict[str, Tensor]: See :meth:`TAFormerHead.loss`.
        """
        assert inputs.dim() == 5, "expected frames of shape (B, T, 3, H, W)"
        features = self.embed(
            self.extract_feat(inputs.flatten(0, 1)),
            len(inputs),
            self._padding_mask(inputs, data_samples),
        )
        memory = self.encoder(features)
        outputs = self.decode(memory)
        return self.bbox_head.loss(outputs, memory, data_samples)

    @torch.no_grad()
    def predict(
        self,
        inputs: Tensor,
        data_samples: list[TrackDataSample],
        rescale: bool = True,
        **kwargs,
    ) -> list[TrackDataSample]:
        """Instances of whole videos.

        Each video is cropped to its own size first, so padding costs nothing and
        changes nothing.

        Args:
            inputs: (B, T, 3, H, W) normalized and padded frames.
            data_samples: The B videos.
            rescale: Whether results are in pixels of the original frames instead
                of the frames the network saw. Defaults to True.

        Returns:
            list[TrackDataSample]: The given samples, each frame with
            ``pred_track_instances``, see :func:`frame_results`.
        """
        assert inputs.dim() == 5, "expected frames of shape (B, T, 3, H, W)"
        chunk = self.test_cfg.get("frames_per_chunk")
        for video, sample in zip(inputs, data_samples, strict=True):
            first = sample.video_data_samples[0]
            height, width = first.img_shape[:2]
            memory = self.encoder(
                self.embed_video(video[None, :, :, :height, :width], chunk), chunk
            )
            output = self.decode(memory, chunk, last_only=True)[-1]
            results = self.bbox_head.predict(
                output,
                memory,
                image_size=(height, width),
                output_size=first.ori_shape[:2] if rescale else (height, width),
                max_per_video=self.test_cfg.get("max_per_video", 10),
                encode=self.test_cfg.get("encode_masks", False),
                frames_per_chunk=chunk,
            )
            for frame, result in zip(sample.video_data_samples, results, strict=True):
                frame.pred_track_instances = result
        return data_samples

    def _forward(
        self,
        inputs: Tensor,
        data_samples: list[TrackDataSample] | None = None,
        **kwargs,
    ) -> list[DecoderLayerOutput]:
        """Raw outputs of all decoder layers, for ``mode='tensor'``."""
        mask = None
        if data_samples is not None:
            mask = self._padding_mask(inputs, data_samples)
        maps = self.extract_feat(inputs.flatten(0, 1))
        return self.decode(self.encoder(self.embed(maps, len(inputs), mask)))

    def extract_feat(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Multi-level maps of (N, 3, H, W) frames: L times (N, C, H_l, W_l)."""
        return self.neck(self.backbone(frames))

    def embed_video(self, video: Tensor, frames_per_chunk: int | None) -> ClipFeatures:
        """Backbone, neck and :meth:`embed` of one unpadded video, in chunks.

        Args:
            video: (1, T, 3, H, W).
            frames_per_chunk: How many frames pass through the backbone at a time.
        """
        num_frames = video.size(1)
        step = frames_per_chunk or num_frames
        tokens = None
        for first in range(0, num_frames, step):
            maps = self.extract_feat(video[0, first : first + step])
            features = self.embed(maps, batch_size=1)
            if tokens is None:  # of all frames, so that none is held twice
                shape = (1, num_frames, *features.tokens.shape[2:])
                tokens = features.tokens.new_empty(shape)
            tokens[:, first : first + step] = features.tokens
        assert tokens is not None, "a video without frames"
        times = self.positional_encoding.encode_frames(num_frames, video.device)
        return replace(features, tokens=tokens, temporal_pos=times)

    def embed(
        self,
        maps: tuple[Tensor, ...] | list[Tensor],
        batch_size: int,
        padding_mask: Tensor | None = None,
    ) -> ClipFeatures:
        """Flatten feature maps to tokens and encode where they come from.

        Args:
            maps: L times (B * T, C, H_l, W_l), clip-major.
            batch_size: B.
            padding_mask: (B, H, W) bool, True on the padding of the images, or None
                if there is none.

        Returns:
            ClipFeatures: Tokens (B, T, S, C) with their encodings.
        """
        tokens, positions, masks, ratios = [], [], [], []
        for level, feature in enumerate(maps):
            shape = feature.shape[-2:]
            if padding_mask is None:
                mask = feature.new_zeros((batch_size, *shape), dtype=torch.bool)
            else:
                mask = F.interpolate(padding_mask[None].float(), size=shape)[0].bool()
            position = self.positional_encoding(mask).flatten(2).transpose(1, 2)
            positions.append(position + self.level_embed[level])
            masks.append(mask.flatten(1))
            ratios.append(_valid_ratio(mask))
            tokens.append(feature.flatten(2).transpose(1, 2))
        tokens = torch.cat(tokens, dim=1).unflatten(0, (batch_size, -1))
        return ClipFeatures(
            tokens=tokens,
            spatial_shapes=tuple((m.size(-2), m.size(-1)) for m in maps),
            spatial_pos=torch.cat(positions, dim=1),
            temporal_pos=self.positional_encoding.encode_frames(
                tokens.size(1), tokens.device
            ),
            valid_ratios=torch.stack(ratios, dim=1),
            padding_mask=None if padding_mask is None else torch.cat(masks, dim=1),
        )

    def decode(
        self,
        memory: ClipFeatures,
        frames_per_chunk: int | None = None,
        last_only: bool = False,
    ) -> list[DecoderLayerOutput]:
        """Decode the learned queries against the encoder's output.

        See :meth:`TemporalAugmentedDecoder.forward`.
        """
        query_pos, query = self.query_embedding.weight.chunk(2, dim=1)
        return self.decoder(
            query,
            query_pos,
            self.reference_points_fc(query_pos).sigmoid(),
            memory,
            self.bbox_head.reg_branches,
            frames_per_chunk,
            last_only,
        )

    def _padding_mask(
        self, inputs: Tensor, samples: list[TrackDataSample]
    ) -> Tensor | None:
        """(B, H, W) bool, True on padding; None if no clip is padded."""
        height, width = inputs.shape[-2:]
        shapes = [sample.video_data_samples[0].img_shape[:2] for sample in samples]
        if all(tuple(shape) == (height, width) for shape in shapes):
            return None
        mask = inputs.new_ones((len(shapes), height, width), dtype=torch.bool)
        for clip, (valid_height, valid_width) in enumerate(shapes):
            mask[clip, :valid_height, :valid_width] = False
        return mask


def _valid_ratio(mask: Tensor) -> Tensor:
    """(B, 2) part of the (width, height) of a (B, H, W) mask that is not padding."""
    height, width = mask.shape[-2:]
    valid_height = (~mask[:, :, 0]).sum(dim=1) / height
    valid_width = (~mask[:, 0]).sum(dim=1) / width
    return torch.stack([valid_width, valid_height], dim=-1)

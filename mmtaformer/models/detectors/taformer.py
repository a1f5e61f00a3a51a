"""TAFormer: temporal-aware transformer for video instance segmentation."""

from __future__ import annotations

import torch
from mmdet.models.mot import BaseMOTModel
from mmdet.registry import MODELS
from mmdet.structures import TrackDataSample
from mmengine.model import xavier_init
from torch import Tensor, nn

from mmtaformer.ops import set_attention_backend, use_cpu_dropout
from mmtaformer.utils.errors import UsageError

from ..checks import require_positive, require_same
from ..structures import ClipFeatures, DecoderLayerOutput, encoder_reference_points
from .backbone_maps import IMAGE_SIZE, Shape, build_neck
from .tokens import clip_tokens, level_mask, valid_ratio


@MODELS.register_module()
class TAFormer(BaseMOTModel):
    """Clip-level detector that classifies, boxes and masks instances in one pass.

    .. code:: text

        frames (B, T, 3, H, W)
          -> extract_feat      backbone, neck: C3..C6, (B * T, C, H_l, W_l)
          -> embed             ClipFeatures: tokens (B, T, S, C) and encodings
          -> encoder           the same, tokens aware of neighbouring frames
          -> decode            per layer: instance queries (B, Q, C),
                               box queries (B, T, Q, C), boxes (B, T, Q, 4)
          -> bbox_head         losses, or per-frame results

    Without the temporal parts in its config it is SeqFormer.

    Args:
        backbone: Config of the backbone; any of mmdet's (C3, C4, C5).
        neck: Config of the neck, which projects to C channels and adds C6. Its
            ``in_channels`` and ``num_outs`` follow the backbone and
            ``num_feature_levels`` if they are left out.
        positional_encoding: Config of the positional encoding.
        encoder: Config of the encoder.
        decoder: Config of the decoder.
        bbox_head: Config of the head; its ``num_layers`` follows the decoder.
        num_queries: Number of queries Q.
        num_feature_levels: Number of levels L; ``num_levels`` of the attentions follows
            it.
        attention_backend: What computes every deformable attention of the process, see
            :func:`mmtaformer.ops.set_attention_backend`.
        test_cfg: ``max_per_video`` (10), ``encode_masks`` (False: bool tensors; True:
            run-length encodings), ``frames_per_chunk`` (None: whole video at once)
            and ``return_embeddings`` (False; True: one vector per instance, by which
            it can be recognized in other clips).
        train_cfg: None or empty. mmdet's models have their assigner here; that of
            TAFormer is ``bbox_head.assigner``.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialization config.

    Raises:
        UsageError: If the parts do not fit together, or ``train_cfg`` says something.
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
        if train_cfg:
            raise UsageError(
                "TAFormer reads nothing from model.train_cfg, which has "
                f"{', '.join(train_cfg)}; the assigner is model.bbox_head.assigner."
            )
        require_positive(
            self, num_queries=num_queries, num_feature_levels=num_feature_levels
        )
        if attention_backend is not None:
            set_attention_backend(attention_backend)
        self.test_cfg = test_cfg or {}
        if self.test_cfg.get("frames_per_chunk") is not None:
            chunk = self.test_cfg["frames_per_chunk"]
            require_positive("test_cfg", frames_per_chunk=chunk)
        levels = dict(num_levels=num_feature_levels)
        self.backbone = MODELS.build(backbone)
        self.neck, map_shapes = build_neck(neck, self.backbone, num_feature_levels)
        self.positional_encoding = MODELS.build(positional_encoding)
        self.encoder = MODELS.build(encoder, default_args=levels)
        self.decoder = MODELS.build(decoder, default_args=levels)
        self.bbox_head = MODELS.build(
            bbox_head, default_args=dict(num_layers=self.decoder.num_layers)
        )
        self._check_parts(num_feature_levels, map_shapes)
        embed_dims = self.encoder.embed_dims
        self.level_embed = nn.Parameter(torch.zeros(num_feature_levels, embed_dims))
        self.query_embedding = nn.Embedding(num_queries, 2 * embed_dims)
        self.reference_points_fc = nn.Linear(embed_dims, 2)
        use_cpu_dropout(self)

    def _check_parts(self, num_levels: int, map_shapes: list[Shape]) -> None:
        head = self.bbox_head
        require_same(
            "embed_dims",
            neck__out_channels=map_shapes[0][1],
            positional_encoding=2 * self.positional_encoding.num_feats,
            encoder=self.encoder.embed_dims,
            decoder=self.decoder.embed_dims,
            bbox_head=head.embed_dims,
            bbox_head__mask_head=head.mask_head.embed_dims,
        )
        require_same(
            "num_levels",
            num_feature_levels=num_levels,
            encoder=self.encoder.num_levels,
            decoder=self.decoder.num_levels,
        )
        require_same(
            "num_layers", decoder=self.decoder.num_layers, bbox_head=head.num_layers
        )
        require_same(
            "the stride of the finest level in pixels",
            backbone=round(IMAGE_SIZE / map_shapes[0][-1]),
            bbox_head__mask_head__stride=head.mask_head.stride,
        )
        if head.mask_head.num_levels > num_levels:
            raise UsageError(
                f"bbox_head.mask_head.num_levels is {head.mask_head.num_levels}, but "
                f"there are {num_levels} levels (num_feature_levels)."
            )

    def init_weights(self) -> None:
        """Deformable DETR's start, then what each part does for itself."""
        nn.init.normal_(self.level_embed)
        xavier_init(self.reference_points_fc, distribution="uniform", bias=0.0)
        super().init_weights()  # last, for it may load a checkpoint

    def loss(
        self, inputs: Tensor, data_samples: list[TrackDataSample], **kwargs
    ) -> dict[str, Tensor]:
        """Losses of a batch of clips.

        Args:
            inputs: (B, T, 3, H, W) normalized and padded frames.
            data_samples: The B clips with their ground truth.
            kwargs: Ignored, as mmdet's models do.

        Returns:
            dict[str, Tensor]: See :meth:`TAFormerHead.loss`.
        """
        memory = self.encode(
            inputs,
            self._padding_mask(inputs, data_samples),
            frame_ids=self._frame_ids(inputs, data_samples),
        )
        return self.bbox_head.loss(self.decode(memory), memory, data_samples)

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
                of the frames the network saw.
            kwargs: Ignored, as mmdet's models do.

        Returns:
            list[TrackDataSample]: The given samples, each frame with
            ``pred_track_instances``, see :func:`frame_results`.
        """
        for video, sample in zip(inputs, data_samples, strict=True):
            first = sample.video_data_samples[0]
            height, width = first.img_shape[:2]
            memory = self.encode(
                video[None, ..., :height, :width],
                frames_per_chunk=self.test_cfg.get("frames_per_chunk"),
                frame_ids=self._frame_ids(inputs, [sample]),
            )
            results = self.bbox_head.predict(
                self.decode(memory, last_only=True)[-1],
                memory,
                image_size=(height, width),
                output_size=first.ori_shape[:2] if rescale else (height, width),
                max_per_video=self.test_cfg.get("max_per_video", 10),
                encode=self.test_cfg.get("encode_masks", False),
                embed=self.test_cfg.get("return_embeddings", False),
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
        mask = ids = None
        if data_samples:
            mask = self._padding_mask(inputs, data_samples)
            ids = self._frame_ids(inputs, data_samples)
        return self.decode(self.encode(inputs, mask, frame_ids=ids))

    def extract_feat(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Multi-level maps of (N, 3, H, W) frames: L times (N, C, H_l, W_l)."""
        return self.neck(self.backbone(frames))

    def encode(
        self,
        inputs: Tensor,
        padding_mask: Tensor | None = None,
        frames_per_chunk: int | None = None,
        frame_ids: Tensor | None = None,
    ) -> ClipFeatures:
        """Everything ahead of the decoder.

        Args:
            inputs: (B, T, 3, H, W) normalized and padded frames.
            padding_mask: (B, H, W) bool, True on the padding of the images, or None
                if there is none.
            frames_per_chunk: See :class:`ClipFeatures`.
            frame_ids: (B, T) index of each frame in its video, or None.

        Returns:
            ClipFeatures: The memory that the decoder reads.
        """
        assert inputs.dim() == 5, "expected frames of shape (B, T, 3, H, W)"
        tokens, shapes = clip_tokens(self.extract_feat, inputs, frames_per_chunk)
        features = self.embed(
            tokens,
            shapes,
            padding_mask,
            frames_per_chunk=frames_per_chunk,
            frame_ids=frame_ids,
        )
        return self.encoder(features)

    def embed(
        self,
        tokens: Tensor,
        spatial_shapes: tuple[tuple[int, int], ...],
        padding_mask: Tensor | None = None,
        frames_per_chunk: int | None = None,
        frame_ids: Tensor | None = None,
    ) -> ClipFeatures:
        """Say of tokens where they come from.

        Args:
            tokens: (B, T, S, C), see :func:`clip_tokens`.
            spatial_shapes: (H_l, W_l) of every level.
            padding_mask: See :meth:`encode`.
            frames_per_chunk: See :class:`ClipFeatures`.
            frame_ids: See :meth:`encode`.

        Returns:
            ClipFeatures: The tokens with their encodings.
        """
        positions, masks = [], []
        ratios = torch.ones(
            tokens.size(0), len(spatial_shapes), 2, device=tokens.device
        )
        for level, shape in enumerate(spatial_shapes):
            mask = None
            if padding_mask is not None:
                mask = level_mask(padding_mask, shape)
                masks.append(mask.flatten(1))
                ratios[:, level] = valid_ratio(mask)
            # Without padding all clips are alike: one stands for them.
            position = self.positional_encoding(mask, tokens.new_empty(1, 1, *shape))
            position = position.flatten(2).transpose(1, 2)
            positions.append(position + self.level_embed[level])
        times = self.positional_encoding.encode_frames(
            tokens.size(1), tokens.device, frame_ids
        )
        return ClipFeatures(
            tokens=tokens,
            spatial_shapes=spatial_shapes,
            spatial_pos=torch.cat(positions, dim=1),
            temporal_pos=times,
            reference_points=encoder_reference_points(spatial_shapes, ratios),
            valid_ratios=ratios,
            padding_mask=torch.cat(masks, dim=1) if masks else None,
            frames_per_chunk=frames_per_chunk,
            frame_ids=frame_ids,
        )

    def decode(
        self, memory: ClipFeatures, last_only: bool = False
    ) -> list[DecoderLayerOutput]:
        """Decode the learned queries against the encoder's output.

        See :meth:`TemporalAugmentedDecoder.forward`.
        """
        query_pos, query = self.query_embedding.weight.chunk(2, dim=1)
        return self.decoder(
            query,
            query_pos=query_pos,
            reference_points=self.reference_points_fc(query_pos).sigmoid(),
            memory=memory,
            reg_branches=self.bbox_head.reg_branches,
            last_only=last_only,
        )

    @staticmethod
    def _frame_ids(inputs: Tensor, samples: list[TrackDataSample]) -> Tensor | None:
        """(B, T) index of each frame in its video; None if a frame does not say it."""
        frames = [sample.video_data_samples for sample in samples]
        if not all("frame_id" in frame for clip in frames for frame in clip):
            return None
        ids = [[frame.frame_id for frame in clip] for clip in frames]
        return torch.tensor(ids, device=inputs.device)

    @staticmethod
    def _padding_mask(inputs: Tensor, samples: list[TrackDataSample]) -> Tensor | None:
        """(B, H, W) bool, True on padding; None if no clip is padded."""
        height, width = inputs.shape[-2:]
        shapes = [sample.video_data_samples[0].img_shape[:2] for sample in samples]
        if all(tuple(shape) == (height, width) for shape in shapes):
            return None
        mask = inputs.new_ones((len(shapes), height, width), dtype=torch.bool)
        for clip, (valid_height, valid_width) in enumerate(shapes):
            mask[clip, :valid_height, :valid_width] = False
        return mask

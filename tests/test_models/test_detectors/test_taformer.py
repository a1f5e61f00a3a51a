import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import TrackDataSample

from mmtaformer.models.detectors.tokens import flatten_maps
from mmtaformer.utils.errors import UsageError

from ...helpers.models import build_tiny, clip_sample, tiny_config

SIZE = (64, 96)
BOXES = {
    0: [(8, 8, 40, 40)] * 5,
    5: [None, (40, 16, 80, 60), (44, 16, 84, 60), None, (50, 16, 90, 60)],
}


def perturbed(name="taformer_tiny", **options):
    """A model in which every parameter counts."""
    return build_tiny(name, noise=0.05, **options)


def clip_inputs(batch=1, num_frames=5, size=SIZE, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, num_frames, 3, *size, generator=generator)


def predict(model, inputs, img_shape=SIZE, ori_shape=None):
    samples = [
        clip_sample(
            img_shape, {}, num_frames=inputs.size(1), ori_shape=ori_shape or img_shape
        )
        for _ in inputs
    ]
    return [
        [frame.pred_track_instances for frame in sample.video_data_samples]
        for sample in model(inputs, samples, mode="predict")
    ]


def total_loss(model, inputs, samples):
    return model.parse_losses(model(inputs, samples, mode="loss"))[0]


def assert_same_results(actual, expected, tolerance=1e-4):
    assert len(actual) == len(expected)
    for frame, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(
            frame.scores, other.scores, atol=tolerance, rtol=tolerance
        )
        assert frame.labels.tolist() == other.labels.tolist()
        torch.testing.assert_close(frame.bboxes, other.bboxes, atol=1e-2, rtol=1e-4)
        assert (frame.masks != other.masks).float().mean() < 1e-4


def test_every_parameter_receives_a_gradient():
    model = perturbed().train()
    samples = [clip_sample(SIZE, BOXES), clip_sample(SIZE, {2: BOXES[5]})]
    total_loss(model, clip_inputs(2), samples).backward()
    missing = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert missing == []


@pytest.mark.parametrize("name", ["taformer_tiny", "seqformer_tiny"])
def test_losses_of_every_layer(name):
    losses = build_tiny(name)(clip_inputs(), [clip_sample(SIZE, BOXES)], mode="loss")
    terms = {"loss_cls", "loss_bbox", "loss_iou", "loss_mask", "loss_dice"}
    if name == "taformer_tiny":
        terms.add("loss_contrastive")
    expected = {f"{prefix}{term}" for term in terms for prefix in ("", "d0.", "d1.")}
    assert set(losses) == expected
    assert all(loss.isfinite() for loss in losses.values())


def test_contrastive_loss_on_the_last_layer_only():
    model = build_tiny(**{"bbox_head.contrastive_aux": False})
    losses = model(clip_inputs(), [clip_sample(SIZE, BOXES)], mode="loss")
    assert [name for name in losses if "contrastive" in name] == ["loss_contrastive"]


def test_clips_without_instances_train():
    model = build_tiny().train()
    samples = [clip_sample(SIZE, {}, num_frames=5)] * 2
    loss = total_loss(model, clip_inputs(2), samples)
    loss.backward()
    assert loss.isfinite()
    # Distributed training needs every parameter in the graph.
    assert all(p.grad is not None for p in model.parameters())


def test_absent_frames_can_be_left_out_of_the_box_losses():
    inputs, losses = clip_inputs(), {}
    for supervise in (True, False):
        model = perturbed(**{"bbox_head.supervise_absent": supervise})
        losses[supervise] = [
            model(inputs, [clip_sample(SIZE, boxes)], mode="loss")["loss_bbox"]
            for boxes in ({0: BOXES[0]}, BOXES)
        ]
    torch.testing.assert_close(losses[True][0], losses[False][0])
    assert losses[False][1] < losses[True][1]


@pytest.mark.parametrize("num_frames", [1, 2, 9])
def test_clips_of_any_length(num_frames):
    model = build_tiny()
    inputs = clip_inputs(num_frames=num_frames)
    frames = predict(model, inputs)[0]
    assert len(frames) == num_frames
    for frame in frames:
        assert frame.masks.shape == (10, *SIZE)
        assert frame.masks.dtype == torch.bool
        assert frame.bboxes.isfinite().all()
        assert frame.instances_id.tolist() == list(range(10))
    sample = clip_sample(SIZE, {3: [(8, 8, 40, 40)] * num_frames})
    assert total_loss(model, inputs, [sample]).isfinite()


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 20])
def test_result_does_not_depend_on_the_chunk_size(chunk):
    inputs = clip_inputs(num_frames=7)
    whole = predict(perturbed(**{"test_cfg.frames_per_chunk": None}), inputs)[0]
    parts = predict(perturbed(**{"test_cfg.frames_per_chunk": chunk}), inputs)[0]
    assert_same_results(parts, whole)


def test_encoded_masks_are_the_masks():
    from pycocotools.mask import decode

    inputs = clip_inputs(num_frames=3)
    plain = predict(perturbed(**{"test_cfg.encode_masks": False}), inputs)[0]
    encoded = predict(perturbed(**{"test_cfg.encode_masks": True}), inputs)[0]
    for frame, other in zip(plain, encoded, strict=True):
        masks = torch.from_numpy(decode(other.masks)).permute(2, 0, 1).bool()
        assert (masks == frame.masks).all()


def test_padding_the_images_does_not_change_the_result():
    model, inputs = perturbed(), clip_inputs()
    padded = torch.nn.functional.pad(inputs, (0, 32, 0, 64))
    assert_same_results(predict(model, padded)[0], predict(model, inputs)[0])


@torch.no_grad()
def test_padded_tokens_do_not_reach_the_transformer():
    """Encoder and decoder in a padded batch, from the same features."""
    model = perturbed()
    maps = model.extract_feat(clip_inputs().flatten(0, 1))
    outputs = []
    for pad in (0, 1):
        # One column at the coarsest level is eight at the finest.
        padded = [
            torch.nn.functional.pad(m, (0, pad * 8 >> level), value=9.0)
            for level, m in enumerate(maps)
        ]
        mask = torch.zeros(1, SIZE[0], SIZE[1] + 64 * pad, dtype=torch.bool)
        mask[:, :, SIZE[1] :] = True
        shapes = tuple(tuple(m.shape[-2:]) for m in padded)
        memory = model.encoder(model.embed(flatten_maps(padded, 1), shapes, mask))
        outputs.append(model.decode(memory)[-1])
    for name in ("instance_query", "box_query", "boxes"):
        torch.testing.assert_close(
            getattr(outputs[1], name), getattr(outputs[0], name), atol=1e-4, rtol=0
        )


def test_results_are_in_pixels_of_the_original_frames():
    model, inputs = perturbed(), clip_inputs(num_frames=2)
    small = predict(model, inputs)[0]
    large = predict(model, inputs, ori_shape=(SIZE[0] * 3, SIZE[1] * 3))[0]
    for frame, other in zip(small, large, strict=True):
        torch.testing.assert_close(other.bboxes, frame.bboxes * 3)
        assert other.masks.shape[-2:] == (SIZE[0] * 3, SIZE[1] * 3)
        # Pixel 3i + 1 of the large mask has the same centre as pixel i.
        assert (other.masks[:, 1::3, 1::3] != frame.masks).float().mean() < 1e-3


def test_videos_of_a_batch_are_independent():
    model, inputs = perturbed(), clip_inputs(2, num_frames=3)
    together = predict(model, inputs)
    for index in range(2):
        alone = predict(model, inputs[index : index + 1])[0]
        assert_same_results(together[index], alone)


def test_activation_checkpointing_keeps_the_gradients():
    gradients = []
    for with_cp in (False, True):
        model = perturbed(**{"encoder.with_cp": with_cp, "decoder.with_cp": with_cp})
        # Batch norm's statistics would be updated twice otherwise.
        model.train()
        model.backbone.eval()
        samples = [clip_sample(SIZE, BOXES)]
        total_loss(model, clip_inputs(), samples).backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain, atol=1e-5, rtol=1e-4)


def test_temporal_self_attention_shared_or_per_layer():
    shared = build_tiny()
    single = sum(p.numel() for p in shared.decoder.temporal_self_attns.parameters())
    own = build_tiny(**{"decoder.share_temporal_self_attn": False})
    several = sum(p.numel() for p in own.decoder.temporal_self_attns.parameters())
    assert several == single * (own.decoder.num_layers - 1)
    assert total_loss(own, clip_inputs(), [clip_sample(SIZE, BOXES)]).isfinite()


def test_seqformer_has_no_temporal_parameters():
    names = dict(build_tiny("seqformer_tiny").named_parameters())
    assert not any("temporal" in n or "fusion" in n or "projector" in n for n in names)


def test_tensor_mode_returns_the_decoder_outputs():
    model, inputs = perturbed(), clip_inputs(2)
    outputs = model(inputs, mode="tensor")
    assert len(outputs) == 3
    assert outputs[-1].instance_query.shape == (2, 8, 64)
    assert outputs[-1].box_query.shape == (2, 5, 8, 64)


def test_the_config_builds_with_its_data_preprocessor():
    model = MODELS.build(tiny_config()._cfg_dict)
    frames = torch.randint(0, 255, (5, 3, 60, 90), dtype=torch.uint8)
    data = model.data_preprocessor(
        dict(inputs=[frames], data_samples=[clip_sample((60, 90), {}, num_frames=5)])
    )
    assert data["inputs"].shape == (1, 5, 3, 64, 96)
    assert isinstance(data["data_samples"][0], TrackDataSample)


def test_a_new_model_trains_and_predicts():
    """As it starts: nothing is divided by zero."""
    model = build_tiny().train()
    samples = [clip_sample(SIZE, BOXES)]
    loss = total_loss(model, clip_inputs(), samples)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert len(predict(model.eval(), clip_inputs())[0]) == 5


@pytest.mark.parametrize("name", ["taformer_tiny", "seqformer_tiny"])
def test_embeddings_of_the_instances(name):
    model, inputs = perturbed(name), clip_inputs(num_frames=3)
    assert "embeddings" not in predict(model, inputs)[0][0]
    model.test_cfg["return_embeddings"] = True
    frames = predict(model, inputs)[0]
    with torch.no_grad():
        last = model(inputs, mode="tensor")[-1]
    logits = model.bbox_head.cls_branches[-1](last.instance_query[0])
    queries = logits.flatten().argsort(descending=True)[:10] // logits.size(1)
    for n, query in enumerate(queries.tolist()):
        vectors = last.box_query[0, :, query]
        if name == "taformer_tiny":
            vectors = model.bbox_head.projector(vectors)
        expected = sum(vectors) / len(vectors)
        expected = expected / expected.square().sum().sqrt()
        for frame in frames:
            torch.testing.assert_close(
                frame.embeddings[n], expected, atol=1e-5, rtol=1e-4
            )


R18 = {"backbone.base_channels": 64, "backbone.depth": 18}


@pytest.mark.parametrize(
    "options",
    [
        R18,
        R18 | {"num_feature_levels": 3},
        {"num_feature_levels": 5},
        {
            "num_feature_levels": 1,
            "backbone.out_indices": (3,),
            "bbox_head.mask_head.num_levels": 1,
            "bbox_head.mask_head.stride": 32,
        },
    ],
    ids=["resnet18", "three levels", "five levels", "one level"],
)
def test_parts_follow_backbone_and_number_of_levels(options):
    model = build_tiny(noise=0.05, **options)
    loss = total_loss(model.train(), clip_inputs(), [clip_sample(SIZE, BOXES)])
    loss.backward()
    assert loss.isfinite()
    levels = options.get("num_feature_levels", 4)
    assert model.encoder.num_levels == model.decoder.num_levels == levels
    assert len(predict(model.eval(), clip_inputs())[0]) == 5


BACKBONES = [
    dict(type="MobileNetV2", out_indices=(2, 4, 7)),
    dict(type="RegNet", arch="regnetx_400mf", out_indices=(1, 2, 3)),
    dict(
        type="SwinTransformer",
        embed_dims=24,
        depths=(1, 1, 1, 1),
        num_heads=(1, 2, 4, 8),
        out_indices=(1, 2, 3),
    ),
    dict(type="PyramidVisionTransformerV2", embed_dims=16, out_indices=(1, 2, 3)),
]


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda cfg: cfg["type"])
def test_backbones_of_mmdet_fit(backbone):
    cfg = tiny_config()._cfg_dict
    cfg["backbone"] = backbone
    model = MODELS.build(cfg)
    sample = clip_sample(SIZE, {0: [(8, 8, 40, 40)] * 2})
    assert total_loss(model, clip_inputs(num_frames=2), [sample]).isfinite()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"neck.in_channels": [64, 128, 256]},
            r"backbone gives maps of \[32, 64, 128\]",
        ),
        ({"neck.num_outs": 3}, "num_feature_levels is 4, but the neck gives 3"),
        ({"num_feature_levels": 2}, "num_feature_levels is 2, .* backbone gives 3"),
        ({"num_feature_levels": 0}, "num_feature_levels=0; give an integer"),
        ({"num_queries": 0}, "num_queries=0"),
        ({"train_cfg": {"assigner": {}}}, "train_cfg, which has assigner; the assig"),
        ({"test_cfg.frames_per_chunk": 0}, "test_cfg has frames_per_chunk=0"),
        ({"bbox_head.num_layers": 2}, "num_layers: decoder has 3, bbox_head has 2"),
        ({"bbox_head.num_layers": 4}, "num_layers: decoder has 3, bbox_head has 4"),
        ({"bbox_head.embed_dims": 32}, "embed_dims: .* bbox_head has 32"),
        ({"bbox_head.mask_head.embed_dims": 32}, "bbox_head.mask_head has 32"),
        ({"bbox_head.num_classes": 0}, "num_classes=0"),
        ({"neck.out_channels": 32}, "neck.out_channels has 32"),
        ({"positional_encoding.num_feats": 16}, "positional_encoding has 32"),
        (
            {"encoder.layer_cfg.self_attn_cfg.num_levels": 3},
            "num_levels: num_feature_levels has 4, encoder has 3",
        ),
        ({"decoder.layer_cfg.cross_attn_cfg.num_levels": 2}, "decoder has 2"),
        ({"bbox_head.mask_head.num_levels": 5}, "mask_head.num_levels is 5, .* are 4"),
        ({"bbox_head.mask_head.stride": 4}, "stride of the finest .* has 8, .* has 4"),
        ({"decoder.layer_cfg.self_attn_cfg.num_heads": 7}, "64 channels .* 7 heads"),
    ],
)
def test_parts_that_do_not_fit_are_refused_at_the_start(options, message):
    with pytest.raises(UsageError, match=message):
        MODELS.build(tiny_config(**options)._cfg_dict)


IN_VIDEO = {
    "positional_encoding.frame_index": "video",
    "decoder.temporal_self_attn.frame_index": "video",
}


def samples_of(frame_ids):
    """Clips without instances that say which frames of their videos they have."""
    samples = [clip_sample(SIZE, {}, num_frames=len(ids)) for ids in frame_ids]
    for sample, ids in zip(samples, frame_ids, strict=True):
        for frame, index in zip(sample.video_data_samples, ids, strict=True):
            frame.set_metainfo(dict(frame_id=index))
    return samples


@torch.no_grad()
def test_index_of_the_frames_in_the_video():
    """Of each clip by itself; counted from 0 it is the index in the clip."""
    model, by_clip = perturbed(**IN_VIDEO), perturbed()
    inputs = clip_inputs(2, num_frames=3)

    def boxes(model, *frame_ids):
        samples = samples_of(frame_ids)
        return model(inputs, samples, mode="tensor")[-1].boxes

    start = boxes(model, (0, 1, 2), (0, 1, 2))
    torch.testing.assert_close(start, boxes(by_clip, (4, 9, 11), (0, 1, 2)))
    later = boxes(model, (0, 1, 2), (7, 8, 12))
    torch.testing.assert_close(later[0], start[0])
    assert (later[1] - start[1]).abs().max() > 1e-4


@pytest.mark.parametrize("chunk", [1, 2])
def test_index_in_the_video_in_chunks(chunk):
    inputs, results = clip_inputs(num_frames=5), []
    for size in (None, chunk):
        model = perturbed(**IN_VIDEO, **{"test_cfg.frames_per_chunk": size})
        (sample,) = model(inputs, samples_of([(3, 4, 6, 7, 11)]), mode="predict")
        results.append([f.pred_track_instances for f in sample.video_data_samples])
    assert_same_results(*results)


@pytest.mark.parametrize("part", list(IN_VIDEO))
def test_frames_that_do_not_say_their_index(part):
    model = perturbed(**{part: "video"})
    sample = clip_sample(SIZE, {}, num_frames=2)
    del sample.video_data_samples[1].frame_id
    with pytest.raises(UsageError, match="come without 'frame_id': keep it among"):
        model(clip_inputs(num_frames=2), [sample], mode="predict")


def test_positions_in_temporal_self_attention_train():
    names = ("query_pos", "reference_pos")
    options = {f"decoder.temporal_self_attn.{name}": True for name in names}
    model = perturbed(**options).train()
    total_loss(model, clip_inputs(), [clip_sample(SIZE, BOXES)]).backward()
    (attention,) = model.decoder.temporal_self_attns
    assert attention.reference_proj.weight.grad.abs().max() > 0
    assert len(predict(model.eval(), clip_inputs())[0]) == 5


@pytest.mark.parametrize("boxes", [BOXES, {}], ids=["instances", "no instances"])
def test_contrastive_loss_of_matched_queries_trains(boxes):
    name = "bbox_head.loss_contrastive"
    options = {
        f"{name}.{option}": value
        for option, value in dict(
            reduction="sum",
            own_frame_negatives=True,
            matched_only=True,
            same_class_weight=2.0,
        ).items()
    }
    model = perturbed(**options).train()
    samples = [clip_sample(SIZE, boxes, num_frames=5)]
    losses = model(clip_inputs(), samples, mode="loss")
    assert (losses["loss_contrastive"] > 0) == bool(boxes)
    model.parse_losses(losses)[0].backward()
    gradient = model.bbox_head.projector[0].weight.grad
    assert gradient.isfinite().all()
    assert gradient.any() == bool(boxes)


# What the paper leaves open, each read in another way than by default.
OTHER_READINGS = IN_VIDEO | {
    "encoder.layer_cfg.self_attn_cfg.fusion.intra_share": 0.75,
    "encoder.layer_cfg.self_attn_cfg.lone_frame": "spatial",
    "encoder.layer_cfg.self_attn_cfg.border": "nearest",
    "decoder.temporal_self_attn.query_pos": True,
    "decoder.temporal_self_attn.reference_pos": True,
    "decoder.first_temporal_layer": 0,
    "bbox_head.loss_contrastive.reduction": "sum",
    "bbox_head.loss_contrastive.own_frame_negatives": True,
    "bbox_head.loss_contrastive.matched_only": True,
    "bbox_head.loss_contrastive.same_class_weight": 2.0,
}


def test_other_readings_of_the_paper_work_together():
    model = perturbed(**OTHER_READINGS).train()
    total_loss(model, clip_inputs(), [clip_sample(SIZE, BOXES)]).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    inputs, results = clip_inputs(num_frames=6), []
    for chunk in (None, 2):
        model = perturbed(**OTHER_READINGS, **{"test_cfg.frames_per_chunk": chunk})
        results.append(predict(model, inputs)[0])
    assert_same_results(*results)
    assert len(predict(model, clip_inputs(num_frames=1))[0]) == 1

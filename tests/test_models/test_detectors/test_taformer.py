import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import TrackDataSample

from mmtaformer.models.detectors.tokens import flatten_maps

from ...helpers.clips import (
    BOXES,
    SIZE,
    assert_same_results,
    clip_inputs,
    perturbed,
    predict,
    total_loss,
)
from ...helpers.models import build_tiny, clip_sample, tiny_config


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

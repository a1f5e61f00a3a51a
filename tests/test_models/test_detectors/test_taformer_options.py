"""What the paper leaves open, read in another way than by default."""

import pytest
import torch

from mmtaformer.utils.errors import UsageError

from ...helpers.clips import (
    BOXES,
    SIZE,
    assert_same_results,
    clip_inputs,
    perturbed,
    predict,
    total_loss,
)
from ...helpers.models import clip_sample

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

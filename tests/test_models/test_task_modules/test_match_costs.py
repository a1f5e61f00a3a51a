import torch
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from mmengine.structures import InstanceData


def box_sequences(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(5, 3, 4, generator=generator) * 0.4 + 0.1


def cost(name, pred, truth, weight):
    module = TASK_UTILS.build(dict(type=name, weight=weight))
    return module(InstanceData(bboxes=pred), InstanceData(bboxes=truth))


def test_l2_is_the_distance_of_flattened_sequences():
    pred, truth = box_sequences(0), box_sequences(1)[:2]
    actual = cost("BoxSequenceL2Cost", pred, truth, 5.0)
    for q in range(5):
        for n in range(2):
            expected = 5.0 * (pred[q] - truth[n]).square().sum().sqrt()
            torch.testing.assert_close(actual[q, n], expected)


def test_giou_is_averaged_over_frames():
    pred, truth = box_sequences(0), box_sequences(1)[:2]
    actual = cost("BoxSequenceGIoUCost", pred, truth, 2.0)
    for q in range(5):
        for n in range(2):
            per_frame = bbox_overlaps(
                bbox_cxcywh_to_xyxy(pred[q]),
                bbox_cxcywh_to_xyxy(truth[n]),
                mode="giou",
                is_aligned=True,
            )
            torch.testing.assert_close(actual[q, n], -2.0 * per_frame.mean())

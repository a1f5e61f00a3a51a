import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmtaformer.apis.clip_instances import clip_instances

from ..helpers.videos import rectangle


def samples(masks, scores, labels, boxes=None, embeddings=None):
    """Frames as TAFormer.predict fills them in, from masks (n, T, H, W)."""
    masks = torch.from_numpy(np.array(masks))
    count, length = masks.shape[:2]
    boxes = torch.arange(count).float() if boxes is None else torch.tensor(boxes)
    frames = []
    for t in range(length):
        frame = DetDataSample()
        frame.pred_track_instances = InstanceData(
            bboxes=boxes[:, None].expand(-1, 4) + t,
            scores=torch.tensor(scores),
            labels=torch.tensor(labels),
            masks=masks[:, t],
            instances_id=torch.arange(count),
        )
        if embeddings is not None:
            frame.pred_track_instances.embeddings = torch.tensor(embeddings)
        frames.append(frame)
    return frames


A, B, NONE = rectangle(2, 2), rectangle(30, 20), rectangle(-90, 0)


def test_classes_of_one_query_become_votes_of_one_instance():
    frames = samples(
        [[A, A]] * 2 + [[B, B]], [0.5, 0.7, 0.6], [3, 1, 2], [7.0, 7.0, 8.0]
    )
    clip = clip_instances(frames, first=4)
    assert [dict(v) for v in clip.votes] == [
        {1: np.float32(0.7), 3: 0.5},
        {2: np.float32(0.6)},
    ]
    assert [clip.label(i) for i in range(2)] == [1, 2]
    assert (clip.first, clip.end, clip.num_frames, len(clip)) == (4, 6, 2, 2)
    assert clip.boxes[:, 1, 0].tolist() == [8.0, 9.0]
    every = clip_instances(frames, one_class_per_query=False, nms_thr=None)
    assert [every.label(i) for i in range(3)] == [1, 2, 3]


def test_overlap_over_the_whole_clip_suppresses():
    near = rectangle(3, 2)
    frames = samples([[A, A], [near, near], [near, B]], [0.9, 0.8, 0.7], [0, 1, 2])
    assert list(map(clip_instances(frames).label, range(2))) == [0, 2]
    assert len(clip_instances(frames, nms_thr=0.9)) == 3
    assert len(clip_instances(frames, nms_thr=None)) == 3


def test_instances_without_any_mask_are_left_out():
    frames = samples([[NONE, NONE], [NONE, B]], [0.9, 0.8], [0, 1])
    clip = clip_instances(frames)
    assert clip.label(0) == 1 and len(clip) == 1
    assert clip.masks[0][0] is None and clip.masks[0][1] is not None


def test_embeddings_follow_their_instance():
    frames = samples(
        [[A], [B]], [0.2, 0.9], [0, 1], embeddings=[[1.0, 0.0], [0.0, 1.0]]
    )
    clip = clip_instances(frames)
    assert clip.label(0) == 1
    assert clip.embeddings.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert clip_instances(samples([[A]], [0.9], [0])).embeddings is None


def test_nothing_found():
    clip = clip_instances(samples(np.zeros((0, 3, *A.shape), bool), [], []))
    assert len(clip) == 0 and clip.num_frames == 3

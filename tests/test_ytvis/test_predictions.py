import json

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

from mmtaformer.ytvis.predictions import encode_masks, frames_to_results

from ..helpers import toy

LABELS = {5: 0, 0: 1}  # label of each category id
CATEGORY_IDS = [5, 0]


@pytest.mark.parametrize("as_rle", [False, True])
def test_predictions_become_the_entries_they_were_made_of(as_rle):
    entries = [
        toy.entry(0, 0, 0.25, [toy.rectangle(0, 0, 7, 3), toy.rectangle(1, 0, 8, 3)]),
        toy.entry(0, 5, 0.125, [None, toy.rectangle(9, 2, 30, 20)]),
    ]
    sample = toy.track_sample(0, entries, LABELS, length=2, as_rle=as_rle)
    results = frames_to_results(sample.video_data_samples, 0, CATEGORY_IDS)
    assert json.loads(json.dumps(results)) == entries


def test_instances_are_matched_by_id():
    """Instance 8 is missing from frame 1, instance 3 from frame 0."""
    a, b, c = (toy.rectangle(x, 0, x + 5, 5) for x in (0, 10, 20))

    def frame(ids, labels, scores, masks):
        return {
            "pred_track_instances": {
                "instances_id": torch.tensor(ids),
                "labels": torch.tensor(labels),
                "scores": torch.tensor(scores),
                "masks": torch.from_numpy(np.stack(masks)),
            }
        }

    frames = [
        frame([8, 1], [0, 1], [0.5, 0.25], [a, b]),
        frame([1, 3], [1, 0], [0.75, 1.0], [c, a]),
        frame([1], [0], [0.5], [a]),
    ]
    results = frames_to_results(frames, 2, CATEGORY_IDS)
    rle_a, rle_b, rle_c = map(toy.to_rle, (a, b, c))
    expected = [  # mean score, most frequent category, a mask per frame
        (0.5, 5, [rle_a, None, None]),
        (0.5, 0, [rle_b, rle_c, rle_a]),
        (1.0, 5, [None, rle_a, None]),
    ]
    assert results == [
        {
            "video_id": 2,
            "category_id": category_id,
            "score": score,
            "segmentations": segmentations,
        }
        for score, category_id, segmentations in expected
    ]


def test_frames_without_instances():
    frames = toy.track_sample(0, [], LABELS, length=3).video_data_samples
    assert frames_to_results(frames, 0, CATEGORY_IDS) == []


def test_ambiguous_or_missing_predictions_are_errors():
    frames = toy.track_sample(
        4, [toy.entry(4, 5, 0.5, [None])] * 2, LABELS, length=1
    ).video_data_samples
    frames[0].pred_track_instances.instances_id = torch.tensor([6, 6])
    with pytest.raises(ValueError, match=r"frame 0 of video 4 .*twice \(\[6, 6\]\)"):
        frames_to_results(frames, 4, CATEGORY_IDS)
    frames[0].pred_track_instances = InstanceData(scores=torch.zeros(0))
    with pytest.raises(ValueError, match="frame 0 of video 4 has no masks"):
        frames_to_results(frames, 4, CATEGORY_IDS)


def test_encoded_masks_decode_to_themselves():
    masks = torch.rand(3, 31, 17) > 0.4
    masks[1] = False
    rles = json.loads(json.dumps(encode_masks(masks)))
    assert rles[1] is None
    for rle, mask in zip(rles[::2], masks[::2]):
        assert np.array_equal(mask_utils.decode(rle), mask.numpy())
    assert encode_masks([None, *rles]) == [None, *rles]

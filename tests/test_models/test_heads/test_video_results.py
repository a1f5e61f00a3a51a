import pytest
import torch
import torch.nn.functional as F

from mmtaformer.models.heads.video_results import (
    frame_results,
    resize_masks,
    select_instances,
)


def test_best_pairs_of_query_and_class():
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0], [-4.0, -4.0]])
    scores, labels, queries = select_instances(logits, 3)
    torch.testing.assert_close(scores, torch.tensor([3.0, 2.0, 0.5]).sigmoid())
    assert labels.tolist() == [1, 0, 0]
    assert queries.tolist() == [1, 0, 1]
    assert len(select_instances(logits, 10)[0]) == 6


@pytest.mark.parametrize("image_size", [(40, 64), (37, 61)])
def test_masks_at_image_size_are_the_upsampled_logits(image_size):
    logits = torch.randn(2, 3, 10, 16)
    whole = F.interpolate(logits, scale_factor=4, mode="bilinear")
    expected = whole[..., : image_size[0], : image_size[1]] > 0
    actual = resize_masks(logits, image_size, image_size)
    assert (actual != expected).float().mean() < 1e-3


@pytest.mark.parametrize("output_size", [(720, 1280), (97, 203), (20, 32), (359, 641)])
def test_output_size_and_alignment(output_size):
    # A half plane keeps its share of the image at every resolution.
    logits = torch.full((1, 1, 10, 16), -1.0)
    logits[..., 8:] = 1.0
    masks = resize_masks(logits, (40, 64), output_size)
    assert masks.shape == (1, 1, *output_size)
    assert masks.float().mean().item() == pytest.approx(0.5, abs=0.6 / output_size[1])


def test_boxes_are_in_pixels_of_the_original_frame():
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.4], [0.0, 1.0, 0.5, 0.5]])
    masks = torch.zeros(2, 50, 100)
    same = dict(scores=torch.ones(2), labels=torch.ones(2).long())
    result = frame_results(boxes, masks, (50, 100), **same)
    expected = torch.tensor([[40.0, 15.0, 60.0, 35.0], [0.0, 37.5, 25.0, 50.0]])
    torch.testing.assert_close(result.bboxes, expected)
    assert result.instances_id.tolist() == [0, 1]

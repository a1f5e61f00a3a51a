import torch

from mmtaformer.models.heads import build_clip_targets

from ...helpers.models import clip_sample


def test_absent_instances_are_aligned_over_frames():
    sample = clip_sample(
        (40, 80),
        {
            7: [(0, 0, 40, 20), None, (8, 8, 16, 16)],
            0: [None, (16, 4, 32, 36), (16, 4, 32, 36)],
        },
        labels={7: 3, 0: 1},
    )
    targets = build_clip_targets(sample, (10, 20), "cpu")

    assert targets.labels.tolist() == [3, 1]
    assert targets.present.tolist() == [[True, False, True], [False, True, True]]
    torch.testing.assert_close(
        targets.boxes[0, 0], torch.tensor([0.25, 0.25, 0.5, 0.5])
    )
    assert (targets.boxes[0, 1] == 1e-6).all()
    assert targets.masks.shape == (2, 3, 10, 20)
    assert targets.masks[0, 1].sum() == 0
    assert targets.masks[0, 0].sum() == 5 * 10
    assert targets.masks[0, 2].nonzero().tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]


def test_masks_are_read_in_the_middle_of_cells():
    """Cell (i, j) reads pixel (4i + 2, 4j + 2)."""
    sample = clip_sample((40, 80), {1: [(6, 9, 15, 18)]})
    targets = build_clip_targets(sample, (10, 20), "cpu")
    cells = [[2, 1], [2, 2], [2, 3], [3, 1], [3, 2], [3, 3]]
    assert targets.masks[0, 0].nonzero().tolist() == cells


def test_masks_are_padded_to_the_logits():
    sample = clip_sample((40, 80), {1: [(0, 0, 80, 40)]})
    targets = build_clip_targets(sample, (16, 24), "cpu")
    assert targets.masks.sum() == 10 * 20
    assert targets.masks[0, 0, :10, :20].all()


def test_a_clip_without_instances():
    targets = build_clip_targets(
        clip_sample((40, 80), {}, num_frames=3), (10, 20), "cpu"
    )
    assert len(targets) == 0
    assert targets.boxes.shape == (0, 3, 4)
    assert targets.masks.shape == (0, 3, 10, 20)

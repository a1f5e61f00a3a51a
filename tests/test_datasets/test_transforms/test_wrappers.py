import numpy as np
from mmcv.transforms import TransformBroadcaster


def test_all_frames_of_a_clip_share_the_choice():
    flips = [
        [dict(type="RandomFlip", prob=1.0, direction=direction)]
        for direction in ("horizontal", "vertical")
    ]
    broadcaster = TransformBroadcaster(
        [dict(type="ClipRandomChoice", transforms=flips)], share_random_params=True
    )
    np.random.seed(0)
    choices = set()
    for _ in range(20):
        clip = broadcaster(dict(img=[np.zeros((2, 2, 3), np.uint8)] * 6))
        assert len(set(clip["flip_direction"])) == 1
        choices.add(clip["flip_direction"][0])
    assert choices == {"horizontal", "vertical"}

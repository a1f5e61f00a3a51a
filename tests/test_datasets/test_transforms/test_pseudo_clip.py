import numpy as np
from mmcv.transforms import TransformBroadcaster
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from mmtaformer.datasets import RotateFrame

SIZE = (40, 60)


def frame():
    image = np.zeros((*SIZE, 3), np.uint8)
    image[10:20, 15:45] = 255
    masks = BitmapMasks((image[None, ..., 0] > 0).astype(np.uint8), *SIZE)
    boxes = HorizontalBoxes(np.array([[15.0, 10, 45, 20]], np.float32))
    return dict(img=image, img_shape=SIZE, gt_masks=masks, gt_bboxes=boxes)


def test_all_frames_of_a_clip_share_the_rotation():
    rotate = dict(
        type="RotateFrame", prob=0.7, max_mag=90, img_border_value=0, level=None
    )
    broadcaster = TransformBroadcaster([rotate], share_random_params=True)
    np.random.seed(0)
    rotated = []
    for _ in range(12):
        frames = [frame() for _ in range(4)]
        clip = broadcaster({key: [f[key] for f in frames] for key in frames[0]})
        for image in clip["img"][1:]:
            np.testing.assert_array_equal(image, clip["img"][0])
        rotated.append(clip["img"][0])
    different = {image.tobytes() for image in rotated}
    assert frame()["img"].tobytes() in different and len(different) > 5


def test_boxes_fit_the_rotated_masks():
    """mmdet's would be boxes around rotated boxes, which are larger."""
    np.random.seed(1)
    results = RotateFrame(prob=1.0, min_mag=40, max_mag=50)(frame())
    y, x = np.nonzero(results["gt_masks"].masks[0])
    expected = [x.min(), y.min(), x.max() + 1, y.max() + 1]
    assert results["gt_bboxes"].tensor.tolist() == [expected]

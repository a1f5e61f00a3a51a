import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample, TrackDataSample
from mmengine.structures import InstanceData

OPTIONS = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], pad_size_divisor=8)


def batch():
    frames, samples = [], []
    for clip, (height, width) in enumerate([(5, 9), (7, 4)]):
        generator = torch.Generator().manual_seed(clip)
        size = (2, 3, height, width)
        frames.append(torch.randint(256, size, dtype=torch.uint8, generator=generator))
        sample = TrackDataSample()
        sample.video_data_samples = [
            DetDataSample(
                metainfo=dict(img_shape=(height, width)),
                gt_instances=InstanceData(bboxes=torch.rand(3, 4)),
            )
            for _ in range(2)
        ]
        samples.append(sample)
    return dict(inputs=frames, data_samples=samples)


def test_frames_are_those_of_mmdet():
    results = [
        MODELS.build(dict(type=type_, **OPTIONS))(batch(), training=True)
        for type_ in ("ClipDataPreprocessor", "TrackDataPreprocessor")
    ]
    torch.testing.assert_close(results[0]["inputs"], results[1]["inputs"])
    for ours, theirs in zip(*(r["data_samples"] for r in results), strict=True):
        for frame, expected in zip(ours, theirs, strict=True):
            assert frame.metainfo == expected.metainfo


def test_only_frames_move_to_the_device():
    preprocessor = MODELS.build(dict(type="ClipDataPreprocessor", **OPTIONS))
    data = batch()
    result = preprocessor.to("meta")(data, training=True)
    assert result["inputs"].device.type == "meta"
    for given, kept in zip(data["data_samples"], result["data_samples"], strict=True):
        assert kept is given
        assert all(f.gt_instances.bboxes.device.type == "cpu" for f in kept)

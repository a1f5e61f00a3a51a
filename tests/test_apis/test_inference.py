import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from mmtaformer.apis import inference_video, init_model
from mmtaformer.apis.frame_pipeline import build_pipeline
from mmtaformer.apis.sources import open_source
from mmtaformer.apis.tracking import TrackingOptions, open_stream
from mmtaformer.utils.errors import DataError, UsageError

from ..helpers.inference import small_config, write_model


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"), ("cell",))


@pytest.fixture(scope="module")
def model(files):
    return init_model(*files, device="cpu")


def frames(count=4, size=(70, 110)):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (count, 8, 12, 3), np.uint8)
    return [cv2.resize(image, size[::-1]) for image in coarse]


def test_same_as_the_test_loop_on_the_same_frames_on_disk(model, tmp_path):
    """Through the data set of the config, as tools/test.py reads it."""
    images = frames()
    for t, image in enumerate(images):
        cv2.imwrite(str(tmp_path / f"{t}.png"), image)
    content = {
        "categories": [{"id": 1, "name": "cell"}],
        "videos": [
            dict(id=1, width=110, height=70, file_names=[f"{t}.png" for t in range(4)])
        ],
        "annotations": [],
    }
    import json

    (tmp_path / "a.json").write_text(json.dumps(content))
    options = small_config().test_dataloader.dataset
    options.update(
        data_root="",
        ann_file=str(tmp_path / "a.json"),
        data_prefix=dict(img_path=str(tmp_path)),
    )
    batch = pseudo_collate([DATASETS.build(options)[0]])
    expected = model.test_step(batch)[0]
    found = inference_video(model, images)
    assert len(found) == len(expected) == 4
    for own, other in zip(found.video_data_samples, expected.video_data_samples):
        own, other = own.pred_track_instances, other.pred_track_instances
        assert torch.equal(own.bboxes, other.bboxes)
        assert torch.equal(own.scores, other.scores)
        assert [m["counts"] for m in own.masks] == [m["counts"] for m in other.masks]
        assert own.masks[0]["size"] == [70, 110]


def test_array_and_list_are_the_same(model):
    images = frames(2)
    first = inference_video(model, images).video_data_samples[1]
    second = inference_video(model, np.stack(images)).video_data_samples[1]
    boxes = [f.pred_track_instances.bboxes for f in (first, second)]
    assert torch.equal(*boxes)


def test_frames_of_two_sizes_and_none(model):
    with pytest.raises(DataError, match="frames have heights and widths"):
        inference_video(model, [*frames(1), *frames(1, (60, 60))])
    with pytest.raises(DataError, match="no frames"):
        inference_video(model, [])


def test_what_the_model_carries(files, model):
    assert model.dataset_meta == {"classes": ("cell",)}
    assert isinstance(model.cfg, Config) and not model.training
    saved = torch.load(files[1], weights_only=False)["state_dict"]
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in saved.items())


def test_config_object_options_and_random_weights(logged):
    config = small_config()
    before = config.pretty_text
    options = {"model.test_cfg.max_per_video": 2}
    model = init_model(config, device="cpu", cfg_options=options)
    assert model.test_cfg["max_per_video"] == 2
    assert config.pretty_text == before
    assert len(logged) == 1 and "weights are random" in logged[0]
    found = inference_video(model, frames(1)).video_data_samples[0]
    assert len(found.pred_track_instances) == 2


def test_nothing_is_downloaded():
    """The big models start from a pretrained backbone, which a checkpoint replaces."""
    config = small_config()
    config.model.backbone.init_cfg = dict(
        type="Pretrained", checkpoint="https://nowhere.invalid/r.pth"
    )
    init_model(config, device="cpu")


def test_mistakes_are_one_sentence(files, tmp_path):
    config, checkpoint = files
    wider = {"model.num_queries": 7}
    text = tmp_path / "text.pth"
    text.write_text("weights")
    cases = [
        (dict(config="none.py"), FileNotFoundError, "no config none.py"),
        (
            dict(config="taformer_tiny_cell"),
            UsageError,
            "did you mean taformer_tiny_cells",
        ),
        (dict(checkpoint="none.pth"), FileNotFoundError, "no checkpoint none.pth"),
        (dict(cfg_options=wider), UsageError, "another model.*query_embedding"),
        (dict(checkpoint=text), DataError, "text.pth"),
    ]
    for options, kind, words in cases:
        with pytest.raises(kind, match=words):
            init_model(**{"config": config, "checkpoint": checkpoint, **options})


def test_frames_carry_their_index_in_the_video(model):
    """In online mode, too, where a clip begins anywhere."""
    seen = []
    keep = model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(
            [frame.frame_id for frame in kwargs["data_samples"][0].video_data_samples]
        ),
        with_kwargs=True,
    )
    options = TrackingOptions(mode="online", clip_length=3, overlap=1)
    source = open_source(np.stack(frames(7)))
    try:
        inference_video(model, frames(2))
        list(open_stream(model, build_pipeline(model.cfg), source, options))
    finally:
        keep.remove()
    assert seen == [[0, 1], [0, 1, 2], [2, 3, 4], [4, 5, 6]]

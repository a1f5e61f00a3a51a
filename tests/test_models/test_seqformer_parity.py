"""The SeqFormer config against what SeqFormer's released code computes."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample, TrackDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from mmtaformer.models.detectors.tokens import flatten_maps
from mmtaformer.models.heads import build_clip_targets

from ..helpers.golden import golden_path, load_golden
from ..helpers.seqformer import build_model, renamed

TOLERANCE = 1e-4
GRADIENT_TOLERANCE = 1e-3


def ground_truth(arrays, clip, meta):
    """The clip's instances as mmdet's pipeline packs them."""
    labels = torch.from_numpy(arrays[f"gt/{clip}/labels"])
    height, width = arrays[f"gt/{clip}/size"].tolist()
    num_instances, num_frames = len(labels), meta["num_frames"]
    boxes = torch.from_numpy(arrays[f"gt/{clip}/boxes"])
    boxes = boxes.view(num_instances, num_frames, 4)
    masks = arrays[f"gt/{clip}/masks"].reshape(num_instances, num_frames, height, width)
    frames = []
    for t in range(num_frames):
        visible = torch.from_numpy(masks[:, t].any(axis=(1, 2)))
        frame = DetDataSample(metainfo=dict(img_shape=(height, width)))
        frame.gt_instances = InstanceData(
            labels=labels[visible],
            bboxes=bbox_cxcywh_to_xyxy(boxes[visible, t])
            * torch.tensor([width, height, width, height]),
            instances_ids=torch.arange(num_instances)[visible],
            masks=BitmapMasks(masks[visible.numpy(), t], height, width),
        )
        frames.append(frame)
    sample = TrackDataSample()
    sample.video_data_samples = frames
    return sample


def assert_close(actual, expected):
    """Relative to the largest entry: float32 cannot be exact where it is large."""
    expected = torch.from_numpy(np.asarray(expected))
    assert actual.shape == expected.shape
    largest = max(1.0, expected.abs().max().item())
    assert (actual - expected).abs().max().item() <= TOLERANCE * largest


@pytest.fixture(scope="module")
def reference():
    return load_golden("seqformer_tiny.npz", "MMTAFORMER_GOLDEN")


@pytest.fixture(scope="module")
def model(reference):
    meta, arrays = reference
    model = build_model(meta).eval()
    released = {
        key.removeprefix("sd/"): torch.from_numpy(value)
        for key, value in arrays.items()
        if key.startswith("sd/")
    }
    model.load_state_dict(renamed(released), strict=True)
    return model


def run(model, meta, arrays, maps):
    """The encoder's output and the decoder's, from the maps of a backbone."""
    maps = model.neck(maps)
    shapes = tuple(tuple(level.shape[-2:]) for level in maps)
    mask = torch.from_numpy(arrays["in/img_mask"])[:: meta["num_frames"]]
    features = model.embed(flatten_maps(maps, meta["batch"]), shapes, mask)
    memory = model.encoder(features)
    return memory, model.decode(memory)


@pytest.fixture(scope="module")
def forward(reference, model):
    meta, arrays = reference
    with torch.no_grad():
        maps = [torch.from_numpy(arrays[f"in/c{i}"]) for i in (3, 4, 5)]
        return run(model, meta, arrays, maps)


@pytest.fixture(scope="module")
def samples(reference):
    meta, arrays = reference
    return [ground_truth(arrays, clip, meta) for clip in range(meta["batch"])]


def test_encoder(reference, forward):
    assert_close(forward[0].tokens, reference[1]["out/memory"])


@pytest.mark.parametrize(
    ("key", "attribute"),
    [
        ("out/hs", "instance_query"),
        ("out/hs_box", "box_query"),
        ("out/boxes", "boxes"),
        ("out/inter_references", "boxes"),
    ],
)
def test_decoder(reference, forward, key, attribute):
    actual = torch.stack([getattr(output, attribute) for output in forward[1]])
    assert_close(actual, reference[1][key])


def test_initial_reference(reference, forward):
    assert_close(forward[1][0].reference, reference[1]["out/init_reference"])


def test_logits(reference, model, forward):
    logits = [
        branch(output.instance_query)
        for branch, output in zip(model.bbox_head.cls_branches, forward[1], strict=True)
    ]
    assert_close(torch.stack(logits), reference[1]["out/logits"])


def clip_masks(model, forward, sizes, layer, clip, queries):
    memory, outputs = forward
    head, output = model.bbox_head.mask_head, outputs[layer]
    height, width = sizes.tolist()
    points = output.reference[clip, :, queries, :2].transpose(0, 1)
    return head(
        output.instance_query[clip, queries],
        head.mask_features(memory)[clip],
        points * torch.tensor([width, height]),
    )


def test_matches_and_their_masks(reference, model, forward, samples):
    meta, arrays = reference
    head = model.bbox_head
    for layer in range(meta["decoder_layers"]):
        output = forward[1][layer]
        logits = head.cls_branches[layer](output.instance_query)
        for clip in range(meta["batch"]):
            expected = arrays[f"out/match/layer{layer}/video{clip}"]
            masks = arrays[f"out/matched_masks/layer{layer}/video{clip}"]
            targets = build_clip_targets(samples[clip], masks.shape[-2:], "cpu")
            match = head.match(logits[clip], output.boxes[clip], targets)
            assert torch.stack(match).tolist() == expected.tolist()
            actual = clip_masks(
                model, forward, arrays[f"gt/{clip}/size"], layer, clip, match[0]
            )
            assert_close(actual, masks)


def test_masks_of_all_queries(reference, model, forward):
    meta, arrays = reference
    for clip in range(meta["batch"]):
        queries = torch.arange(meta["num_queries"])
        masks = clip_masks(model, forward, arrays[f"gt/{clip}/size"], -1, clip, queries)
        assert_close(masks, arrays[f"out/all_masks/video{clip}"])


def test_losses(reference, model, forward, samples):
    meta, arrays = reference
    memory, outputs = forward
    losses = model.bbox_head.loss(outputs, memory, samples)
    names = {
        "loss_ce": "loss_cls",
        "loss_bbox": "loss_bbox",
        "loss_giou": "loss_iou",
        "loss_mask": "loss_mask",
        "loss_dice": "loss_dice",
    }
    checked = 0
    for key, expected in arrays.items():
        if not key.startswith("loss/"):
            continue
        name = key.removeprefix("loss/")
        stem, _, layer = name.rpartition("_")
        ours = f"d{layer}.{names[stem]}" if layer.isdigit() else names[name]
        assert_close(losses[ours], expected)
        checked += 1
    assert checked == len(losses) == 5 * meta["decoder_layers"]


def test_gradients(reference, model, samples):
    """Of the sum of all losses: for every parameter and for the backbone's maps."""
    meta, arrays = reference
    path = golden_path("seqformer_tiny_gradients.npz", "MMTAFORMER_GOLDEN_GRADIENTS")
    with np.load(path) as archive:
        golden = {key: torch.from_numpy(archive[key]) for key in archive.files}
    maps = [torch.from_numpy(arrays[f"in/c{i}"]).requires_grad_() for i in (3, 4, 5)]
    memory, outputs = run(model, meta, arrays, maps)
    total = sum(model.bbox_head.loss(outputs, memory, samples).values())
    model.zero_grad()
    total.backward()
    assert_close(total.detach(), golden["total"])

    released = {
        key.removeprefix("grad/"): value
        for key, value in golden.items()
        if key.startswith("grad/")
    }
    expected = renamed(released)
    expected |= {f"c{i}": golden[f"grad_in/c{i}"] for i in (3, 4, 5)}
    actual = {name: p.grad for name, p in model.named_parameters()}
    actual |= {f"c{i}": level.grad for i, level in zip((3, 4, 5), maps, strict=True)}
    assert actual.keys() == expected.keys()
    # A bias ahead of a softmax has the gradient zero, but for rounding.
    errors = {
        name: (actual[name] - value).abs().max() / value.abs().max().clamp(min=1e-3)
        for name, value in expected.items()
    }
    wrong = {n: e.item() for n, e in errors.items() if not e <= GRADIENT_TOLERANCE}
    assert wrong == {}

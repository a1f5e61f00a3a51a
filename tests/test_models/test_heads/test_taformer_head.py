"""The head's losses, match and results against loops over clips, frames and cells."""

import itertools
import math

import pytest
import torch
from mmdet.registry import MODELS
from pycocotools.mask import decode

from mmtaformer.models.heads import build_clip_targets
from mmtaformer.models.structures import (
    ClipFeatures,
    DecoderLayerOutput,
    encoder_reference_points,
)

from ...helpers.models import clip_sample, tiny_config

SIZE = (32, 48)  # height, width of the padded frames
SHAPES = ((4, 6), (2, 3), (1, 2), (1, 1))
DIMS, QUERIES, FRAMES, CLASSES = 64, 4, 3, 3
# The second clip is smaller than its frames; its instance is absent once.
CLIPS = [
    (
        (32, 48),
        {
            3: ([(4, 4, 20, 28), (8, 4, 24, 28), (12, 4, 28, 28)], 2),
            1: ([(28, 8, 44, 24), (28, 10, 44, 26), (28, 12, 44, 28)], 0),
        },
    ),
    ((32, 40), {7: ([(8, 8, 32, 24), None, (12, 8, 36, 24)], 1)}),
]


def build(**options):
    torch.manual_seed(0)
    cfg = tiny_config("taformer_tiny").bbox_head
    cfg = dict(cfg) | dict(num_classes=CLASSES, num_layers=2) | options
    head = MODELS.build(cfg)
    head.init_weights()
    for parameter in head.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return head


def samples():
    return [
        clip_sample(
            size,
            {i: boxes for i, (boxes, _) in instances.items()},
            {i: label for i, (_, label) in instances.items()},
            num_frames=FRAMES,
        )
        for size, instances in CLIPS
    ]


def make_memory(clips=2, frames_per_chunk=None):
    ratios = torch.ones(clips, 4, 2)
    num_tokens = sum(h * w for h, w in SHAPES)
    return ClipFeatures(
        tokens=torch.randn(clips, FRAMES, num_tokens, DIMS),
        spatial_shapes=SHAPES,
        spatial_pos=torch.zeros(1, num_tokens, DIMS),
        temporal_pos=None,
        reference_points=encoder_reference_points(SHAPES, ratios),
        valid_ratios=ratios,
        frames_per_chunk=frames_per_chunk,
    )


def make_outputs(layers=2, clips=2):
    outputs = []
    for _ in range(layers):
        centres = torch.rand(clips, FRAMES, QUERIES, 2) * 0.6 + 0.2
        boxes = torch.cat([centres, torch.rand_like(centres) * 0.3 + 0.1], dim=-1)
        outputs.append(
            DecoderLayerOutput(
                instance_query=torch.randn(clips, QUERIES, DIMS),
                box_query=torch.randn(clips, FRAMES, QUERIES, DIMS),
                reference=torch.rand(clips, FRAMES, QUERIES, 2),
                boxes=boxes,
            )
        )
    return outputs


def truth_boxes(clip):
    """cxcywh in parts of the unpadded image: instance -> frame -> box."""
    (height, width), instances = CLIPS[clip]
    result = []
    for boxes, _ in instances.values():
        normalized = []
        for box in boxes:
            if box is None:
                normalized.append([1e-6] * 4)
                continue
            x1, y1, x2, y2 = box
            centre = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height]
            normalized.append([*centre, (x2 - x1) / width, (y2 - y1) / height])
        result.append(normalized)
    return result


def labels_of(clip):
    return [label for _, label in CLIPS[clip][1].values()]


def truth_cells(clip, instance):
    """Frame -> row -> column -> whether pixel (4 row + 2, 4 column + 2) belongs."""
    box_of_frames = list(CLIPS[clip][1].values())[instance][0]
    rows, columns = SIZE[0] // 4, SIZE[1] // 4

    def inside(box, row, column):
        x, y = 4 * column + 2, 4 * row + 2
        return box is not None and box[0] <= x < box[2] and box[1] <= y < box[3]

    return [
        [
            [float(inside(box, row, column)) for column in range(columns)]
            for row in range(rows)
        ]
        for box in box_of_frames
    ]


def focal(logit, positive):
    """Alpha 0.25, gamma 2."""
    p = 1 / (1 + math.exp(-logit))
    if positive:
        return -0.25 * (1 - p) ** 2 * math.log(p)
    return -0.75 * p**2 * math.log(1 - p)


def giou(one, other):
    """Generalized IoU of two boxes cxcywh."""

    def corners(cx, cy, w, h):
        return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2

    a, b = corners(*one), corners(*other)
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    intersection = max(width, 0) * max(height, 0)
    union = one[2] * one[3] + other[2] * other[3] - intersection
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return intersection / union - (hull - union) / hull


def best_match(logits, boxes, clip):
    """The cheapest assignment of instances to queries, by trying all of them."""
    truth, labels = truth_boxes(clip), labels_of(clip)

    def cost(query, instance):
        logit = logits[query][labels[instance]]
        distance = math.sqrt(
            sum(
                (a - b) ** 2
                for t in range(FRAMES)
                for a, b in zip(boxes[t][query], truth[instance][t], strict=True)
            )
        )
        overlap = sum(giou(boxes[t][query], truth[instance][t]) for t in range(FRAMES))
        classes = focal(logit, True) - focal(logit, False)
        return 2 * classes + 5 * distance - 2 * overlap / FRAMES

    return min(
        itertools.permutations(range(QUERIES), len(labels)),
        key=lambda queries: sum(cost(q, i) for i, q in enumerate(queries)),
    )


def losses_by_loops(head, layer, output, memory):
    """Unweighted losses of one layer."""
    features = head.mask_head.mask_features(memory)
    sums = dict.fromkeys(("cls", "bbox", "iou", "mask", "dice"), 0.0)
    count = sum(len(instances) for _, instances in CLIPS)
    for clip, (size, _) in enumerate(CLIPS):
        logits = head.cls_branches[layer](output.instance_query[clip]).tolist()
        boxes = output.boxes[clip].tolist()
        queries = best_match(logits, boxes, clip)
        labels, truth = labels_of(clip), truth_boxes(clip)
        matched = {query: labels[i] for i, query in enumerate(queries)}
        for query in range(QUERIES):
            for label in range(CLASSES):
                positive = matched.get(query) == label
                sums["cls"] += focal(logits[query][label], positive)
        for instance, query in enumerate(queries):
            for t in range(FRAMES):
                pair = boxes[t][query], truth[instance][t]
                sums["bbox"] += (
                    sum(abs(a - b) for a, b in zip(*pair, strict=True)) / FRAMES
                )
                sums["iou"] += (1 - giou(*pair)) / FRAMES
            points = output.reference[clip, :, query, :2] * torch.tensor(size[::-1])
            masks = head.mask_head(
                output.instance_query[clip, query][None], features[clip], points[None]
            )[0]
            cells = list(
                zip(
                    masks.flatten().tolist(),
                    torch.tensor(truth_cells(clip, instance)).flatten().tolist(),
                    strict=True,
                )
            )
            sums["mask"] += sum(focal(x, y) for x, y in cells) / len(cells)
            probabilities = [(1 / (1 + math.exp(-x)), y) for x, y in cells]
            shared = sum(p * y for p, y in probabilities)
            total = sum(p + y for p, y in probabilities)
            sums["dice"] += 1 - (2 * shared + 1) / (total + 1)
    return {f"loss_{name}": value / count for name, value in sums.items()}


WEIGHTS = dict(loss_cls=4, loss_bbox=5, loss_iou=2, loss_mask=2, loss_dice=5)


@torch.no_grad()
def test_losses_equal_loops():
    head = build(loss_contrastive=None)
    outputs, memory = make_outputs(), make_memory()
    losses = head.loss(outputs, memory, samples())
    assert len(losses) == 10
    for layer, prefix in enumerate(("d0.", "")):
        expected = losses_by_loops(head, layer, outputs[layer], memory)
        for name, value in expected.items():
            actual = losses[prefix + name].item() / WEIGHTS[name]
            assert actual == pytest.approx(value, rel=1e-4), prefix + name


@torch.no_grad()
def test_contrastive_loss_of_projected_box_queries():
    """For every ordered pair of frames and query: the same query against all."""
    head, outputs = build(), make_outputs()
    losses = head.loss(outputs, make_memory(), samples())
    for layer, prefix in enumerate(("d0.", "")):
        terms = []
        for queries in outputs[layer].box_query:
            hidden = head.projector[0](queries).clamp(min=0)
            vectors = head.projector[2](hidden).double()
            for t, s in itertools.permutations(range(FRAMES), 2):
                for i in range(QUERIES):
                    similarities = [
                        math.exp(
                            torch.dot(vectors[t, i], vectors[s, j]).item()
                            / (vectors[t, i].norm() * vectors[s, j].norm()).item()
                            / 0.1
                        )
                        for j in range(QUERIES)
                    ]
                    terms.append(-math.log(similarities[i] / sum(similarities)))
        expected = sum(terms) / len(terms)
        actual = losses[f"{prefix}loss_contrastive"].item()
        assert actual == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_contrastive_loss_knows_the_classes_of_matched_queries():
    """By the cheapest matches of each layer; -1 for queries without an instance."""
    head, outputs, seen = build(), make_outputs(), []
    head.loss_contrastive.register_forward_pre_hook(lambda _, args: seen.append(args))
    head.loss(outputs, make_memory(), samples())
    assert len(seen) == len(outputs)
    for layer, (projected, labels) in enumerate(seen):
        torch.testing.assert_close(projected, head.projector(outputs[layer].box_query))
        for clip in range(len(CLIPS)):
            logits = head.cls_branches[layer](outputs[layer].instance_query[clip])
            boxes = outputs[layer].boxes[clip]
            queries = best_match(logits.tolist(), boxes.tolist(), clip)
            matched = dict(zip(queries, labels_of(clip), strict=True))
            expected = [matched.get(query, -1) for query in range(QUERIES)]
            assert labels[clip].tolist() == expected


@torch.no_grad()
def test_match_is_the_cheapest():
    head, (output,) = build(), make_outputs(layers=1)
    for clip, sample in enumerate(samples()):
        targets = build_clip_targets(sample, (8, 12), torch.device("cpu"))
        logits = head.cls_branches[0](output.instance_query[clip])
        queries, instances = head.match(logits, output.boxes[clip], targets)
        expected = best_match(logits.tolist(), output.boxes[clip].tolist(), clip)
        found = dict(zip(instances.tolist(), queries.tolist(), strict=True))
        assert found == dict(enumerate(expected))


def results(head, output, memory, **options):
    arguments = dict(image_size=SIZE, output_size=(64, 96), max_per_video=5)
    return head.predict(output, memory, **(arguments | options))


@torch.no_grad()
def test_results_are_the_best_pairs_with_their_boxes_and_masks():
    head, memory = build(), make_memory(clips=1)
    (output,) = make_outputs(1, clips=1)
    frames = results(head, output, memory, output_size=SIZE)
    scores = head.cls_branches[-1](output.instance_query[0]).sigmoid()
    pairs = [
        (scores[q, c].item(), c, q) for q in range(QUERIES) for c in range(CLASSES)
    ]
    best = sorted(pairs, reverse=True)[:5]
    assert len({q for _, _, q in best}) < 5  # a query comes under several classes
    features = head.mask_head.mask_features(memory)[0]
    points = output.reference[0] * torch.tensor(SIZE[::-1])
    for t, frame in enumerate(frames):
        assert frame.labels.tolist() == [label for _, label, _ in best]
        assert frame.scores.tolist() == pytest.approx([score for score, _, _ in best])
        for n, (_, _, query) in enumerate(best):
            cx, cy, w, h = output.boxes[0, t, query].tolist()
            box = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
            box = [
                min(max(v, 0), 1) * s for v, s in zip(box, (48, 32) * 2, strict=True)
            ]
            assert frame.bboxes[n].tolist() == pytest.approx(box, abs=1e-3)
            logits = head.mask_head(
                output.instance_query[0, query][None],
                features[t : t + 1],
                points[None, t : t + 1, query],
            )
            upsampled = torch.nn.functional.interpolate(
                logits, scale_factor=4, mode="bilinear"
            )
            different = frame.masks[n] != (upsampled[0, 0] > 0)
            assert different.float().mean() < 1e-2


@pytest.mark.parametrize("step", [1, 2, 3])
@torch.no_grad()
def test_windows_and_encoding_do_not_change_the_masks(step):
    head, (output,) = build(), make_outputs(1, clips=1)
    torch.manual_seed(5)
    plain = results(head, output, make_memory(1))
    torch.manual_seed(5)
    encoded = results(head, output, make_memory(1, step), encode=True)
    assert len(plain) == len(encoded) == FRAMES
    for one, other in zip(plain, encoded, strict=True):
        masks = torch.from_numpy(decode(other.masks)).permute(2, 0, 1).bool()
        assert (masks != one.masks).float().mean() < 1e-3
        assert torch.equal(one.bboxes, other.bboxes)

import itertools
import math

import pytest
import torch
from mmdet.registry import MODELS

from mmtaformer.models.losses import BoxQueryContrastiveLoss
from mmtaformer.utils.errors import UsageError


def loops(embeddings, temperature):
    """Equations 7 and 8, one similarity at a time, averaged."""
    terms = []
    for clip in embeddings.tolist():
        for t, frame in enumerate(clip):
            for s, other in enumerate(clip):
                if s == t:
                    continue
                for i, query in enumerate(frame):
                    scores = [
                        math.exp(
                            sum(a * b for a, b in zip(query, key, strict=True))
                            / math.hypot(*query)
                            / math.hypot(*key)
                            / temperature
                        )
                        for key in other
                    ]
                    terms.append(-math.log(scores[i] / sum(scores)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_equals_equations_7_and_8(temperature):
    embeddings = torch.randn(
        2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    loss = MODELS.build(
        dict(type="BoxQueryContrastiveLoss", temperature=temperature, loss_weight=3.0)
    )
    expected = 3.0 * loops(embeddings, temperature)
    assert loss(embeddings).item() == pytest.approx(expected, rel=1e-5)


def test_a_single_frame_has_no_pair():
    loss = MODELS.build(dict(type="BoxQueryContrastiveLoss"))
    embeddings = torch.randn(2, 1, 4, 5, requires_grad=True)
    value = loss(embeddings)
    value.backward()
    assert value.item() == 0
    assert (embeddings.grad == 0).all()


LABELS = torch.tensor([[2, -1, 2, 0], [-1, 1, 1, -1]])


def options_by_loops(
    embeddings,
    labels,
    reduction="mean",
    own_frame_negatives=False,
    matched_only=False,
    same_class_weight=1.0,
):
    """Equation 7 with the negatives written out, for a temperature of 0.1."""

    def score(one, other):
        return math.exp(torch.cosine_similarity(one, other, dim=0).item() / 0.1)

    num_frames, num_queries = embeddings.shape[1:3]
    total = anchors = 0
    for clip, classes in zip(embeddings, labels.tolist(), strict=True):
        for i in range(num_queries):
            if matched_only and classes[i] == -1:
                continue
            anchors += 1
            for t, s in itertools.permutations(range(num_frames), 2):
                positive = score(clip[t, i], clip[s, i])
                negatives = 0.0
                for j in range(num_queries):
                    if j == i:
                        continue
                    hard = classes[i] == classes[j] != -1
                    factor = same_class_weight if hard else 1.0
                    negatives += factor * score(clip[t, i], clip[s, j])
                    if own_frame_negatives:
                        negatives += factor * score(clip[t, i], clip[t, j])
                total -= math.log(positive / (positive + negatives))
    pairs = num_frames * (num_frames - 1)
    return total / anchors / (pairs if reduction == "mean" else 1)


def some_embeddings(**options):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 4, 5, generator=generator, **options)


@pytest.mark.parametrize(
    "options",
    [
        dict(reduction="sum"),
        dict(own_frame_negatives=True),
        dict(matched_only=True),
        dict(same_class_weight=4.0),
        dict(same_class_weight=0.25),
        dict(
            reduction="sum",
            own_frame_negatives=True,
            matched_only=True,
            same_class_weight=3.0,
        ),
    ],
    ids=str,
)
def test_options_equal_loops(options):
    embeddings = some_embeddings()
    value = BoxQueryContrastiveLoss(**options)(embeddings, LABELS).item()
    expected = options_by_loops(embeddings, LABELS, **options)
    assert value == pytest.approx(expected, rel=1e-5)
    # Each of them matters here.
    assert value != pytest.approx(BoxQueryContrastiveLoss()(embeddings).item())


def test_labels_do_not_matter_where_nothing_asks_for_them():
    embeddings, loss = some_embeddings(), BoxQueryContrastiveLoss()
    assert torch.equal(loss(embeddings, LABELS), loss(embeddings))


def test_clips_without_matches_train_nothing():
    embeddings = some_embeddings(requires_grad=True)
    loss = BoxQueryContrastiveLoss(matched_only=True)
    value = loss(embeddings, torch.full((2, 4), -1))
    value.backward()
    assert value.item() == 0
    assert (embeddings.grad == 0).all()


def test_unmatched_queries_are_negatives_of_matched_ones():
    """They are pushed away; in a clip without matches nothing moves."""
    embeddings = some_embeddings(requires_grad=True)
    labels = torch.tensor([[2, -1, -1, -1], [-1, -1, -1, -1]])
    BoxQueryContrastiveLoss(matched_only=True)(embeddings, labels).backward()
    moved = embeddings.grad.abs().amax(dim=(1, 3)) > 0
    assert moved.tolist() == [[True] * 4, [False] * 4]


def test_a_single_query_has_no_negative():
    embeddings = some_embeddings()[:, :, :1].requires_grad_()
    value = BoxQueryContrastiveLoss(own_frame_negatives=True)(embeddings)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert embeddings.grad.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(reduction="none"), "reduction='none'; give 'mean' or 'sum'"),
        (dict(same_class_weight=0), "same_class_weight=0; give a number above 0"),
    ],
)
def test_mistakes_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        BoxQueryContrastiveLoss(**options)

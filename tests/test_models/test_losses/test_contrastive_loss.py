import math

import pytest
import torch
from mmdet.registry import MODELS


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

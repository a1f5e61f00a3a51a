"""One step of several processes is one step with the whole batch."""

import pytest
from mmdet.registry import MODEL_WRAPPERS
from mmengine.config import Config
from mmengine.dist import get_rank

from mmtaformer.utils.launch.runner import _use_cpu_process_group

from .clips import batch, build_model, gradients, total_loss
from .ranks import run_ranks

TOLERANCE = 1e-5


def backward(model, counts):
    """Gradients of a batch, and the terms of its loss."""
    frames, samples = batch(counts)
    loss, terms = total_loss(model, model(frames, samples, mode="loss"))
    loss.backward()
    return gradients(model), {name: term.item() for name, term in terms.items()}


def backward_on_rank(name, counts_of_ranks):
    cfg = Config(dict(launcher="pytorch"))
    _use_cpu_process_group(cfg)
    model = MODEL_WRAPPERS.build(
        dict(cfg.model_wrapper_cfg, module=build_model(name)),
    )
    return backward(model, counts_of_ranks[get_rank()])


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("taformer_tiny", (3, 1)),
        ("taformer_tiny", (0, 2)),
        ("seqformer_tiny", (1, 2)),
    ],
)
def test_gradients_equal_those_of_the_whole_batch(tmp_path, name, counts):
    """Although the processes have different numbers of instances, or none."""
    clips = list(enumerate(counts))
    whole, terms = backward(build_model(name), clips)
    of_ranks = run_ranks(
        backward_on_rank, tmp_path / "ranks", name, [[c] for c in clips]
    )
    for distributed, _ in of_ranks:
        assert distributed.keys() == whole.keys()
        for key, gradient in distributed.items():
            difference = float((gradient - whole[key]).abs().max())
            size = float(whole[key].abs().max())
            assert difference <= TOLERANCE * max(size, 1), (key, difference, size)
    # The mean over the processes is what is logged.
    for key, value in terms.items():
        mean = sum(logged[key] for _, logged in of_ranks) / len(of_ranks)
        assert mean == pytest.approx(value, rel=1e-5, abs=1e-5), key

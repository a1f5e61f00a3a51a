import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from mmtaformer.engine import BFloat16OptimWrapper, NonFiniteGradientHook
from mmtaformer.engine.hooks import non_finite_gradient_hook
from mmtaformer.utils.checkpoint import load_checkpoint_file

from ..helpers.toy_training import ToyModel, train


class Poison(torch.autograd.Function):
    """Leaves values as they are and spoils one number of the gradient."""

    @staticmethod
    def forward(ctx, value, spoilt):
        ctx.spoilt = spoilt
        return value.clone()

    @staticmethod
    def backward(ctx, grad):
        grad = grad.clone()
        grad.view(-1)[0] = ctx.spoilt
        return grad, None


class Poisoned(ToyModel):
    """A finite loss with a gradient that is not, in some iterations."""

    def __init__(self, iterations, value=float("inf")):
        torch.manual_seed(1)
        super().__init__()
        self.iterations, self.value, self.iteration = iterations, value, 0

    def forward(self, inputs, data_samples=None, mode="tensor"):
        self.iteration += 1
        weight = self.layer.weight
        if self.iteration in self.iterations:
            weight = Poison.apply(weight, self.value)
        loss = nn.functional.linear(torch.stack(list(inputs)), weight).square().mean()
        return {"loss": loss}


class Recorder(Hook):
    """Weights and the optimizer's steps after every iteration."""

    def __init__(self):
        self.weights, self.steps = [], []

    def after_train_iter(self, runner, *args, **kwargs):
        self.weights.append(runner.model.layer.weight.detach().clone())
        state = runner.optim_wrapper.optimizer.state
        self.steps.append(max([int(s["step"]) for s in state.values()], default=0))


def adamw(wrapper=OptimWrapper, **options):
    optimizer = dict(type=torch.optim.AdamW, lr=0.01, weight_decay=0.1)
    return dict(type=wrapper, optimizer=optimizer, **options)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(clip_grad=dict(max_norm=0.1)),
        dict(wrapper=BFloat16OptimWrapper),
    ],
    ids=["plain", "clipped", "bfloat16"],
)
def test_such_a_step_changes_nothing(tmp_path, capsys, value, options):
    recorder = Recorder()
    hooks = [NonFiniteGradientHook(), recorder]
    train(
        *(tmp_path, hooks, Poisoned({4, 8}, value)),
        **dict(num_workers=0, optim_wrapper=adamw(**options)),
    )
    assert recorder.steps == [1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 10]
    for before, after in ((2, 3), (6, 7)):
        assert torch.equal(recorder.weights[before], recorder.weights[after])
    assert not torch.equal(recorder.weights[3], recorder.weights[4])
    last = load_checkpoint_file(tmp_path / "epoch_3.pth")
    assert all(value.isfinite().all() for value in last["state_dict"].values())
    assert last["message_hub"]["runtime_info"]["skipped_steps"] == 2
    log = "".join(capsys.readouterr())
    assert "Iteration 8: the gradient is not finite" in log
    assert "(1 in a row, 2 in all)" in log


def test_without_the_hook_weights_are_spoilt(tmp_path):
    """Shows that the test above can fail."""
    recorder = Recorder()
    with pytest.raises(FloatingPointError, match="not saved"):
        options = dict(num_workers=0, optim_wrapper=adamw())
        train(tmp_path, [recorder], Poisoned({4}), **options)
    assert not recorder.weights[-1].isfinite().all()


def test_accumulated_gradients_are_skipped_together(tmp_path):
    recorder = Recorder()
    train(
        *(tmp_path, [NonFiniteGradientHook(), recorder], Poisoned({3})),
        **dict(num_workers=0, optim_wrapper=adamw(accumulative_counts=2)),
    )
    assert recorder.steps == [0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5]


def test_too_many_in_a_row_end_the_run(tmp_path):
    model = Poisoned({2, 3, 5, 6, 7, 8})
    with pytest.raises(FloatingPointError, match=r"3 steps in a row.*iteration 7"):
        train(tmp_path, [NonFiniteGradientHook(max_in_a_row=3)], model, num_workers=0)
    assert model.layer.weight.isfinite().all()


def test_processes_decide_alike(monkeypatch):
    """Another process has a part of the gradient, and it is not finite."""
    monkeypatch.setattr(
        non_finite_gradient_hook, "all_reduce", lambda value, op: value.fill_(0)
    )
    parameter = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([parameter])
    optimizer.register_step_pre_hook(NonFiniteGradientHook()._look_at_gradients)
    parameter.grad = torch.ones(3)
    optimizer.step()
    assert torch.equal(parameter.detach(), torch.ones(3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_under_loss_scaling(tmp_path):
    """The scaler skips on its own, and its steps are not counted."""
    recorder = Recorder()
    wrapper = adamw(AmpOptimWrapper, loss_scale="dynamic")
    hooks = [NonFiniteGradientHook(max_in_a_row=2), recorder]
    options = dict(num_workers=0, optim_wrapper=wrapper)
    model = train(tmp_path, hooks, Poisoned({4, 5, 6}), **options)
    assert model.layer.weight.isfinite().all()

"""Sharded training: the config for Swin-L made small, on two processes."""

import json
import shutil

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from torch.distributed.fsdp import FullyShardedDataParallel

from mmtaformer.utils import launch
from mmtaformer.utils.checkpoint import load_checkpoint_file

from ..helpers.golden import REPO_ROOT
from ..helpers.small_configs import small_config, write_data
from .clips import batch, total_loss
from .ranks import run_ranks

NAME = "taformer_swin-l-p4-w12_fsdp_4xb4-6e_youtubevis2019.py"
CONFIG = REPO_ROOT / "configs" / "taformer" / NAME
COUNTS = (3, 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("fsdp") / "data"
    write_data(root)
    return root


@pytest.fixture
def config(data, tmp_path):
    """The config file, made small."""
    cfg = small_config(CONFIG, data)
    cfg.train_dataloader.batch_size = 1
    cfg.train_dataloader.dataset.indices = 1
    # Videos of 4 and 6 frames: one process has more chunks than the other.
    cfg.model.test_cfg.frames_per_chunk = 2
    cfg.val_evaluator.outfile_prefix = str(tmp_path / "results")
    cfg.default_hooks.checkpoint.save_best = None
    path = tmp_path / "config.py"
    cfg.dump(path)
    return path


def checkpoint_weights(path):
    return load_checkpoint_file(path)["state_dict"]


def step_on_rank(config, weights, counts_of_ranks):
    """The whole model's state after one step, and how the model is sharded.

    That is the number of parameters this process holds, and what the units are.
    """
    cfg = Config.fromfile(config)
    cfg.launcher = "pytorch"
    strategy = launch.build_runner(cfg).strategy
    strategy.prepare(cfg.model, optim_wrapper=cfg.optim_wrapper)
    state = torch.load(weights)
    last = "bbox_head.cls_branches.1.weight"
    # As in a checkpoint of pretraining on COCO.
    strategy.load_model_state_dict({**state, last: torch.zeros(80, 64)})
    strategy.load_model_state_dict(state)
    model = strategy.model.eval()  # nothing is dropped
    frames, samples = batch(counts_of_ranks[get_rank()])
    loss, _ = total_loss(model, model(frames, samples, mode="loss"))
    strategy.optim_wrapper.update_params(loss)
    held = sum(parameter.numel() for parameter in model.parameters())
    units = {
        type(m.module).__name__ for m in FullyShardedDataParallel.fsdp_modules(model)
    }
    return strategy.model_state_dict(), held, units


def test_step_equals_that_of_one_process(config, tmp_path):
    """Gradients are clipped by the norm of all their parts."""
    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(config)
    cfg.optim_wrapper.optimizer = dict(type="SGD", lr=1.0)
    cfg.optim_wrapper.clip_grad.max_norm = 1.0
    cfg.dump(config)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    model.init_weights()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.save(before, tmp_path / "weights.pth")

    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    clips = list(enumerate(COUNTS))
    frames, samples = batch(clips)
    loss, _ = total_loss(model, model(frames, samples, mode="loss"))
    optim_wrapper.update_params(loss)
    expected = model.state_dict()
    assert max((expected[n] - before[n]).abs().max() for n in before) > 1e-2

    args = (str(config), str(tmp_path / "weights.pth"), [[clip] for clip in clips])
    (state, *first), (_, *second) = run_ranks(step_on_rank, tmp_path / "ranks", *args)
    total = sum(parameter.numel() for parameter in model.parameters())
    assert first[0] + second[0] == total
    assert first[0] == pytest.approx(total / 2, rel=0.01)
    layers = cfg.strategy.model_wrapper.auto_wrap_policy.layers
    assert first[1] == {cfg.model.type, *layers}
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(state[name], value, atol=1e-5, rtol=0, msg=name)


def train_on_rank(config, whole, resumed):
    """An uninterrupted run, and one that goes on after its first epoch."""
    train(config, whole)
    torch.distributed.barrier()
    if get_rank() == 0:
        resumed.mkdir()
        shutil.copy(whole / "epoch_1.pth", resumed)
        (resumed / "last_checkpoint").write_text(str(resumed / "epoch_1.pth"))
    torch.distributed.barrier()
    train(config, resumed, resume=True)


def train(config, work_dir, resume=False):
    cfg = Config.fromfile(config)
    cfg.update(launcher="pytorch", work_dir=str(work_dir), resume=resume)
    cfg.train_cfg.max_epochs = 2
    launch.build_runner(cfg).train()


def test_training_validation_and_resume(config, tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    run_ranks(train_on_rank, tmp_path / "ranks", str(config), whole, resumed)
    expected = checkpoint_weights(whole / "epoch_2.pth")
    first = checkpoint_weights(whole / "epoch_1.pth")
    state = checkpoint_weights(resumed / "epoch_2.pth")
    for name, value in expected.items():
        assert torch.equal(state[name], value), name
    assert any(not torch.equal(first[name], v) for name, v in expected.items())
    results = json.loads((tmp_path / "results.json").read_text())
    assert len(results) == 2 * 10


def test_one_process_has_nothing_to_share(config, tmp_path):
    """The same config tests a checkpoint on one device."""
    cfg = Config.fromfile(config)
    cfg.update(launcher="none", work_dir=str(tmp_path / "work"))
    runner = launch.build_runner(cfg)
    assert isinstance(runner, Runner)

"""Every config, made small, learns from a batch and predicts on a video."""

import http.server
import json
import threading
import urllib.parse
import urllib.request

import pytest
import torch
from mmdet.registry import EVALUATOR, HOOKS, METRICS, MODELS
from mmdet.utils import register_all_modules
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner

import mmtaformer  # noqa: F401
from mmtaformer.models.heads import taformer_head

from ..helpers.config_files import CONFIGS, name_of
from ..helpers.golden import REPO_ROOT
from ..helpers.small_configs import SIZE, small_config, write_data

COCO = "configs/taformer/taformer_r50_4xb4-24e_coco-pseudo-clips.py"
FINE_TUNING = "configs/taformer/taformer_r50_coco-pretrain_4xb4-6e_youtubevis2019.py"
DONE: set[str] = set()


@pytest.fixture(scope="module", autouse=True)
def _mmdet_scope():
    register_all_modules(init_default_scope=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("configs") / "data"
    write_data(root)
    return root


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_config_trains_and_predicts(path, data):
    cfg = small_config(path, data)
    check_hooks(cfg)
    if cfg.val_evaluator is not None:
        assert METRICS.get(cfg.val_evaluator.type)
        EVALUATOR.build(dict(type="Evaluator", metrics=cfg.val_evaluator))
    sections = ("model", "train_dataloader", "val_dataloader", "optim_wrapper")
    # Configs that do the same are run once.
    what = json.dumps([cfg[section] for section in sections], sort_keys=True)
    if what not in DONE:
        train_and_predict(cfg)
        DONE.add(what)


def check_hooks(cfg):
    for hook in (*cfg.default_hooks.values(), *cfg.custom_hooks):
        HOOKS.build(hook)


def train_and_predict(cfg):
    """One step of training on a batch and one prediction."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    assert model.bbox_head.num_classes == len(loader.dataset.metainfo["classes"])
    batch = next(iter(loader))
    check_step(cfg, model, batch)
    model.eval()
    if cfg.val_dataloader is not None:
        batch = next(iter(Runner.build_dataloader(cfg.val_dataloader, seed=0)))
        check_video(model.val_step(batch)[0], 4, model.bbox_head.num_classes)
    else:
        check_video(model.val_step(batch)[0], 5, model.bbox_head.num_classes)


def check_step(cfg, model, batch):
    """Every kind of loss is there, is finite and moves the weights."""
    optim = build_optim_wrapper(model, cfg.optim_wrapper)
    names = [name for name, _ in model.named_parameters()]
    for key in cfg.optim_wrapper.get("paramwise_cfg", {}).get("custom_keys", ()):
        assert any(key in name for name in names), f"no parameter has {key} in its name"
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    losses = model.train_step(batch, optim)
    assert all(torch.isfinite(loss).all() for loss in losses.values())
    expected = {"loss_cls", "loss_bbox", "loss_iou", "loss_mask", "loss_dice"}
    if cfg.model.bbox_head.get("loss_contrastive"):
        expected.add("loss_contrastive")
    assert expected == {name for name in losses if "." not in name} - {"loss"}
    auxiliary = {name.partition(".")[2] for name in losses if "." in name}
    if not cfg.model.bbox_head.get("contrastive_aux", True):
        expected.remove("loss_contrastive")
    assert expected == auxiliary
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved <= trainable
    parts = [{name.partition(".")[0] for name in group} for group in (moved, trainable)]
    # The encodings only reach the encoder through weights that start at zero.
    assert parts[0] | {"level_embed"} == parts[1]


def check_video(sample, num_frames, num_classes):
    frames = sample.video_data_samples
    assert len(frames) == num_frames
    for frame in frames:
        result = frame.pred_track_instances
        assert len(result.scores) == len(result.masks) == min(10, 8 * num_classes)
        assert result.masks[0]["size"] == [*frame.ori_shape] == [SIZE[1], SIZE[0]]


# A shipped config per backbone, the address of its weights and one of them.
STARTS = [
    (
        "configs/taformer/taformer_r50_4xb4-6e_youtubevis2019.py",
        "https://download.pytorch.org/models/resnet50-0676ba61.pth",
        {"conv1.weight": torch.ones(64, 3, 7, 7)},
    ),
    (
        "configs/seqformer/seqformer_r101_coco-pretrain_8xb2-12e_youtubevis2019.py",
        "https://download.pytorch.org/models/resnet101-63fe2227.pth",
        {"conv1.weight": torch.ones(64, 3, 7, 7)},
    ),
    (
        "configs/taformer/taformer_swin-l-p4-w12_4xb4-6e_youtubevis2019.py",
        "https://github.com/SwinTransformer/storage/releases/download/v1.0.0/"
        "swin_large_patch4_window12_384_22k.pth",
        {"model": {"patch_embed.proj.weight": torch.ones(192, 3, 4, 4)}},
    ),
]


class Ready(Exception):
    """Everything is built and loaded."""


@pytest.fixture
def network(monkeypatch, tmp_path):
    """Stands for the network and refuses everything; returns who was asked for."""

    class Refuse(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self):
            asked.append(self.path)
            self.send_error(403)

        def log_message(self, *args):
            pass

    asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.setattr(urllib.request, "_opener", None)
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
        yield asked
        server.shutdown()


@pytest.mark.parametrize(("name", "address", "weights"), STARTS)
def test_config_starts_up_to_the_download(
    name, address, weights, data, network, tmp_path, load_tool, monkeypatch
):
    """Whole models, from the command line, with nothing but the weights missing."""
    root = data / "youtube_vis_2019"
    options = [f"{s}_dataloader.dataset.data_root={root}" for s in ("train", "val")]
    options += [f"val_evaluator.ann_file={root / 'valid.json'}", "load_from=None"]
    options += [f"{split}_dataloader.num_workers=0" for split in ("train", "val")]
    options += [
        f"{split}_dataloader.persistent_workers=False" for split in ("train", "val")
    ]
    argv = [str(REPO_ROOT / name), "--work-dir", str(tmp_path), "--cfg-options"]
    train = load_tool("train.py")
    with pytest.raises(SystemExit) as exit_info:
        train.main([*argv, *options])
    message = str(exit_info.value)
    assert f"error: The weights {address} could not be downloaded" in message
    assert "model.backbone.init_cfg.checkpoint=FILE" in message
    assert network == [urllib.parse.urlparse(address).netloc + ":443"]

    path = tmp_path / "torch" / "hub" / "checkpoints" / address.rpartition("/")[2]
    torch.save(weights, path)

    def stop(runner, target):
        raise Ready(runner.model)

    # The last thing that a runner does before its loop runs.
    monkeypatch.setattr(Runner, "_maybe_compile", stop)
    with pytest.raises(Ready) as ready:
        train.main([*argv, *options])
    model = ready.value.args[0]
    ones = [p for p in model.backbone.parameters() if p.dim() == 4 and p.eq(1).all()]
    assert len(ones) == 1
    assert len(network) == 1


ONE_LEVEL = "projects/taformer/configs/table5_taformer_sfl1_tfl1.py"


@pytest.mark.parametrize(("name", "stride"), [(FINE_TUNING, 4), (ONE_LEVEL, 16)])
def test_mask_targets_have_the_stride_of_the_logits(name, stride, data, monkeypatch):
    cfg = small_config(REPO_ROOT / name, data)
    model = MODELS.build(cfg.model)
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    build, targets = taformer_head.build_clip_targets, []

    def spy(*args, **kwargs):
        targets.append(build(*args, **kwargs))
        return targets[-1]

    monkeypatch.setattr(taformer_head, "build_clip_targets", spy)
    processed = model.data_preprocessor(batch, training=True)
    model.loss(**processed)
    size = [side // stride for side in processed["inputs"].shape[-2:]]
    for target, sample in zip(targets, processed["data_samples"], strict=True):
        frames = [frame.gt_instances for frame in sample.video_data_samples]
        # Instances come in the order of their appearance.
        ids = list(dict.fromkeys(i for f in frames for i in f.instances_ids.tolist()))
        for t, frame in enumerate(frames):
            rows = [ids.index(i) for i in frame.instances_ids.tolist()]
            cells = frame.masks.masks[:, stride // 2 :: stride, stride // 2 :: stride]
            assert cells.shape[1:] == tuple(size)
            assert (target.masks[rows, t].numpy() == cells).all()


def run(name, data, epochs=1):
    """The runner of a small config, for some epochs."""
    cfg = small_config(REPO_ROOT / name, data)
    cfg.work_dir = str(data.parent / "work_dirs" / (REPO_ROOT / name).stem)
    cfg.experiment_name = data.parent.name + cfg.work_dir
    cfg.visualizer.name = cfg.experiment_name
    cfg.train_cfg.max_epochs = epochs
    cfg.default_hooks.checkpoint.save_best = None
    cfg.default_hooks.checkpoint.filename_tmpl = "epoch_24.pth"
    return Runner.from_cfg(cfg)


def test_pretraining_leaves_what_fine_tuning_starts_from(data):
    run(COCO, data).train()
    fine_tuning = run(FINE_TUNING, data)
    pretrained = torch.load(fine_tuning._load_from, weights_only=False)["state_dict"]
    fine_tuning.load_or_resume()
    state = fine_tuning.model.state_dict()
    assert state.keys() == pretrained.keys()
    other = [n for n in state if not torch.equal(state[n], pretrained[n])]
    # Of COCO's 80 classes to YouTube-VIS's 40.
    assert {name.rpartition(".")[0] for name in other} == {
        f"bbox_head.cls_branches.{layer}" for layer in range(2)
    }
    fine_tuning.train()
    (results,) = data.parent.glob("work_dirs/youtubevis2019_valid/results*.json")
    assert len(json.loads(results.read_text())) == 2 * 10

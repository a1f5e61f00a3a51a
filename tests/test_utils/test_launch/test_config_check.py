import pytest
from mmengine.config import Config

import mmtaformer  # noqa: F401
from mmtaformer.evaluation import YTVISMetric
from mmtaformer.utils.errors import UsageError
from mmtaformer.utils.launch.config_check import check_config, helper_names

from ...helpers.config_files import CONFIGS, name_of
from ...helpers.golden import REPO_ROOT

TINY = REPO_ROOT / "configs" / "taformer" / "taformer_tiny_synthvis.py"


@pytest.fixture
def written(tmp_path):
    """Writes a config that inherits from the small one; returns it as it is read."""

    def write(text):
        path = tmp_path / "own.py"
        path.write_text(f"_base_ = {str(TINY)!r}\n{text}\n")
        return Config.fromfile(path)

    return write


@pytest.mark.parametrize("path", CONFIGS[::4], ids=name_of)
def test_shipped_configs_pass(path):
    check_config(Config.fromfile(path))


@pytest.mark.parametrize(
    "text",
    [
        "base_lr = 1e-3\noptim_wrapper = dict(optimizer=dict(lr=base_lr))",
        "optimizer = dict(type='SGD')\noptim_wrapper = dict(optimizer=optimizer)",
        "train_data_loader = dict(batch_size=2)\ntrain_dataloader = train_data_loader",
        "read_by_a_hook_of_mine = 3",
        "test_pipeline = []",
        "train_cfg = dict(max_epochs=1)",
        "val_cfg = None\nval_dataloader = None\nval_evaluator = None",
        "default_hooks = dict(checkpoint=dict(save_best='auto', interval=-1))",
        "default_hooks = dict(checkpoint=dict(save_best=['youtube_vis/AR10']))",
        "val_evaluator = dict(prefix='my')\n"
        "default_hooks = dict(checkpoint=dict(save_best='my/AP75'))",
        "val_evaluator = [dict(type='AnotherMetric')]",
        "custom_hooks = [dict(type='EMAHook', momentum=1e-3, priority=49)]",
    ],
)
def test_what_is_legal_passes(written, text):
    check_config(written(text))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("optim_wraper = dict(a=1)", "did you mean optim_wrapper?"),
        ("custom_hook = []", "did you mean custom_hooks?"),
        ("load_form = 'a.pth'", "did you mean load_from?"),
        ("optimizer = dict(type='SGD')", "did you mean optim_wrapper.optimizer?"),
        ("total_epochs = 12", "did you mean train_cfg.max_epochs?"),
        ("model = dict(num_querys=5)", "TAFormer has no argument 'num_querys' (model)"),
        (
            "model = dict(bbox_head=dict(type='TAFormerHaed'))",
            "no 'TAFormerHaed' for model.bbox_head.type; did you mean 'TAFormerHead'?",
        ),
        (
            "default_hooks = dict(checkpoint=dict(interval_=2))",
            "(default_hooks.checkpoint); did you mean 'interval'?",
        ),
        (
            "default_hooks = dict(checkpoint=dict(save_best='segm_mAP'))",
            "save_best='segm_mAP' of AtomicCheckpointHook; it reports youtube_vis/AP,",
        ),
        (
            "default_hooks = dict(checkpoint=dict(save_best='youtube_vi/AP'))",
            "did you mean 'youtube_vis/AP'?",
        ),
        (
            "custom_hooks = [dict(type='EarlyStoppingHook', monitor='AP')]",
            "monitor='AP' of EarlyStoppingHook; it reports",
        ),
        ("train_dataloader = dict(batch_size=0)", "batch_size is 0, but must be at"),
        ("train_dataloader = dict(num_workers=-1)", "num_workers is -1, but must be"),
        ("train_cfg = dict(max_epochs=-3)", "max_epochs is -3, but must be at least 1"),
        ("train_cfg = dict(max_epochs=3)", "learning rate down to nothing by 2, but"),
    ],
)
def test_mistakes_are_one_sentence(written, text, sentence):
    with pytest.raises(UsageError) as caught:
        check_config(written(text))
    message = str(caught.value)
    hook = written("").default_hooks.checkpoint.type
    assert sentence.replace("AtomicCheckpointHook", hook) in message
    assert "\n" not in message


def test_names_that_files_of_a_config_use(written):
    used = helper_names(written("a = 1\nb = [a]\nc = _base_.model.type\ne = dict(f=2)"))
    assert {"a", "model", "train_pipeline", "data_root"} <= used
    assert not {"b", "c", "e", "f", "train_dataloader"} & used


def test_figure_names_are_what_is_reported(synthvis_root):
    arguments = dict(ann_file=str(synthvis_root / "val.json"), max_dets=(1, 7))
    metric = YTVISMetric(**arguments, per_class=False, prefix="p")
    reported = metric.evaluate(0)
    assert set(YTVISMetric.figure_names(**arguments, prefix="p")) == set(reported)
    assert YTVISMetric.figure_names("a.json", format_only=True) == []

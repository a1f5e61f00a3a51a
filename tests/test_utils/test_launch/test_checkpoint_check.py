from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmtaformer.utils.errors import DataError, UsageError
from mmtaformer.utils.launch import check_start, check_tested_weights
from mmtaformer.utils.launch.checkpoint_check import compare

ONE_CYCLE = [dict(type="OneCycleLR", end=4)]


def small_model(classes=2, **more):
    parts = dict(
        norm=nn.BatchNorm2d(4), body=nn.Linear(8, 8), cls=nn.Linear(8, classes)
    )
    return nn.ModuleDict({**parts, **more})


@pytest.fixture
def saved(tmp_path):
    """Saves a checkpoint; returns its path."""

    def save(model, meta=None, name="epoch_2.pth"):
        content = dict(state_dict=model.state_dict(), meta=meta or {})
        torch.save(content, tmp_path / name)
        (tmp_path / "last_checkpoint").write_text(str(tmp_path / name))
        return str(tmp_path / name)

    return save


def runner(model, tmp_path="work", **cfg):
    said = []
    return SimpleNamespace(
        model=model,
        work_dir=str(tmp_path),
        cfg=Config({"load_from": None, **cfg}),
        logger=SimpleNamespace(info=said.append),
        register_hook=lambda hook, priority: hook.before_train(runner_of_hook),
        said=said,
    )


runner_of_hook = SimpleNamespace(logger=SimpleNamespace(info=print))


def test_compare_names_and_shapes():
    model, other = small_model(), small_model(classes=3, extra=nn.Linear(2, 2))
    del other["body"]
    given = {f"module.{name}": value for name, value in other.state_dict().items()}
    del given["module.norm.num_batches_tracked"]
    fit = compare(model, given)
    assert fit.missing == ["body.weight", "body.bias"]
    assert fit.reshaped == ["cls.weight (3, 8) for (2, 8)", "cls.bias (3,) for (2,)"]
    assert fit.unknown == ["extra.weight", "extra.bias"]
    assert fit.part == pytest.approx(16 / (16 + 1 + 72 + 18))
    assert fit.differences == (
        "2 the checkpoint lacks (body.weight, body.bias); 2 of another shape "
        "(cls.weight (3, 8) for (2, 8), cls.bias (3,) for (2,)); 2 unknown to the "
        "model (extra.weight, extra.bias)"
    )
    assert compare(model, model.state_dict()).differences == ""


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (small_model(extra=nn.Linear(1, 1)), "2 unknown to the model (extra.weight"),
        (small_model(classes=7), "2 of another shape (cls.weight (7, 8) for (2, 8)"),
        (
            nn.ModuleDict({"body": nn.Linear(8, 8)}),
            "6 the checkpoint lacks (norm.weight",
        ),
    ],
)
def test_another_model_is_not_tested(saved, given, sentence):
    tested = runner(small_model(), load_from=saved(given))
    with pytest.raises(UsageError) as caught:
        check_tested_weights(tested)
    assert sentence in str(caught.value)
    assert "--partial-weights" in str(caught.value)
    check_tested_weights(tested, partial=True)


def test_the_model_itself_is_tested_and_resumed(saved, tmp_path):
    path = saved(small_model())
    check_tested_weights(runner(small_model(), load_from=path))
    check_start(runner(small_model(), load_from=path, resume=True))
    check_start(runner(small_model(), tmp_path, resume=True))
    check_start(runner(small_model(), tmp_path / "empty", resume=True))
    check_start(runner(small_model()))


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "notes.pth"
    path.write_text("These are no weights.\n")
    for check in (check_start, check_tested_weights):
        with pytest.raises(DataError, match=r"notes\.pth"):
            check(runner(small_model(), load_from=str(path)))
    torch.save({"epoch": 3}, path)
    with pytest.raises(DataError, match=r"notes\.pth has no weights"):
        check_tested_weights(runner(small_model(), load_from=str(path)))


def test_fine_tuning_says_what_was_not_loaded(saved, capsys):
    check_start(runner(small_model(), load_from=saved(small_model(classes=9))))
    printed = capsys.readouterr().out
    assert "epoch_2.pth 7 parameters are loaded; not loaded: 2 of another" in printed
    check_start(runner(small_model(), load_from=saved(small_model())))
    assert capsys.readouterr().out == ""


def test_fine_tuning_from_next_to_nothing_is_refused(saved):
    path = saved(nn.ModuleDict({"norm": nn.BatchNorm2d(4), "other": nn.Linear(9, 9)}))
    wide = small_model(wide=nn.Linear(100, 100))
    with pytest.raises(UsageError, match=r"next to nothing .* 2 unknown to the model"):
        check_start(runner(wide, load_from=path))


def test_another_model_is_not_resumed(saved, tmp_path):
    saved(small_model(classes=9))
    with pytest.raises(
        UsageError, match=r"epoch_2\.pth cannot be resumed.*cls\.weight"
    ):
        check_start(runner(small_model(), tmp_path, resume=True))


@pytest.mark.parametrize("key", ["max_epochs", "max_iters"])
def test_a_longer_run_does_not_go_on_after_one_cycle(saved, tmp_path, key):
    before = Config(dict(train_cfg={key: 2, "val_interval": 1}))
    path = saved(small_model(), dict(cfg=before.pretty_text))
    run = dict(resume=True, param_scheduler=ONE_CYCLE)
    with pytest.raises(UsageError) as caught:
        check_start(runner(small_model(), tmp_path, train_cfg={key: 4}, **run))
    assert f"with {key}=2, in which one cycle" in str(caught.value)
    assert f"load_from={path} instead of --resume" in str(caught.value)
    check_start(runner(small_model(), tmp_path, train_cfg={key: 2}, **run))
    run["param_scheduler"] = dict(type="MultiStepLR", milestones=[1])
    check_start(runner(small_model(), tmp_path, train_cfg={key: 4}, **run))


def test_the_config_of_a_checkpoint_is_not_run(saved, tmp_path):
    text = f"open({str(tmp_path / 'ran')!r}, 'w')\ntrain_cfg = dict(max_epochs=2)\n"
    saved(small_model(), dict(cfg=text))
    run = dict(resume=True, param_scheduler=ONE_CYCLE, train_cfg=dict(max_epochs=4))
    with pytest.raises(UsageError, match="max_epochs=2"):
        check_start(runner(small_model(), tmp_path, **run))
    assert not (tmp_path / "ran").exists()
    saved(small_model(), dict(cfg="no ( Python"))
    check_start(runner(small_model(), tmp_path, **run))

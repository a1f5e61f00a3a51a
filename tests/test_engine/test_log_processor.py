from types import SimpleNamespace

import pytest
from mmdet.registry import LOG_PROCESSORS
from mmengine.logging import MessageHub
from mmengine.runner import LogProcessor

from mmtaformer.engine.log_processor import LogLine, loss_groups

# As TAFormer reports them: two auxiliary layers and the last one.
LOSSES = {
    f"{layer}loss_{term}": number + 0.25
    for layer in ("d0.", "d1.", "")
    for number, term in enumerate(("cls", "bbox", "iou", "mask", "dice", "contrastive"))
}


@pytest.fixture
def runner(request):
    """In the third of 20 epochs, after iteration 7 of 960."""
    hub = MessageHub(request.node.name)
    scalars = {"lr": 1.5e-4, "time": 0.5, "data_time": 0.1, "loss": 123.456, **LOSSES}
    for name, value in scalars.items():
        hub.update_scalar(f"train/{name}", value)
    hub.update_info("eta", 7325.4)
    return SimpleNamespace(
        message_hub=hub,
        epoch=2,
        iter=2 * 960 + 6,
        max_epochs=20,
        max_iters=20 * 960,
        train_dataloader=range(960),
        _train_loop=object(),
        train_loop=SimpleNamespace(dataloader=range(960)),
    )


def build(**arguments):
    return LOG_PROCESSORS.build(dict(type="ShortLogProcessor", **arguments))


@pytest.mark.parametrize(
    ("by_epoch", "place"), [(True, "[3/20][  7/960]"), (False, "[1927/19200]")]
)
def test_console_gets_one_row_and_the_file_everything(runner, by_epoch, place):
    tag, line = build(by_epoch=by_epoch).get_log_after_iter(runner, 6, "train")
    assert isinstance(line, LogLine)
    assert line.short == (
        f"{place}  eta 2:02:05  lr 1.5e-04  loss 123.5  cls 0.75  box 10.5  mask 22.5  "
        "contrastive 15.8"
    )
    full = LogProcessor(by_epoch=by_epoch).get_log_after_iter(runner, 6, "train")
    assert (tag, str(line)) == full
    assert tag.items() >= LOSSES.items()


def test_other_lines_are_mmengines(runner):
    runner.test_loop = runner.train_loop
    line = build().get_log_after_iter(runner, 6, "test")[1]
    assert line == LogProcessor().get_log_after_iter(runner, 6, "test")[1]
    assert not hasattr(line, "short")


def test_terms_are_summed_over_layers():
    groups = loss_groups({"lr": 1.0, "loss": 9.0, "loss_new": 1.0, "d0.loss_new": 2.0})
    assert groups == {"new": 3.0}
    assert loss_groups({"d5.loss_iou": 1.0, "loss_bbox": 2.0}) == {"box": 3.0}

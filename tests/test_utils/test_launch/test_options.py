import pytest
from mmengine.config import Config, DictAction

from mmtaformer.utils.errors import UsageError
from mmtaformer.utils.launch.options import check_options, parse_value

TEXT = """
max_epochs = 12
train_pipeline = [dict(type="LoadFrame"), dict(type="RandomFlip", prob=0.5)]

model = dict(type="TAFormer", num_queries=300, backbone=dict(init_cfg=None))
train_cfg = dict(max_epochs=max_epochs)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(type="AdamW", lr=1e-4))
shown_by_my_hook = 3
"""


@pytest.fixture(scope="module")
def cfg(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "config.py"
    path.write_text(TEXT)
    return Config.fromfile(path)


@pytest.mark.parametrize(
    "text",
    [
        *("3", "-1", "1e-4", "True", "false", "None", "abc", "a/b.json"),
        *("1,2", "[1,2]", "(1,2)", "[(1,2),(3,4)]", "[a,b]", "(5,)", "[]", "1,"),
    ],
)
def test_values_are_mmengines(text):
    assert parse_value(text) == DictAction._parse_iterable(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("/a b/c d.json", "/a b/c d.json"),
        ("/a b'c/x (1).json", "/a b'c/x (1).json"),
        ("[/a b/c.json, /d e.json]", ["/a b/c.json", "/d e.json"]),
        ('"a,b"', "a,b"),
        ("'5'", "5"),
        ("", ""),
    ],
)
def test_texts_stay_what_they_are(text, value):
    assert parse_value(text) == value


def test_brackets_must_match():
    for text in ("[1,2", "(1,2]", "1,2)", "[1],2]", "("):
        with pytest.raises(ValueError, match="do not match"):
            parse_value(text)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("max_epochs", 3, "did you mean train_cfg.max_epochs?"),
        ("lr", 0.1, "did you mean optim_wrapper.optimizer.lr?"),
        ("optim_wraper.optimizer.lr", 0.1, "did you mean optim_wrapper.optimizer.lr?"),
        ("trian_cfg", None, "nothing reads 'trian_cfg'"),
        ("train_pipeline.0.type", "A", "did you mean model.type?"),
        (
            "model.num_queries.a",
            3,
            "model.num_queries is 300 in the config, which has no",
        ),
        ("model.backbone.init_cfg.checkpoint", "a", "init_cfg is None"),
        ("train_dataloader.dataset.pipeline.2.prob", 1, "numbered 0 to 1"),
        ("train_dataloader.dataset.pipeline.x", 1, "there is no 'x' in it"),
        ("model.num_queries", "many", "should be like the 300 of the config"),
        ("optim_wrapper", 5, "set its parts, such as optim_wrapper.optimizer=..."),
    ],
)
def test_options_without_effect_or_place(cfg, key, value, sentence):
    with pytest.raises(UsageError) as caught:
        check_options(cfg, {key: value})
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(f"--cfg-options {key}")


def test_options_with_a_place(cfg):
    check_options(
        cfg,
        {
            "model.num_queries": 5,
            "model.backbone.init_cfg": None,
            "model.backbone.depth": 18,
            "train_dataloader.dataset.pipeline.1.prob": 0,
            "optim_wrapper": None,
            "load_from": "a.pth",
            "shown_by_my_hook": 4,
            "visualizer.vis_backends": [1],
        },
    )

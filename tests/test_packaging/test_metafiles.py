"""model-index.yml and the metafiles against the configs and the README."""

import json

import pytest
import yaml
from mmdet.utils import register_all_modules
from mmengine.config import Config

import mmtaformer
from mmtaformer.utils.param_count import (
    build_skeleton,
    count_published,
    count_trainable,
)

from ..helpers.config_files import CONFIGS, name_of
from ..helpers.golden import REPO_ROOT
from ..test_configs.test_project_readme import PROJECT, ROWS

FOLDERS = sorted({path.parents[0] for path in CONFIGS if path.parts[-3] == "configs"})
METAFILES = [
    *(folder / "metafile.yml" for folder in FOLDERS),
    *sorted(REPO_ROOT.glob("projects/*/metafile.yml")),
]
CONTENT = [yaml.safe_load(path.read_text()) for path in METAFILES]
MODELS = [model for content in CONTENT for model in content["Models"]]
COLLECTIONS = [c for content in CONTENT for c in content.get("Collections", [])]
METRICS = [f"{name} in the Paper" for name in ("AP", "AP50", "AP75", "AR1", "AR10")]
COUNTS: dict[str, tuple[int, int]] = {}


@pytest.fixture(scope="module", autouse=True)
def _registered():
    register_all_modules(init_default_scope=True)


def test_index_names_every_metafile():
    index = yaml.safe_load((REPO_ROOT / "model-index.yml").read_text())
    assert index == {"Import": [name_of(path) for path in METAFILES]}


def test_every_config_has_one_entry():
    assert sorted(model["Config"] for model in MODELS) == sorted(map(name_of, CONFIGS))
    for path, content in zip(METAFILES, CONTENT, strict=True):
        for model in content["Models"]:
            assert model["Config"].startswith(f"{name_of(path.parent)}/")


def test_collections():
    names = [collection["Name"] for collection in COLLECTIONS]
    assert sorted(names) == ["SeqFormer", "TAFormer"]
    for collection in COLLECTIONS:
        assert isinstance(collection["Paper"], str)  # mim prints the keys of others
        for key in ("README", "Code"):
            assert (REPO_ROOT / collection[key]).is_file()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["Name"])
def test_entry_says_what_the_config_does(model):
    path = REPO_ROOT / model["Config"]
    cfg, metadata = Config.fromfile(path), model["Metadata"]
    assert model["Name"] == path.stem
    temporal = cfg.model.encoder.layer_cfg.self_attn_cfg.get("temporal_window")
    assert model["In Collection"] == ("TAFormer" if temporal else "SeqFormer")
    assert metadata["Epochs"] == cfg.train_cfg.max_epochs
    assert metadata["Batch Size"] == cfg.auto_scale_lr.base_batch_size
    assert trained_on(cfg) == metadata["Training Data"]
    assert ("coco" in (cfg.load_from or "")) == ("Pretraining Data" in metadata)
    trainable, published = count(cfg.model)
    assert metadata["Parameters"] == trainable
    if "Parameters Counted as in the Paper" in metadata:
        assert metadata["Parameters Counted as in the Paper"] == published


def trained_on(cfg):
    """The data sets of a config, as the metafiles name them."""
    text = json.dumps(cfg.train_dataloader.dataset)
    folders = {
        "data/coco/": "COCO",
        "data/youtube_vis_2019/": "YouTube-VIS 2019",
        "data/youtube_vis_2021/": "YouTube-VIS 2021",
        "data/synthvis/": "SynthVIS",
    }
    names = [name for folder, name in folders.items() if folder in text]
    return names[0] if len(names) == 1 else names


def count(model_cfg):
    """Trainable parameters, and the paper's count; models that recur count once."""
    key = json.dumps(model_cfg, sort_keys=True)
    if key not in COUNTS:
        model = build_skeleton(model_cfg)
        COUNTS[key] = count_trainable(model), count_published(model)
    return COUNTS[key]


def test_figures_are_the_papers_and_say_so():
    """Every figure is one of the README's columns "Paper"; nothing has weights."""
    rows = {(PROJECT / row["config"]).resolve(): row for row in ROWS}
    for model in MODELS:
        assert "Weights" not in model
        row = rows.pop(REPO_ROOT / model["Config"], None)
        assert (row is not None) == ("Results" in model), model["Name"]
        if row is None:
            continue
        (result,) = model["Results"]
        year = "2021" if row["table"] == "2" else "2019"
        assert result["Dataset"] == f"YouTube-VIS {year}"
        figures = map(float, row["paper"].split(" / "))
        assert result["Metrics"] == dict(zip(METRICS, figures, strict=False))
        assert model["Metadata"]["Trained Weights"] == "none"
        assert row["here"] == "not trained here"
    assert not rows


def test_mmengine_finds_an_entry_of_the_wheel(installed):
    """What ``get_config("mmtaformer::...")`` and ``get_model`` read."""
    from mmengine.config.utils import _get_cfg_metainfo

    name = "taformer/taformer_tiny_synthvis.py"
    entry = _get_cfg_metainfo(str(installed / mmtaformer.__name__), name)
    assert entry["Config"] == f"configs/{name}"

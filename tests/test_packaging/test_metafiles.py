"""What mim and mmengine are told of the models, against the configs and the paper."""

import json

import pytest
import yaml
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.config.utils import _get_cfg_metainfo

import mmtaformer
from projects.taformer.paper import read_rows

from ..helpers.config_files import CONFIGS, name_of
from ..helpers.golden import REPO_ROOT


@pytest.fixture(scope="module", autouse=True)
def _registered():
    register_all_modules(init_default_scope=True)


@pytest.fixture(scope="module")
def content(installed):
    mim = installed / mmtaformer.__name__ / ".mim"
    index = yaml.safe_load((mim / "model-index.yml").read_text())
    (name,) = index["Import"]
    return yaml.safe_load((mim / name).read_text())


def test_an_editable_install_has_the_same(content, checkout):
    path = checkout / "mmtaformer" / ".mim" / "metafile.yml"
    assert yaml.safe_load(path.read_text()) == content


def test_collections(content):
    names = [collection["Name"] for collection in content["Collections"]]
    assert sorted(names) == ["SeqFormer", "TAFormer"]
    for collection in content["Collections"]:
        assert isinstance(collection["Paper"], str)  # mim prints the keys of others
        for key in ("README", "Code"):
            assert (REPO_ROOT / collection[key]).is_file()


def test_entries_say_what_the_configs_do(content):
    models = content["Models"]
    assert sorted(m["Config"] for m in models) == sorted(map(name_of, CONFIGS))
    for model in models:
        path = REPO_ROOT / model["Config"]
        cfg, metadata = Config.fromfile(path), dict(model["Metadata"])
        assert model["Name"] == path.stem
        temporal = cfg.model.encoder.layer_cfg.self_attn_cfg.get("temporal_window")
        assert model["In Collection"] == ("TAFormer" if temporal else "SeqFormer")
        expected = {"Training Data": trained_on(cfg)}
        if "coco" in (cfg.load_from or ""):
            expected["Pretraining Data"] = "COCO"
        if "Epochs" in metadata:
            expected["Epochs"] = cfg.train_cfg.max_epochs
            expected["Batch Size"] = cfg.auto_scale_lr.base_batch_size
        assert metadata == expected, model["Name"]


def trained_on(cfg):
    """The data sets of a config, as the entries name them."""
    text = json.dumps(cfg.train_dataloader.dataset)
    folders = {
        "data/coco/": "COCO",
        "data/youtube_vis_2019/": "YouTube-VIS 2019",
        "data/youtube_vis_2021/": "YouTube-VIS 2021",
        "data/synthvis/": "SynthVIS",
        "data/synthvis_deform/": "SynthVIS",
        "data/synthvis_identity/": "SynthVIS",
        "data/cells/": "Cell Tracking Challenge",
    }
    names = [name for folder, name in folders.items() if folder in text]
    return names[0] if len(names) == 1 else names


def test_results_are_the_papers_and_say_so(content):
    found = {m["Config"]: m["Results"] for m in content["Models"] if "Results" in m}
    for row in read_rows():
        (result,) = found.pop(name_of(row.config))
        assert result["Dataset"] == row.dataset
        assert list(result["Metrics"].values()) == list(row.figures)
        assert all(key.endswith(" in the Paper") for key in result["Metrics"])
    assert found == {}


def test_mmengine_finds_an_entry_of_the_wheel(installed):
    """What ``get_config("mmtaformer::...")`` and ``get_model`` read."""
    name = "taformer/taformer_tiny_synthvis.py"
    entry = _get_cfg_metainfo(str(installed / mmtaformer.__name__), name)
    assert entry["Config"] == f"configs/{name}"

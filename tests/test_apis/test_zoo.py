import pytest

from mmtaformer.apis import list_models, zoo
from mmtaformer.utils.errors import UsageError

METAFILE = """
Models:
  - Name: taformer_one
    Alias: one
    Config: configs/taformer/taformer_one.py
    Weights: https://example.org/one-12345678.pth
  - Name: taformer_two
    Config: configs/taformer/taformer_two.py
    Weights: weights/two.pth
  - Name: taformer_three
    Config: configs/taformer/taformer_three.py
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    for name in ("one", "two", "three", "four"):
        path = tmp_path / "configs" / "taformer" / f"taformer_{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    base = tmp_path / "configs" / "_base_" / "models" / "taformer_part.py"
    base.parent.mkdir(parents=True)
    base.touch()
    (tmp_path / "model-index.yml").write_text("Import: [configs/metafile.yml]")
    (tmp_path / "configs" / "metafile.yml").write_text(METAFILE)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "taformer_four-0123abcd.safetensors").touch()
    monkeypatch.setattr(zoo, "_root", lambda: tmp_path)
    return tmp_path


def test_names_lead_to_config_and_weights(root):
    configs = root / "configs" / "taformer"
    expected = {
        "taformer_one": ("taformer_one.py", "https://example.org/one-12345678.pth"),
        "one": ("taformer_one.py", "https://example.org/one-12345678.pth"),
        "taformer_two": ("taformer_two.py", str(root / "weights" / "two.pth")),
        "taformer_three": ("taformer_three.py", None),
        "taformer_four": (
            "taformer_four.py",
            str(root / "demo" / "taformer_four-0123abcd.safetensors"),
        ),
    }
    for name, (config, weights) in expected.items():
        assert zoo.find_model(name) == (configs / config, weights)


def test_lists(root):
    assert list_models() == ["taformer_four", "taformer_one", "taformer_two"]
    assert list_models(with_weights=False) == [
        f"taformer_{name}" for name in ("four", "one", "three", "two")
    ]


def test_unknown_names(root):
    with pytest.raises(UsageError, match="did you mean taformer_three"):
        zoo.find_model("taformer_tree")
    with pytest.raises(UsageError, match="list_models"):
        zoo.find_model("zzz")
    with pytest.raises(UsageError):
        zoo.find_model("taformer_part")


def test_configs_of_the_repository_have_names():
    names = list_models(with_weights=False)
    assert "taformer_tiny_cells" in names and len(names) == len(set(names)) > 3

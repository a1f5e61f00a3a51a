import argparse
from argparse import Namespace

import pytest
from mmengine.config import Config

from mmtaformer.utils.errors import UsageError
from mmtaformer.utils.launch import add_common_arguments, load_config


def parse(*arguments):
    parser = argparse.ArgumentParser()
    add_common_arguments(parser)
    return parser.parse_args(arguments)


def options(*arguments):
    return parse("--cfg-options", *arguments).cfg_options


def load(path, **given):
    return load_config(
        Namespace(
            **dict(config=str(path), launcher="none", work_dir=None, cfg_options=None)
            | given
        )
    )


def test_options_by_their_keys():
    assert options("a.b=1", "c=x=y", "--cfg-options", " d =[1,2]") == {
        "a.b": 1,
        "c": "x=y",
        "d": [1, 2],
    }


def test_spaces_of_a_path_are_kept(tmp_path):
    path = tmp_path / "a b'c" / "my data.json"
    assert options(f"ann_file={path}") == {"ann_file": str(path)}


@pytest.mark.parametrize("argument", ["max_epochs", "=3", "a..b=3", ".a=3", "a.=3"])
def test_what_is_no_option_is_refused(argument, capsys):
    with pytest.raises(SystemExit):
        options(argument)
    printed = capsys.readouterr().err
    assert "expected KEY=VALUE, such as train_dataloader.batch_size=2" in printed
    assert f"but got {argument!r}" in printed


def test_brackets_that_do_not_match_are_refused(capsys):
    with pytest.raises(SystemExit):
        options("a=[1,2")
    assert "a: the brackets of '[1,2' do not match" in capsys.readouterr().err


def test_work_dir_is_named_after_the_config(tmp_path):
    path = tmp_path / "my.py"
    path.write_text("model = dict(type='A')\n")
    assert load(path).work_dir == "work_dirs/my"
    assert load(path, work_dir="b").work_dir == "b"
    assert load(path, cfg_options={"work_dir": "c"}).work_dir == "c"


def test_names_of_a_package_need_it_installed(tmp_path, monkeypatch):
    def missing(path):
        raise FileNotFoundError("No such file: '/x/mmtaformer/.mim/model-index.yml'")

    path = tmp_path / "own.py"
    path.touch()
    monkeypatch.setattr(Config, "fromfile", missing)
    with pytest.raises(UsageError, match=r"own\.py inherits .* must be installed"):
        load(path)


def test_configs_that_cannot_be_read(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("model = dict(\n")
    with pytest.raises(
        UsageError, match=r"broken\.py, or a config .* is not valid: .* never closed"
    ):
        load(broken)
    text = tmp_path / "config.txt"
    text.touch()
    with pytest.raises(UsageError, match=r"config\.txt is not a \.py, \.yml or"):
        load(text)
    own = tmp_path / "own.py"
    own.write_text("_base_ = 'none.py'\n")
    with pytest.raises(FileNotFoundError, match=r"none\.py"):
        load(own)
    for path in (tmp_path, tmp_path / "none.py"):
        with pytest.raises(FileNotFoundError, match=f"There is no config {path}"):
            load(path)

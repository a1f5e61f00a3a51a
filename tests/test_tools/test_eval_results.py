import importlib.util
import json

import pytest

from ..helpers import toy
from ..helpers.golden import REPO_ROOT, golden_path

TOOL = REPO_ROOT / "tools" / "analysis_tools" / "eval_results.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("eval_results", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_golden_files(tool, tmp_path, capsys):
    files = [str(golden_path(f"ytvis_eval_{n}.json")) for n in ("gt", "results")]
    expected = json.loads(golden_path("ytvis_eval_expected.json").read_text())
    out = tmp_path / "new" / "figures.json"
    tool.main([*files, "--json", str(out)])
    figures = json.loads(out.read_text())
    assert figures["max_dets"] == expected.pop("max_dets")
    per_category = expected.pop("per_category_AP")
    assert figures["per_category_AP"].keys() == per_category.keys()
    pairs = [(figures["per_category_AP"][k], v) for k, v in per_category.items()]
    pairs += [(figures[k], v) for k, v in expected.items()]
    assert len(pairs) == 16
    for value, wanted in pairs:
        assert (value is None) == (wanted is None)
        assert wanted is None or value == pytest.approx(wanted, abs=1e-9)
    printed = capsys.readouterr().out
    assert "15.33" in printed and "36.56" in printed and "class_4" in printed


def test_errors_are_one_sentence(tool, tmp_path):
    gt, results = tmp_path / "gt.json", tmp_path / "results.json"
    gt.write_text(json.dumps(toy.ground_truth()))
    results.write_text(json.dumps(toy.perfect_results()))
    out = tmp_path / "figures.json"
    for files, message in [
        ((results, gt), "results.json holds a JSON list"),
        ((gt, tmp_path / "none.json"), "none.json does not exist"),
        ((gt, results, "--max-dets", "0"), "max_dets must be positive"),
    ]:
        with pytest.raises(SystemExit, match=message) as exit_info:
            tool.main([*map(str, files), "--json", str(out)])
        assert str(exit_info.value).startswith("error: ")
    assert not out.exists()

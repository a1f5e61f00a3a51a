import copy
import json
import zipfile

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmtaformer.evaluation import evaluate_ytvis, format_tables
from mmtaformer.utils.errors import UsageError

from ..helpers import toy
from ..helpers.golden import golden_path


@pytest.fixture
def golden():
    names = ("gt", "results", "expected")
    files = [golden_path(f"ytvis_eval_{name}.json") for name in names]
    return [json.loads(file.read_text()) for file in files]


def assert_equal_figures(result, expected):
    figures = {k: v for k, v in expected.items() if isinstance(v, float)}
    assert len(figures) == 12
    for key, value in figures.items():
        assert result[key] == pytest.approx(value, abs=1e-9), key
    per_category = {str(k): v for k, v in result["per_category_AP"].items()}
    assert per_category.keys() == expected["per_category_AP"].keys()
    for key, value in expected["per_category_AP"].items():
        if value is None:
            assert per_category[key] is None
        else:
            assert per_category[key] == pytest.approx(value, abs=1e-9)


def test_equals_official_code(golden):
    gt, results, expected = golden
    assert_equal_figures(evaluate_ytvis(gt, results), expected)


def test_reads_files_and_submission_zip(golden, tmp_path):
    _, results, expected = golden
    archive = tmp_path / "results.submission_file.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("results.json", json.dumps(results))
    gt_file = golden_path("ytvis_eval_gt.json")
    assert_equal_figures(evaluate_ytvis(gt_file, archive), expected)
    result_file = golden_path("ytvis_eval_results.json")
    assert_equal_figures(evaluate_ytvis(gt_file, result_file), expected)


@pytest.mark.parametrize("shift", [-1, -20, 10**6])
def test_ids_may_be_any_integers(golden, shift):
    """Annotation, video and category ids pass through 0, which is a valid id."""
    gt, results, expected = golden
    for item in (*gt["videos"], *gt["categories"], *gt["annotations"]):
        item["id"] += shift
    for item in (*gt["annotations"], *results):
        item["video_id"] += shift
        item["category_id"] += shift
    result = evaluate_ytvis(gt, results)
    per_category = result["per_category_AP"]
    result["per_category_AP"] = {k - shift: v for k, v in per_category.items()}
    assert_equal_figures(result, expected)


def test_prints_nothing_and_changes_nothing(golden, capsys):
    gt, results, _ = golden
    before = copy.deepcopy((gt, results))
    evaluate_ytvis(gt, results)
    assert (gt, results) == before
    assert capsys.readouterr().out == ""


def test_figures_by_hand():
    """One cat in two frames; the prediction covers 62 % of it, and nothing else."""
    gt = toy.ground_truth()
    del gt["annotations"][1]
    covered = [toy.rectangle(0, 0, 10, 10), toy.rectangle(0, 0, 4, 6)]
    results = [toy.entry(0, 5, 0.5, covered)]  # IoU (100 + 24) / 200
    result = evaluate_ytvis(gt, results)
    assert result["AP"] == pytest.approx(0.3)  # thresholds 0.50, 0.55 and 0.60
    assert (result["AP50"], result["AP75"]) == (pytest.approx(1), 0)
    assert result["AR1"] == result["AR100"] == result["AR_s"] == pytest.approx(0.3)
    assert result["AP_m"] == result["AP_l"] == result["AR_l"] == -1
    assert result["per_category_AP"] == {0: None, 5: pytest.approx(0.3)}
    assert result["category_names"] == {0: "dog", 5: "cat"}


def test_videos_without_results_are_misses():
    result = evaluate_ytvis(toy.ground_truth(), toy.perfect_results()[:1])
    assert result["AR100"] == pytest.approx(0.5)
    assert result["AP"] == pytest.approx(51 / 101)  # recalls 0, 0.01, ... 0.50


def test_no_results_at_all():
    result = evaluate_ytvis(toy.ground_truth(), [])
    assert (result["AP"], result["AR100"], result["AP_l"]) == (0, 0, -1)
    assert result["per_category_AP"] == {0: None, 5: 0}


def test_polygons_and_uncompressed_rle_equal_compressed_rle():
    gt = toy.ground_truth()
    results = [toy.entry(0, 5, 0.5, [toy.rectangle(0, 0, 10, 7), None])]
    expected = evaluate_ytvis(gt, results)

    rectangle = [[0.0, 0.0, 10.0, 0.0, 10.0, 10.0, 0.0, 10.0]]
    gt["annotations"][0]["segmentations"] = [rectangle, rectangle]
    assert evaluate_ytvis(gt, results) == expected

    mask = toy.rectangle(0, 0, 10, 7).flatten(order="F")
    change = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    counts = np.diff(np.concatenate([[0], change, [mask.size]])).tolist()
    uncompressed = {"size": list(toy.SIZE), "counts": counts}
    compressed = mask_utils.frPyObjects(uncompressed, *toy.SIZE)
    assert mask_utils.area(compressed) == 70
    results[0]["segmentations"][0] = uncompressed
    assert evaluate_ytvis(gt, results) == expected


def test_empty_mask_equals_none():
    gt = toy.ground_truth()
    masks = [toy.rectangle(22, 5, 40, 15), None]
    empty = [masks[0], np.zeros(toy.SIZE, bool)]
    results = [[toy.entry(7, 5, 0.5, m)] for m in (masks, empty)]
    assert results[0] != results[1]
    first, second = (evaluate_ytvis(gt, entries) for entries in results)
    assert 0 < first["AP"] < 1
    assert first == second


def test_missing_areas_and_iscrowd_are_filled_in():
    gt = toy.ground_truth()
    for annotation in gt["annotations"]:
        del annotation["areas"], annotation["iscrowd"]
    result = evaluate_ytvis(gt, toy.perfect_results())
    assert result == evaluate_ytvis(toy.ground_truth(), toy.perfect_results())
    assert result["AP_s"] == pytest.approx(1)


def test_crowds_are_neither_found_nor_missed():
    gt = toy.ground_truth()
    gt["annotations"][1]["iscrowd"] = 1
    result = evaluate_ytvis(gt, toy.perfect_results())
    assert (result["AP"], result["AR100"]) == (pytest.approx(1), pytest.approx(1))


def test_max_dets():
    """The better instance comes second, so only max_dets=2 finds it."""
    gt = toy.ground_truth()
    wrong = toy.entry(0, 5, 0.99, [toy.rectangle(30, 12, 40, 24)] * 2)
    results = [wrong, *toy.perfect_results()]
    result = evaluate_ytvis(gt, results, max_dets=(2, 1))
    assert result["max_dets"] == [1, 2]
    assert (result["AR1"], result["AR2"]) == (pytest.approx(0.5), pytest.approx(1))
    assert "AR100" not in result
    assert evaluate_ytvis(gt, results)["AP"] == result["AP"]
    for wrong in ((), (0, 1), (True,), (1.5,)):
        with pytest.raises(UsageError, match="max_dets"):
            evaluate_ytvis(gt, results, max_dets=wrong)


def test_classes_restrict_the_evaluation():
    gt = toy.ground_truth()
    masks = [toy.rectangle(0, 10, 8, 20)] * 2
    gt["annotations"].append(toy.annotation(4, 0, 0, masks))
    everything = evaluate_ytvis(gt, toy.perfect_results())
    only_cats = evaluate_ytvis(gt, toy.perfect_results(), classes=["cat"])
    assert everything["AP"] == pytest.approx(0.5)
    assert only_cats["AP"] == pytest.approx(1)
    assert only_cats["per_category_AP"] == {5: pytest.approx(1)}
    with pytest.raises(ValueError, match="horse"):
        evaluate_ytvis(gt, [], classes=["cat", "horse"])


def test_tables_show_every_figure():
    gt = toy.ground_truth()
    result = evaluate_ytvis(gt, [toy.perfect_results()[0]])
    text = format_tables(result)
    for name in ("AP75", "AP_l", "AR1", "AR100", "AR_m", "cat", "dog"):
        assert name in text
    assert "50.50" in text
    assert next(row for row in text.splitlines() if "dog" in row).count(" - ") == 1

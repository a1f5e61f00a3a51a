import json
import zipfile

import numpy as np
import pytest

from mmtaformer.evaluation import load_ground_truth, load_results, save_results

from ..helpers import toy


def test_ground_truth_without_annotations(tmp_path):
    """The published validation files are such; results can be written for them."""
    content = toy.ground_truth()
    content["annotations"] = None
    path = tmp_path / "valid.json"
    path.write_text(json.dumps(content))
    assert load_ground_truth(path, need_annotations=False)["annotations"] == []
    with pytest.raises(ValueError, match=r"valid\.json has no annotations"):
        load_ground_truth(path)


def test_results_round_trip(tmp_path):
    results = toy.perfect_results()
    json_path, zip_path = save_results(results, str(tmp_path / "run" / "results"))
    assert json_path == tmp_path / "run" / "results.json"
    assert zip_path == tmp_path / "run" / "results.submission_file.zip"
    assert sorted(json_path.parent.iterdir()) == [json_path, zip_path]
    gt = toy.ground_truth()
    assert load_results(json_path, gt) == load_results(zip_path, gt) == results


def broken(**changes):
    return [*toy.perfect_results(), {**toy.perfect_results()[0], **changes}]


def without(key):
    return [{k: v for k, v in toy.perfect_results()[0].items() if k != key}]


ODD_SIZE = {"size": [12, 20], "counts": "`7"}


@pytest.mark.parametrize(
    "results, message",
    [
        (without("score"), "entry 0 lacks score"),
        (without("segmentations"), "entry 0 lacks segmentations"),
        ([3], "entry 0 lacks video_id, category_id, score, segmentations"),
        (broken(video_id=4), "entry 2: video_id 4 is not in the ground-truth file"),
        (broken(category_id=9), "entry 2: category_id 9 is not in the ground-truth"),
        (broken(segmentations=[None]), "entry 2: found 1 segmentations.* 2 frames"),
        (broken(segmentations=None), "entry 2: found no segmentations"),
        (broken(segmentations=[ODD_SIZE, None]), r"frame 0 .*\(12, 20\).*\(24, 40\)"),
        (broken(segmentations=[None, {"size": [24, 40]}]), "mask of frame 1"),
        (broken(score="high"), "the score high is not a number"),
        (broken(score=float("nan")), "the score nan is not a number"),
        ({"annotations": []}, "holds a JSON dict, but a results file is a list"),
    ],
)
def test_bad_results_name_the_entry(tmp_path, results, message):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    with pytest.raises(ValueError, match=f"results.json.*{message}") as error:
        load_results(path, toy.ground_truth())
    assert "\n" not in str(error.value)


def test_bad_results_files(tmp_path):
    gt = toy.ground_truth()
    with pytest.raises(FileNotFoundError, match=r"none\.json does not exist"):
        load_results(tmp_path / "none.json", gt)
    truncated = tmp_path / "truncated.json"
    truncated.write_text(json.dumps(toy.perfect_results())[:-9])
    with pytest.raises(ValueError, match=r"truncated\.json is not valid JSON"):
        load_results(truncated, gt)
    archive = tmp_path / "empty.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "")
    with pytest.raises(ValueError, match=r"empty\.zip holds 0 JSON files"):
        load_results(archive, gt)


def test_numpy_scores_are_accepted():
    results = toy.perfect_results()
    results[0]["score"] = np.float32(0.5)
    assert load_results(results, toy.ground_truth())[0]["score"] == 0.5

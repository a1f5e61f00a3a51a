import json
import zipfile

import numpy as np
import pytest

from mmtaformer.utils.errors import DataError
from mmtaformer.ytvis import json_files
from mmtaformer.ytvis.results import load_ground_truth, load_results, save_results

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
        (
            broken(video_id=4),
            "entry 2 has video_id 4, which is not in the ground-truth file",
        ),
        (
            broken(category_id=9),
            "entry 2 has category_id 9, which is not in the ground-",
        ),
        (broken(segmentations=[None]), "entry 2 has 1 'segmentations'.* 2 frames"),
        (broken(segmentations=None), "entry 2 has no 'segmentations'"),
        (broken(segmentations=[ODD_SIZE, None]), r"frame 0: .*\(12, 20\).*\(24, 40\)"),
        (
            broken(segmentations=[None, {"size": [24, 40]}]),
            "entry 2, video 0, frame 1: the mask is neither",
        ),
        (broken(score="high"), "the score 'high' is not a finite number"),
        (broken(score=float("nan")), "the score nan is not a finite number"),
        (broken(score=True), "the score True is not a finite number"),
        (broken(score=10**400), "the score 1000.*000 is not a finite number"),
        (broken(score=float("-inf")), "the score -inf is not a finite number"),
        (broken(video_id=True), "entry 2 has video_id True, which is not in"),
        (broken(video_id=0.0), r"entry 2 has video_id 0.0, which is not in"),
        (broken(category_id=[5]), r"entry 2 has category_id \[5\], which is not in"),
        (broken(segmentations=[{"size": None, "counts": ""}, None]), "'size' of the"),
        (broken(segmentations=[[[1, 2, 3, 4]], None]), "video 0, frame 0: .* 2 points"),
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


def zipped(path, text):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("results.json", text)
    return path


def test_damaged_zips(tmp_path):
    path = zipped(tmp_path / "r.zip", json.dumps(toy.perfect_results()))
    content = bytearray(path.read_bytes())
    content[content.index(b"results.json") + 20] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"r\.zip is a broken zip"):
        load_results(path, toy.ground_truth())


def test_zips_that_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(json_files, "_FREE_SIZE", 2**21)
    blanks = zipped(tmp_path / "r.zip", "[]" + " " * 2**22)
    with pytest.raises(DataError, match=r"r\.zip unpacks to more than 2 MiB"):
        load_results(blanks, toy.ground_truth())
    # Large results that shrink as results do are taken.
    shrinking = "[" + ",".join(map(str, range(2**19))) + "]"
    assert len(shrinking) > 2**21
    with pytest.raises(DataError, match="entry 0 lacks"):
        load_results(zipped(tmp_path / "s.zip", shrinking), toy.ground_truth())


def test_polygons_become_masks_of_the_size_of_the_video():
    results = toy.perfect_results()[:1]
    polygon = [[0.0, 0.0, 10.0, 0.0, 10.0, 10.0, 0.0, 10.0]]
    results[0]["segmentations"] = [polygon, []]
    (entry,) = load_results(results, toy.ground_truth())
    assert entry["segmentations"] == [toy.to_rle(toy.rectangle(0, 0, 10, 10)), None]


def test_ground_truth_in_memory_is_checked():
    content = toy.ground_truth()
    content["annotations"][1]["iscrowd"] = -1
    with pytest.raises(DataError, match="the ground truth: annotation 3 has 'iscrowd'"):
        load_ground_truth(content)


def test_numpy_scores_are_accepted():
    results = toy.perfect_results()
    results[0]["score"] = np.float32(0.5)
    assert load_results(results, toy.ground_truth())[0]["score"] == 0.5

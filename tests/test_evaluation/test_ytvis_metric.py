import json
import multiprocessing

import pytest
import torch
from mmdet.registry import METRICS
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import Evaluator

from mmtaformer.evaluation import YTVISMetric, evaluate_ytvis
from mmtaformer.utils.errors import DataError, UsageError

from ..helpers import toy
from ..helpers.golden import golden_path

LABELS = {5: 0, 0: 1}


@pytest.fixture
def ann_file(tmp_path):
    path = tmp_path / "valid.json"
    path.write_text(json.dumps(toy.ground_truth()))
    return str(path)


def evaluator_of(ann_file, classes=toy.CLASSES, **kwargs):
    evaluator = Evaluator(
        METRICS.build({"type": "YTVISMetric", "ann_file": ann_file, **kwargs})
    )
    evaluator.dataset_meta = {"classes": classes}
    return evaluator


def samples_of(results, gt, labels, as_rle=False):
    return [
        toy.track_sample(
            video["id"],
            [entry for entry in results if entry["video_id"] == video["id"]],
            labels,
            len(video["file_names"]),
            as_rle,
            (video["height"], video["width"]),
        )
        for video in gt["videos"]
    ]


@pytest.mark.parametrize("as_rle", [False, True])
def test_golden_results_through_the_evaluator(as_rle):
    """Classes stand in another order than in the file; labels follow the names."""
    gt_file = golden_path("ytvis_eval_gt.json")
    gt = json.loads(gt_file.read_text())
    results = json.loads(golden_path("ytvis_eval_results.json").read_text())
    expected = json.loads(golden_path("ytvis_eval_expected.json").read_text())
    categories = gt["categories"][::-1]
    labels = {category["id"]: label for label, category in enumerate(categories)}
    evaluator = evaluator_of(str(gt_file), [c["name"] for c in categories])
    samples = samples_of(results, gt, labels, as_rle)
    for start in range(0, len(samples), 2):
        evaluator.process(samples[start : start + 2])
    figures = evaluator.evaluate(len(samples))
    expected = {k: v for k, v in expected.items() if isinstance(v, float)}
    assert figures.keys() == {f"youtube_vis/{key}" for key in expected}
    for key, value in expected.items():
        assert figures[f"youtube_vis/{key}"] == pytest.approx(value, abs=1e-9)


def test_format_only_writes_a_submission(tmp_path):
    """The published validation file has no annotations."""
    gt = toy.ground_truth()
    results = toy.perfect_results()
    samples = samples_of(results, gt, LABELS)
    del gt["annotations"]
    path = tmp_path / "valid.json"
    path.write_text(json.dumps(gt))
    prefix = tmp_path / "out" / "results"
    evaluator = evaluator_of(str(path), outfile_prefix=str(prefix), format_only=True)
    evaluator.process(samples)
    assert evaluator.evaluate(2) == {}
    assert json.loads(prefix.with_suffix(".json").read_text()) == results
    names = {path.name for path in prefix.parent.iterdir()}
    assert names == {"results.json", "results.submission_file.zip"}
    with pytest.raises(ValueError, match="has no annotations"):
        YTVISMetric(str(path))
    with pytest.raises(UsageError, match="outfile_prefix"):
        YTVISMetric(str(path), format_only=True)
    with pytest.raises(UsageError, match="max_dets"):
        YTVISMetric(str(path), outfile_prefix="r", format_only=True, max_dets=[0])


def test_broken_masks_are_found_before_training(tmp_path):
    """The metric is built with the runner, long before it has to evaluate."""
    gt = toy.ground_truth()
    gt["annotations"][1]["segmentations"][0]["counts"] = "Q1460_"
    path = tmp_path / "valid.json"
    path.write_text(json.dumps(gt))
    with pytest.raises(DataError, match=r"valid.json: annotation 3, video 7, frame 0"):
        YTVISMetric(str(path))


def test_written_results_evaluate_to_the_same_figures(ann_file, tmp_path):
    results = [toy.entry(0, 5, 1 / 3, [toy.rectangle(0, 0, 8, 9), None])]
    evaluator = evaluator_of(ann_file, outfile_prefix=str(tmp_path / "r"))
    evaluator.process(samples_of(results, toy.ground_truth(), LABELS))
    figures = evaluator.evaluate(2)
    offline = evaluate_ytvis(ann_file, tmp_path / "r.json")
    assert figures == {
        f"youtube_vis/{k.split('/')[-1]}": offline[k.split("/")[-1]] for k in figures
    }
    assert offline["AP"] != -1


def test_second_run_starts_empty(ann_file):
    evaluator = evaluator_of(ann_file)
    samples = samples_of(toy.perfect_results(), toy.ground_truth(), LABELS)
    evaluator.process(samples)
    assert evaluator.evaluate(2)["youtube_vis/AP"] == pytest.approx(1)
    evaluator.process(samples[:1])
    assert evaluator.evaluate(2)["youtube_vis/AR100"] == pytest.approx(0.5)


def test_repeated_videos_count_once_wherever_they_stand(ann_file):
    """A sampler may repeat videos before all others have come."""
    evaluator = evaluator_of(ann_file)
    samples = samples_of(toy.perfect_results(), toy.ground_truth(), LABELS)
    evaluator.process([samples[0], samples[0], samples[1]])
    assert evaluator.evaluate(2)["youtube_vis/AP"] == pytest.approx(1)


def test_bad_input_is_named(ann_file):
    evaluator = evaluator_of(ann_file)
    results = [toy.entry(0, 5, 0.5, [None, None])]
    with pytest.raises(ValueError, match=r"video 4 is not in .*valid\.json"):
        evaluator.process([toy.track_sample(4, results, LABELS, length=2)])
    with pytest.raises(ValueError, match="got 1 frames of video 0, which has 2"):
        evaluator.process([toy.track_sample(0, results, LABELS, length=1)])
    small = [toy.entry(0, 5, 0.5, [toy.rectangle(0, 0, 5, 5)[:12, :20]] * 2)]
    with pytest.raises(ValueError, match=r"video 0, entry 0.*\(12, 20\)"):
        evaluator.process([toy.track_sample(0, small, LABELS, 2, size=(12, 20))])
    with pytest.raises(ValueError, match="horse"):
        evaluator_of(ann_file, classes=("cat", "horse"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        YTVISMetric("nowhere.json")


def _evaluate_on_rank(rank, world_size, folder, ann_file, samples, queue):
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/rendezvous", rank=rank, world_size=world_size
    )
    metric = YTVISMetric(
        ann_file,
        outfile_prefix=f"{folder}/results",
        collect_dir=f"{folder}/parts",
        per_class=False,
    )
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = {"classes": toy.CLASSES}
    indices = list(DefaultSampler(samples, shuffle=False))
    for index in indices:
        evaluator.process([samples[index]])
    queue.put((rank, indices, evaluator.evaluate(len(samples))))
    torch.distributed.destroy_process_group()


def test_two_processes_share_three_videos(tmp_path):
    """The sampler gives one video twice; every video is evaluated once."""
    gt, results = toy.ground_truth(), toy.perfect_results()
    gt["videos"].append(toy.video(8))
    masks = [toy.rectangle(3, 3, 9, 9)] * 2
    gt["annotations"].append(toy.annotation(9, 8, 5, masks))
    # Counted twice, this false alarm would lower the precision further.
    results.append(toy.entry(0, 5, 0.95, [toy.rectangle(25, 12, 40, 24)] * 2))
    results.append(toy.entry(8, 5, 0.9, masks))
    ann_file = tmp_path / "valid.json"
    ann_file.write_text(json.dumps(gt))
    samples = samples_of(results, gt, LABELS)

    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    arguments = (2, str(tmp_path), str(ann_file), samples, queue)
    processes = [
        context.Process(target=_evaluate_on_rank, args=(rank, *arguments))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    outcomes = sorted(queue.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(60)

    assert [indices for _, indices, _ in outcomes] == [[0, 2], [1, 0]]
    expected = evaluate_ytvis(gt, results)
    assert 0 < expected["AP"] < 1
    for _, _, figures in outcomes:
        assert figures["youtube_vis/AP"] == expected["AP"]
        assert figures["youtube_vis/AR1"] == expected["AR1"]
    written = json.loads((tmp_path / "results.json").read_text())
    assert sorted(e["score"] for e in written) == sorted(e["score"] for e in results)

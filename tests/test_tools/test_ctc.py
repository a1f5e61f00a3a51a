import json

import cv2
import numpy as np
import pytest

from mmtaformer.datasets import YTVISDataset
from mmtaformer.evaluation import evaluate_ytvis

HEIGHT, WIDTH, COUNT = 40, 90, 6


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("dataset_converters/ctc.py")


def discs(t):
    """(x, y, identity) of three discs: two move, the third appears in frame 3."""
    found = [(10 + 2 * t, 10, 1), (80 - 2 * t, 30, 2)]
    return found + ([(45, 20, 3)] if t >= 3 else [])


def label_image(t, numbers):
    image = np.zeros((HEIGHT, WIDTH), np.uint16)
    for x, y, identity in discs(t):
        cv2.circle(image, (x, y), 5, numbers(t, identity), -1)
    return image


@pytest.fixture
def sequence(tmp_path):
    """Images, labels numbered anew in every frame, and labels that are identities."""
    rng = np.random.default_rng(0)
    for name, numbers in (
        ("labels", lambda t, identity: 1 + (identity + t) % 3),
        ("tracked", lambda t, identity: 10 * identity),
    ):
        (tmp_path / name).mkdir()
        for t in range(COUNT):
            image = label_image(t, numbers)
            cv2.imwrite(str(tmp_path / name / f"man_track{t:03d}.tif"), image)
    (tmp_path / "tracked" / "man_track.txt").write_text(
        "10 0 5 0\n20 0 5 0\n30 3 5 10\n"
    )
    images = [
        (
            1000
            + 3000 * (label_image(t, lambda t, i: 1) > 0)
            + rng.integers(0, 50, (HEIGHT, WIDTH))
        ).astype(np.uint16)
        for t in range(COUNT)
    ]
    cv2.imwritemulti(str(tmp_path / "images.tif"), images)
    return tmp_path


def annotations(path):
    return json.loads(path.read_text())


def test_linked_labels_equal_known_identities(tool, sequence):
    """Both ways give the same annotations, whatever the labels are called."""
    files = []
    for name in ("labels", "tracked"):
        out = sequence / f"out_{name}"
        tool.main(
            [str(sequence / "images.tif"), str(sequence / name), "--out", str(out)]
        )
        files.append(out / "train.json")
    first, second = map(annotations, files)
    key = lambda a: json.dumps(a["segmentations"])  # noqa: E731
    tubes = [sorted(map(key, content["annotations"])) for content in (first, second)]
    assert tubes[0] == tubes[1] and len(tubes[0]) == 3
    third = [a for a in first["annotations"] if a["segmentations"][0] is None]
    assert len(third) == 1 and third[0]["segmentations"][3] is not None


def test_data_set_can_be_read_and_evaluated(tool, sequence):
    out = sequence / "out"
    tool.main(
        [str(sequence / "images.tif"), str(sequence / "labels"), "--out", str(out)]
    )
    dataset = YTVISDataset(
        data_root=str(out),
        ann_file="train.json",
        data_prefix={"img_path": "train/JPEGImages"},
        pipeline=[],
    )
    assert list(dataset.metainfo["classes"]) == ["nucleus"]
    assert [len(i["instances"]) for i in dataset[0]["images"]] == [2, 2, 2, 3, 3, 3]
    content = annotations(out / "train.json")
    results = [
        {k: a[k] for k in ("video_id", "category_id", "segmentations")} | {"score": 1.0}
        for a in content["annotations"]
    ]
    assert evaluate_ytvis(content, results)["AP"] == pytest.approx(1)
    frame = cv2.imread(dataset[0]["images"][0]["img_path"], cv2.IMREAD_UNCHANGED)
    assert frame.dtype == np.uint8 and frame.shape == (HEIGHT, WIDTH)
    assert frame[10, 10] > 200 and frame[10, 60] < 40


def test_tiles(tool, sequence):
    """Three columns of two tiles; the middle one is held out and seen by no other."""
    out = sequence / "out"
    arguments = [str(sequence / "images.tif"), str(sequence / "labels")]
    tile = ["--tile", "30", "20", "--overlap", "0.5", "--min-area", "15"]
    tool.main([*arguments, "--out", str(out), *tile])
    train, val = (annotations(out / f"{split}.json") for split in ("train", "val"))
    assert [v["file_names"][0][:11] for v in val["videos"]] == [
        "x0030_y0000",
        "x0030_y0020",
    ]
    places = {v["file_names"][0][:11] for v in train["videos"]}
    assert places == {f"x{x:04d}_y{y:04d}" for x in (0, 60) for y in (0, 10, 20)}
    whole = tool.link_by_centroid(tool.read_stack(sequence / "labels"), 22)
    for content in (train, val):
        for annotation in content["annotations"]:
            video = content["videos"][annotation["video_id"] - 1]
            x, y = (int(video["file_names"][0][i : i + 4]) for i in (1, 7))
            inside = whole[:, y : y + 20, x : x + 30]
            areas = [a or 0 for a in annotation["areas"]]
            sums = [(inside == i).sum(axis=(1, 2)) for i in np.unique(inside)[1:]]
            cut = [np.where(s >= 15, s, 0).tolist() for s in sums]
            assert areas in cut and max(areas) >= 15


def test_far_objects_are_not_linked(tool):
    labels = np.zeros((2, 20, 60), np.uint16)
    labels[0, 5:10, 5:10] = labels[1, 5:10, 45:50] = 1
    assert len(np.unique(tool.link_by_centroid(labels, 22))) == 3
    assert len(np.unique(tool.link_by_centroid(labels, 45))) == 2


def test_what_divides_ends(tool):
    """Both halves are new; a newcomer beside an object that goes on ends nothing."""
    labels = np.zeros((3, 40, 90), np.uint16)
    for t, centres in enumerate(
        ([(20, 20), (70, 20)], [(20, 20), (71, 20)], [(14, 20), (27, 20), (72, 20)])
    ):
        for number, centre in enumerate(centres, start=1):
            cv2.circle(labels[t], centre, 4, number, -1)
    cv2.circle(labels[1], (80, 35), 4, 3, -1)
    linked = tool.link_by_centroid(labels, 22)
    mother = linked[0, 20, 20]
    assert linked[1, 20, 20] == mother
    halves = {linked[2, 20, 14], linked[2, 20, 27]}
    assert len(halves) == 2 and mother not in halves
    assert linked[0, 20, 70] == linked[1, 20, 71] == linked[2, 20, 72]
    assert len(np.unique(linked)) == 1 + 5


def test_frames_without_objects(tool):
    labels = np.zeros((3, 20, 20), np.uint16)
    labels[0, 5:10, 5:10] = labels[2, 5:10, 5:10] = 4
    linked = tool.link_by_centroid(labels, 22)
    assert linked.max() == 2 and linked[1].max() == 0


def test_mistakes_are_one_sentence(tool, sequence):
    images, labels = str(sequence / "images.tif"), sequence / "labels"
    out = ["--out", str(sequence / "out")]
    (sequence / "few").mkdir()
    cv2.imwrite(str(sequence / "few" / "a.tif"), np.zeros((HEIGHT, WIDTH), np.uint16))
    (sequence / "bad.txt").write_text("one two\n")
    (sequence / "short.txt").write_text("1 0 0 0\n")
    cases = [
        ([str(sequence / "none.tif"), str(labels)], "none.tif does not exist"),
        ([images, str(sequence / "few")], "labels of one sequence|one sequence"),
        (
            [images, str(labels), "--tracks", str(sequence / "bad.txt")],
            "no man_track.txt",
        ),
        (
            [images, str(labels), "--tracks", str(sequence / "short.txt")],
            "does not have label",
        ),
        (
            [images, str(labels), "--tile", "80", "20"],
            "at least two columns|two columns",
        ),
        (
            [images, str(labels), "--tile", "30", "20", "--hold-out", "3"],
            "hold-out is 3",
        ),
    ]
    for arguments, words in cases:
        with pytest.raises(SystemExit, match=f"error: .*({words})"):
            tool.main([*arguments, *out])
        assert not (sequence / "out" / "train.json").exists()


def test_what_exists_is_not_replaced(tool, sequence):
    arguments = [str(sequence / "images.tif"), str(sequence / "labels")]
    arguments += ["--out", str(sequence / "out")]
    tool.main(arguments)
    with pytest.raises(SystemExit, match="exists; remove it"):
        tool.main(arguments)

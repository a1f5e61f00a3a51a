import json

import numpy as np
import pytest

from mmtaformer.evaluation import evaluate_ytvis, load_ground_truth
from mmtaformer.synthvis import write_synthvis
from mmtaformer.synthvis.ceilings import (
    DEFORM_ORACLES,
    IDENTITY_ORACLES,
    blank_share,
    ceiling_results,
)
from mmtaformer.utils.errors import DataError

SIZE = (40, 60)


def square(x, y=15, side=8):
    mask = np.zeros(SIZE, bool)
    mask[y : y + side, x : x + side] = True
    return mask


@pytest.fixture(scope="module", params=["deform", "identity"])
def truth(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    path = write_synthvis(root, "val", 4, 12, (96, 64), 0, request.param)
    return path, load_ground_truth(path)


def test_an_object_on_a_straight_line():
    """It moves by four pixels a frame and is not drawn in the frames 1 and 2."""
    masks = np.stack([square(4 * t) for t in range(6)])[None]
    shown = np.array([[True, False, False, True, True, True]])
    alone, mean, nearest, between = (f(masks, shown) for f in DEFORM_ORACLES.values())
    np.testing.assert_array_equal(alone, masks & shown[..., None, None])
    np.testing.assert_array_equal(nearest[0, 1:3], masks[0, [0, 3]])
    np.testing.assert_array_equal(between, masks)
    # Mean of the places 0, 12, 16, 20.
    np.testing.assert_array_equal(mean[0, 1:3], [square(12)] * 2)
    for found in (mean, nearest, between):
        np.testing.assert_array_equal(found[shown], masks[shown])


def test_two_objects_that_pass_each_other():
    """They are coloured in the first frame; then each goes to the other's place."""
    down = np.stack([square(20, y=2 + 4 * t) for t in range(7)])
    up = np.stack([square(34, y=26 - 4 * t) for t in range(7)])
    masks = np.stack([down, up])
    shown = np.zeros((2, 7), bool)
    shown[:, 0] = True
    found = {name: oracle(masks, shown) for name, oracle in IDENTITY_ORACLES.items()}
    np.testing.assert_array_equal(found["followed from frame to frame"], masks)
    everybody = found["its frame alone, everybody where it is grey"]
    np.testing.assert_array_equal(everybody[0, 1:], (down | up)[1:])
    guess = found["its frame alone, a guess where it is grey"]
    for time in range(7):
        pair = {guess[i, time].tobytes() for i in range(2)}
        assert pair == {masks[i, time].tobytes() for i in range(2)}
    assert (guess[0] != masks[0]).any()


def test_a_guess_is_right_in_half_of_the_frames_wherever_they_are():
    """Not in the same ones in every video, or a model could know which they are."""
    oracle = IDENTITY_ORACLES["its frame alone, a guess where it is grey"]
    shown = np.zeros((2, 6), bool)
    shown[:, 0] = True
    right = []
    for x in range(100):
        masks = np.stack([[square(x // 3, y=x % 3)] * 6, [square(40, y=30)] * 6])
        right.append((oracle(masks, shown)[0] == masks[0]).all(axis=(1, 2)))
    share = np.mean(right, axis=0)
    assert share[0] == 1
    assert (share[1:] > 0.3).all() and (share[1:] < 0.7).all()


def test_ceilings_of_generated_videos_rise_with_what_is_known(truth):
    _, ground_truth = truth
    precisions = [
        evaluate_ytvis(ground_truth, results)["AP"]
        for _, results in ceiling_results(ground_truth)
    ]
    assert precisions[0] < 0.4 < precisions[-1]
    assert max(precisions) == precisions[-1]
    assert 0.3 < blank_share(ground_truth) < 0.9


def test_other_files_are_named(truth):
    path, _ = truth
    content = json.loads(path.read_text())
    del content["annotations"][0]["visibilities"]
    with pytest.raises(DataError, match="Annotation 1 has no 'visibilities'"):
        list(ceiling_results(load_ground_truth(content)))


def test_tools_print_ceilings_beside_results(truth, load_tool, tmp_path, capsys):
    path, ground_truth = truth
    load_tool("analysis_tools/synthvis_ceilings.py").main([str(path), "--write"])
    printed = capsys.readouterr().out
    assert "AP75" in printed and "Blank:" in printed
    name, results = list(ceiling_results(ground_truth))[-1]
    (tmp_path / "results.json").write_text(json.dumps(results))
    tool = load_tool("analysis_tools/eval_results.py")
    tool.main([str(path), str(tmp_path / "results.json")])
    printed = capsys.readouterr().out
    assert "where drawn" in printed and "where weakened" in printed
    assert f"{100 * evaluate_ytvis(ground_truth, results)['AP']:.1f}" in printed
    assert name in printed

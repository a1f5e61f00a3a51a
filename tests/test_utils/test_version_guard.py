import pytest

from mmtaformer.utils.version_guard import check_stack, find_problem

ONEDL = {
    "torch": "2.13.0+cpu",
    "onedl-mmengine": "0.10.12",
    "onedl-mmcv": "2.3.6",
    "onedl-mmdetection": "3.5.1",
}
OPENMMLAB = {
    "torch": "2.13.0+cu130",
    "mmengine": "0.10.7",
    "mmcv": "2.1.0",
    "mmdet": "3.3.0",
}


def problem(installed, not_importable=()):
    """The sentence for the given distributions; None means removed."""
    present = {name: version for name, version in installed.items() if version}
    sentence = find_problem(present.get, lambda name: name not in not_importable)
    if sentence is not None:
        assert sentence.endswith(".")
        assert ". " not in sentence
        assert "pip " in sentence
    return sentence


@pytest.mark.parametrize("stack", [ONEDL, OPENMMLAB])
def test_both_stacks_are_accepted(stack):
    assert problem(stack) is None


def test_what_is_installed_here_is_accepted():
    check_stack()


@pytest.mark.parametrize(
    ("stack", "change", "named"),
    [
        (ONEDL, {"torch": "2.14.0"}, ["torch", "found 2.14.0", "torch==2.13.0"]),
        (ONEDL, {"torch": "2.5.1"}, ["torch>=2.6", "found 2.5.1"]),
        (ONEDL, {"onedl-mmcv": "2.2.0"}, ["onedl-mmcv", "2.2.0", "MMCV_WITH_OPS=1"]),
        (OPENMMLAB, {"mmcv": "2.2.0"}, ["mmcv", "found 2.2.0", "'mmcv==2.1.0'"]),
        (OPENMMLAB, {"mmdet": "2.28.2"}, ["mmdet", "found 2.28.2", "mmdet==3.3.0"]),
        (OPENMMLAB, {"mmengine": "0.10.4"}, ["mmengine", "0.10.4", "0.10.7"]),
    ],
)
def test_wrong_versions(stack, change, named):
    sentence = problem({**stack, **change})
    assert all(part in sentence for part in named)


def test_missing_packages():
    sentence = problem({**OPENMMLAB, "mmdet": None}, ["mmdet"])
    assert "mmdet" in sentence
    assert "not installed" in sentence
    # Somebody with nothing is sent to the default stack.
    assert "onedl-mmengine" in problem({"torch": "2.13.0"}, ["mmengine", "mmcv"])


def test_source_checkout_on_the_path_is_accepted():
    assert problem({**OPENMMLAB, "mmdet": None}) is None


def test_mixed_stacks_name_both():
    sentence = problem({**ONEDL, "mmcv": "2.1.0"})
    assert "onedl-mmcv 2.3.6" in sentence
    assert "(mmcv 2.1.0)" in sentence
    assert "pip uninstall -y" in sentence


def test_mmcv_without_operators():
    sentence = problem(ONEDL, ["mmcv._ext"])
    assert "compiled operators" in sentence
    assert "MMCV_WITH_OPS=1" in sentence

import errno

import numpy as np
import pytest

from mmtaformer.utils.errors import DataError, UsageError
from mmtaformer.utils.launch import friendly_errors
from mmtaformer.utils.launch.options import parse_value
from mmtaformer.ytvis import instances


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UsageError("--a needs --b."), "error: --a needs --b."),
        (DataError("x.json: video 3 has no size."), "error: x.json: video 3 has no"),
        (FileNotFoundError("There is no x.py."), "error: There is no x.py."),
        (FloatingPointError("The loss is not finite."), "error: The loss is not"),
        (
            OSError(errno.ENOSPC, "No space", "a/epoch_1.pth"),
            "full while a/epoch_1.pth",
        ),
        (OSError(errno.ENOSPC, "No space"), "error: The disk is full. Make space"),
    ],
)
def test_what_a_user_can_put_right_is_one_sentence(error, sentence):
    with pytest.raises(SystemExit) as caught, friendly_errors():
        raise error
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        TypeError("a bug"),
        KeyError("a bug"),
        OSError(errno.EPERM, "not permitted"),
    ],
)
def test_other_errors_keep_their_traceback(error):
    with pytest.raises(type(error)) as caught, friendly_errors():
        raise error
    assert caught.value is error


def test_bugs_inside_of_the_package_keep_their_traceback(monkeypatch):
    """zip(strict=True), NumPy and plain ValueErrors, whose last frame is ours."""
    module = instances.__dict__
    for broken in (
        "def broken(): return list(zip([1], [], strict=True))",
        "def broken(): return np.zeros(2) + np.zeros(3)",
    ):
        exec(compile(broken, instances.__file__, "exec"), {**module, "np": np}, module)
        with pytest.raises(ValueError, match="argument|operands"), friendly_errors():
            instances.broken()
    del module["broken"]
    with pytest.raises(ValueError, match="do not match"), friendly_errors():
        parse_value("[1")

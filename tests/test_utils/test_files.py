import pytest

from mmtaformer.utils.files import atomic_path


def test_atomic_path_leaves_nothing_when_the_block_fails(tmp_path):
    target = tmp_path / "new" / "file.json"
    with atomic_path(target) as partial:
        partial.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]

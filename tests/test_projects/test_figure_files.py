import pytest
from figure_files import save_figure
from matplotlib.figure import Figure

from .conftest import is_written


@pytest.mark.parametrize("name", ["curve", "curve.png", "curve.pdf"])
def test_png_and_pdf(tmp_path, name):
    out = tmp_path / "figures"
    assert save_figure(Figure(), out / name) == (out / "curve.png", out / "curve.pdf")
    assert is_written(out / "curve")
    before = (out / "curve.pdf").read_bytes()
    save_figure(Figure(), out / name)
    assert (out / "curve.pdf").read_bytes() == before


def test_a_dot_in_the_name(tmp_path):
    assert save_figure(Figure(), tmp_path / "v1.5")[0] == tmp_path / "v1.5.png"


def test_nothing_is_left_by_a_failure(tmp_path, monkeypatch):
    def fail(self, path, **kwargs):
        path.write_text("half a picture")
        raise RuntimeError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(RuntimeError):
        save_figure(Figure(), tmp_path / "out" / "curve")
    assert list((tmp_path / "out").iterdir()) == []

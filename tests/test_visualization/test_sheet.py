import numpy as np
import pytest

from mmtaformer.utils.errors import UsageError
from mmtaformer.visualization import SheetClip, contact_sheet, read_frame


def pictures(count, size, first_color):
    """Pictures of one colour each, which is found nowhere else on the page."""
    return [
        np.full((*size, 3), (first_color + i, 250, 3), np.uint8) for i in range(count)
    ]


def test_rows_lie_under_each_other_and_time_runs_to_the_right(tmp_path):
    clips = [
        SheetClip(
            "first",
            ["frame 0", "frame 4", "frame 9"],
            {
                "ground truth": pictures(3, (60, 100), 0),
                "prediction": pictures(3, (60, 100), 10),
            },
        ),
        SheetClip("second", ["frame 0"], {"prediction": pictures(1, (90, 50), 20)}),
    ]
    path = tmp_path / "sheets" / "sheet.png"
    contact_sheet(path, clips, title="A title")
    page = read_frame(path)

    corners = {}
    for color in (0, 1, 2, 10, 11, 12, 20):
        rows, columns = np.nonzero((page == (color, 250, 3)).all(axis=-1))
        size = (90, 50) if color == 20 else (60, 100)
        assert len(rows) == size[0] * size[1]
        corners[color] = (rows.min(), columns.min())
        assert np.ptp(rows) + 1 == size[0] and np.ptp(columns) + 1 == size[1]
    assert corners[0][0] == corners[1][0] == corners[2][0]
    assert corners[0][1] < corners[1][1] - 100 < corners[2][1] - 200
    for color in (0, 1, 2):
        assert corners[color + 10][1] == corners[color][1]
        assert corners[color + 10][0] >= corners[color][0] + 60
    assert corners[20][0] >= corners[10][0] + 60
    assert corners[20][1] == corners[0][1]

    for margin in (page[:20], page[-20:], page[:, :20], page[:, -20:]):
        assert (margin == 255).all()
    captions = page[corners[0][0] - 20 : corners[0][0], corners[0][1] :]
    assert (captions < 150).any()


def test_no_clips(tmp_path):
    with pytest.raises(UsageError, match="no clips"):
        contact_sheet(tmp_path / "sheet.png", [])
    assert list(tmp_path.iterdir()) == []

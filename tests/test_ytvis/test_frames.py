import os
import re

import pytest

from mmtaformer.utils.errors import DataError
from mmtaformer.ytvis.frames import check_frames, check_names

from ..helpers.ytvis_factory import moving_video, to_json, write_images


@pytest.fixture
def videos(tmp_path):
    given = [moving_video(0, length=3), moving_video(5, length=2)]
    write_images(tmp_path, given)
    return to_json(given)["videos"]


def test_complete_data(tmp_path, videos):
    check_frames(videos, str(tmp_path))


def test_one_missing_frame_is_named_with_its_video(tmp_path, videos):
    path = tmp_path / videos[1]["file_names"][1]
    path.unlink()
    message = f"1 of the 5 frames .* first of them {re.escape(str(path))} .video 5.;"
    with pytest.raises(FileNotFoundError, match=message):
        check_frames(videos, str(tmp_path))


@pytest.mark.parametrize("name", ["a" * 5000, "a\nb" * 40])
def test_a_message_is_short_and_on_one_line(tmp_path, videos, name):
    videos[1]["file_names"][1] = name
    with pytest.raises(FileNotFoundError, match=r"1 of the 5 .*video 5") as error:
        check_frames(videos, str(tmp_path))
    assert len(str(error.value)) < 500 + len(str(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("folder", ["elsewhere", "video0/00000.jpg"])
def test_wrong_folder_names_the_settings(tmp_path, videos, folder):
    with pytest.raises(FileNotFoundError, match=r"5 of the 5 .* data_prefix=dict"):
        check_frames(videos, str(tmp_path / folder))


def test_size_differs_from_the_file(tmp_path, videos):
    videos[1]["width"] = 65
    message = r"00000.jpg \(video 5\) is 64 x 48 pixels, .* says 65 x 48; .*correct"
    with pytest.raises(ValueError, match=message):
        check_frames(videos, str(tmp_path))


def test_first_frame_is_no_image(tmp_path, videos):
    (tmp_path / videos[0]["file_names"][0]).write_text("404 not found")
    with pytest.raises(ValueError, match=r"00000.jpg \(video 0\) is not a readable"):
        check_frames(videos, str(tmp_path))


@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling link"])
def test_what_is_no_file_is_missing(tmp_path, videos, kind):
    path = tmp_path / videos[1]["file_names"][1]
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"1 of the 5 frames .* .video 5.;"):
        check_frames(videos, str(tmp_path))


@pytest.mark.parametrize(
    "name", ["../a.jpg", "/etc/passwd", "a/../../b.jpg", "..\\a.jpg", "C:\\a.jpg"]
)
def test_names_that_leave_the_folder(videos, name):
    check_names(videos, "train.json")
    videos[1]["file_names"][1] = name
    message = r"train.json: video 5: the frame .* outside .* allow_outside_root=True"
    with pytest.raises(DataError, match=message):
        check_names(videos, "train.json")


@pytest.mark.parametrize("whole_folder", [False, True])
def test_links_that_leave_the_folder(tmp_path, videos, whole_folder):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    for folder in ("video0", "video5"):
        (tmp_path / folder).rename(root / folder)
    moved = "video5" if whole_folder else videos[1]["file_names"][1]
    elsewhere.mkdir()
    (root / moved).rename(elsewhere / "moved")
    (root / moved).symlink_to(elsewhere / "moved")
    with pytest.raises(DataError, match=r"video 5: .* outside of the image folder"):
        check_frames(videos, str(root))
    check_frames(videos, str(root), allow_outside=True)


def test_links_inside_and_a_linked_root_are_fine(tmp_path, videos):
    path = tmp_path / videos[0]["file_names"][2]
    path.unlink()
    path.symlink_to(tmp_path / videos[0]["file_names"][1])
    (tmp_path / "root").symlink_to(tmp_path)
    check_frames(videos, str(tmp_path / "root"))

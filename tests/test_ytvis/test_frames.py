import re

import pytest
from PIL import Image

from mmtaformer.ytvis.frames import check_frames, read_image_size

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
    with pytest.raises(ValueError, match=r"video0/00000.jpg is not a readable image"):
        check_frames(videos, str(tmp_path))


def test_turned_images_have_the_size_at_which_they_are_decoded(tmp_path):
    path = tmp_path / "turned.jpg"
    image = Image.new("RGB", (40, 30))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path, exif=exif)
    assert read_image_size(str(path)) == (30, 40)

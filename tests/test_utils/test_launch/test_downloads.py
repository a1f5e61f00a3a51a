import functools
import http.server
import threading
from importlib.util import find_spec

import pytest
import torch
from mmengine.config import Config

from mmtaformer.utils.errors import UsageError
from mmtaformer.utils.launch import fetch_weights


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The folder of downloaded weights, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def server(tmp_path):
    """Serves a folder; returns the folder and its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def config(address, **more):
    init_cfg = dict(type="Pretrained", checkpoint=address)
    return Config(dict(model=dict(backbone=dict(init_cfg=init_cfg)), **more))


def test_weights_are_where_mmengine_looks(hub, server):
    folder, address = server
    torch.save({"a": torch.ones(2)}, folder / "weights.pth")
    fetch_weights(config(f"{address}/weights.pth"))
    assert (hub / "weights.pth").read_bytes() == (folder / "weights.pth").read_bytes()
    (folder / "weights.pth").unlink()
    loaded = torch.hub.load_state_dict_from_url(f"{address}/weights.pth")
    assert loaded["a"].tolist() == [1, 1]
    fetch_weights(config(f"{address}/weights.pth"))  # nothing is asked for again


def test_what_was_not_downloaded_is_one_sentence(hub, server):
    with pytest.raises(UsageError) as caught:
        fetch_weights(config(f"{server[1]}/none.pth"))
    assert str(caught.value) == (
        f"The weights {server[1]}/none.pth could not be downloaded "
        f"(HTTP Error 404: File not found): put the file at {hub}/none.pth, "
        "or give --cfg-options "
        "model.backbone.init_cfg.checkpoint=FILE, or model.backbone.init_cfg=None to "
        "start without them."
    )
    assert list(hub.iterdir()) == []


def test_other_contents_than_the_name_says(hub, server):
    (server[0] / "w-0123456789.pth").write_text("other")
    with pytest.raises(UsageError, match="invalid hash value"):
        fetch_weights(config(f"{server[1]}/w-0123456789.pth"))
    assert list(hub.iterdir()) == []


def test_load_from_is_fetched_too(hub, server):
    with pytest.raises(UsageError, match=r"give --cfg-options load_from=FILE\.$"):
        fetch_weights(Config(dict(model={}, load_from=f"{server[1]}/none.pth")))


def test_testing_needs_no_weights_of_parts(hub, server):
    fetch_weights(config(f"{server[1]}/none.pth"), of_parts=False)


def test_files_are_not_downloaded(hub, tmp_path):
    fetch_weights(config("a.pth", load_from=str(tmp_path / "b.pth")))
    fetch_weights(Config(dict(model=dict(backbone=dict(init_cfg=None)))))
    assert not hub.exists()


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="it is installed")
def test_names_of_torchvision_need_it():
    with pytest.raises(UsageError) as caught:
        fetch_weights(config("torchvision://resnet18"))
    assert "needs torchvision, which is not installed" in str(caught.value)
    assert str(caught.value).endswith("models/resnet18-f37072fd.pth")

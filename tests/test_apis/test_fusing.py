import numpy as np
import pytest
import torch
from torch import nn

from mmtaformer.apis import fuse_for_inference, inference_video, init_model
from mmtaformer.ytvis.rle import decode

from ..helpers.inference import write_model


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A model whose batch norms have seen data, and the same fused."""
    files = write_model(tmp_path_factory.mktemp("model"))
    models = [init_model(*files, device="cpu") for _ in range(2)]
    rng = np.random.default_rng(0)
    for model in models:
        torch.manual_seed(1)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
    frames = rng.integers(0, 255, (4, 64, 96, 3), dtype=np.uint8)
    return models[0], fuse_for_inference(models[1]), frames


def test_same_results(pair):
    model, fused, frames = pair
    for one, other in zip(
        inference_video(model, frames), inference_video(fused, frames), strict=True
    ):
        one, other = one.pred_track_instances, other.pred_track_instances
        assert len(one) and one.labels.tolist() == other.labels.tolist()
        torch.testing.assert_close(one.scores, other.scores, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(one.bboxes, other.bboxes, rtol=1e-3, atol=1e-2)
        masks = [np.stack([decode(m) for m in track.masks]) for track in (one, other)]
        assert masks[0].any() and (masks[0] != masks[1]).mean() < 1e-3


def test_what_was_folded(pair):
    model, fused, _ = pair
    kinds = [type(module) for module in fused.backbone.modules()]
    assert nn.BatchNorm2d not in kinds
    assert any(isinstance(m, nn.BatchNorm2d) for m in model.backbone.modules())
    for expected, network in ((False, model), (True, fused)):
        ffn = network.encoder.layers[0].ffn
        relus = [m for m in ffn.modules() if isinstance(m, nn.ReLU)]
        assert relus and all(relu.inplace is expected for relu in relus)
    weights = [m.weight for m in fused.backbone.modules() if isinstance(m, nn.Conv2d)]
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def test_other_backbones_keep_their_layers():
    """Whether a norm follows a convolution cannot be seen from their order."""

    class NormFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)
            self.norm = nn.BatchNorm2d(3)
            self.relu = nn.ReLU()

        def forward(self, x):
            return x + self.relu(self.conv(self.norm(x)))

    model = nn.Module()
    model.backbone = NormFirst().eval()
    model.backbone.norm.running_mean += 0.5
    x = torch.randn(1, 3, 4, 4)
    expected = model.backbone(x)
    torch.testing.assert_close(fuse_for_inference(model).backbone(x), expected)

"""The benchmark measures what its table says, on small models and frames."""

import inspect
import json
import math

import pytest
import torch
from mmdet.utils import register_all_modules

from ..helpers.small_configs import small_model


@pytest.fixture(scope="module", autouse=True)
def _mmdet_scope():
    register_all_modules(init_default_scope=True)


@pytest.fixture
def tool(load_tool):
    return load_tool("analysis_tools/benchmark.py")


def table_of(tool, *options):
    return tool.list_cases(tool.parse_args(options))


@pytest.mark.parametrize("backward", [False, True])
def test_operator_and_reference_compute_the_same(tool, backward):
    outputs = []
    for name in ("fallback", "fused"):
        torch.manual_seed(0)
        output = tool.operator_work(name, backward, (40, 64), "cpu")()
        outputs.append(output.flatten(0, -2))
    assert outputs[0].abs().max() > 0.1
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=0)


def test_every_case_can_be_built(tool):
    builders = dict(
        operator=tool.operator_work,
        inference=tool.inference_work,
        train=tool.train_work,
    )
    options = ["--long-frames", "200", "--dtypes", "bfloat16", "--compile"]
    rows = table_of(tool, "--what", *builders, *options)
    for row in rows:
        case = json.loads(json.dumps(row["case"]))
        inspect.signature(builders[case.pop("kind")]).bind(**case)
    assert {row["case"]["kind"] for row in rows} == set(builders)
    compiled = [row["name"] for row in rows if row["case"].get("compiled")]
    assert set(compiled) == {"taformer, compiled", "seqformer, compiled"}
    # mmdet's model would hold the whole video.
    long = [row for row in rows if row["case"].get("frames") == 200]
    assert {row["name"] for row in long} == {"taformer", "seqformer"}


def test_ratios(tool):
    rows = table_of(
        tool, "--what", "inference", "--frames", "10", "20", "--long-frames", "200"
    )
    times = {
        ("taformer", 10): 3.0,
        ("seqformer", 10): 2.0,
        ("mask2former", 10): 4.0,
        ("taformer", 20): 6.0,
        ("seqformer", 20): 4.0,
        ("mask2former", 20): 8.0,
        ("taformer", 200): 66.0,
        ("seqformer", 200): 40.0,
    }
    for row in rows:
        seconds = times[row["name"], row["case"]["frames"]]
        row.update(seconds=seconds, memory_gb=seconds / 2)
    tool.add_ratios(rows)
    ratios = {(r["name"], r["case"]["frames"]): r["time_ratio"] for r in rows}
    assert len(ratios) == len(times)
    assert ratios["taformer", 10] == 0.75 and ratios["seqformer", 20] == 0.5
    assert ratios["mask2former", 10] == 1
    assert math.isclose(ratios["taformer", 200], 1.1)
    assert ratios["seqformer", 200] == 1
    tool.print_table(rows)


def test_alone_a_row_has_no_ratio(tool):
    rows = table_of(tool, "--what", "train", "--models", "taformer")
    assert [row["name"] for row in rows] == ["taformer", "taformer, recomputing"]
    for row in rows:
        row.update(seconds=1.0, memory_gb=1.0)
    tool.add_ratios(rows)
    assert not any("time_ratio" in row for row in rows)


@pytest.mark.parametrize("model", ["taformer", "seqformer"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_models_predict_and_learn(tool, model, dtype, monkeypatch):
    load_config = tool.load_config

    def small(name):
        config = load_config(name)
        small_model(config.model)
        return config

    monkeypatch.setattr(tool, "load_config", small)
    tool.inference_work(model, 3, (64, 96), "cpu", dtype)()
    for recompute in (False, True):
        tool.train_work(model, 2, (64, 96), "cpu", dtype, recompute)()


def test_steps_begin_with_the_same_samples(tool, monkeypatch):
    class Consuming(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def loss(self, batch, samples):
            count = 0
            for frame in samples[0].video_data_samples:
                count += len(frame.gt_instances.pop("masks"))
            return {"loss": count * self.weight}

        def parse_losses(self, losses):
            return losses["loss"], losses

    network = Consuming()
    monkeypatch.setattr(tool, "init_model", lambda *args, **kwargs: network)
    work = tool.train_work("mask2former", 2, (32, 64), "cpu", "float32", instances=3)
    for _ in range(2):
        work()
        assert network.weight.grad == 6


def test_command_line(tool, tmp_path, capfd):
    out = tmp_path / "figures.json"
    tool.main(
        ["--what", "operator", "--size", "32", "48", "--runs", "1", "--json", str(out)]
    )
    rows = json.loads(out.read_text())
    assert [row["name"] for row in rows] == ["fallback", "fused"] * 2
    assert all(row["seconds"] > 0 and row["memory_gb"] > 0.05 for row in rows)
    assert rows[1]["time_ratio"] == rows[1]["seconds"] / rows[0]["seconds"]
    assert "operator, forward and backward" in capfd.readouterr().out


def test_a_case_that_fails_is_named(tool):
    with pytest.raises(SystemExit, match="'operator'.*failed"):
        tool.main(["--what", "operator", "--size", "0", "0", "--runs", "1"])

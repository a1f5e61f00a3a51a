import json
from types import SimpleNamespace

import pytest

from mmtaformer.engine import MainProcessLoggerHook


@pytest.mark.parametrize("rank", [0, 1])
def test_one_process_writes_the_figures(tmp_path, rank):
    runner = SimpleNamespace(
        rank=rank,
        timestamp="now",
        log_dir=str(tmp_path),
        test_dataloader=[None],
        log_processor=SimpleNamespace(
            get_log_after_epoch=lambda *args, **kwargs: ({"youtube_vis/AP": 0.5}, "AP")
        ),
        logger=SimpleNamespace(info=lambda text: None),
    )
    hook = MainProcessLoggerHook()
    hook.json_log_path = f"{runner.timestamp}.json"
    hook.after_test_epoch(runner, {"youtube_vis/AP": 0.5})
    written = {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert written == ({"now.json": {"youtube_vis/AP": 0.5}} if rank == 0 else {})

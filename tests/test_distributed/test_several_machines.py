"""tools/dist_train.sh on several machines, which are this one here."""

from .ranks import free_port, start_script, wait_for


def test_two_machines_train_together(tiny_config, tmp_path):
    """One iteration with one process on each."""
    network = dict(NNODES=2, MASTER_ADDR="127.0.0.1", PORT=free_port())
    options = [
        *("train_cfg.max_epochs=1", "train_dataloader.num_workers=0"),
        # Two of the four frames of one video as key frames on each.
        *("train_dataloader.dataset.indices=1", "train_dataloader.batch_size=2"),
        *(f"val_{name}=None" for name in ("cfg", "dataloader", "evaluator")),
        "default_hooks.checkpoint.save_best=None",
    ]
    logs = [tmp_path / f"log{node}" for node in range(2)]
    scripts = [
        start_script(
            *("dist_train.sh", tiny_config, 1, "--work-dir", tmp_path / "work"),
            *("--cfg-options", *options),
            **dict(log=log, NODE_RANK=node, **network),
        )
        for node, log in enumerate(logs)
    ]
    assert wait_for(*scripts) == [0, 0], "".join(log.read_text() for log in logs)
    (log,) = (tmp_path / "work").glob("*/*.log")
    assert "GPU number: 2" in log.read_text()
    assert (tmp_path / "work" / "epoch_1.pth").is_file()

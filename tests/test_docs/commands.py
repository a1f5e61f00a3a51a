"""How each command of the pages is run: as written, on small models and little data.

:data:`RULES` says for each kind of command what is reduced. A command without a rule
fails.
"""

import os
import re
import shlex
from collections.abc import Callable, Mapping
from unittest import mock

from . import setup_rules, tool_rules
from .checkout import TINY, Checkout
from .command import Command

# Names in capitals on the pages, and what they stand for.
PLACEHOLDERS = {
    "CONFIG": TINY,
    "CHECKPOINT": "work_dirs/taformer_tiny_synthvis/random.pth",
    "PARTITION": "partition",
}
_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=")


def run_command(text: str, checkout: Checkout, load_tool: Callable) -> None:
    """Run a command by its rule.

    Args:
        text: The command.
        checkout: Where it runs; the working directory.
        load_tool: Fixture of that name.

    Raises:
        AssertionError: If no rule covers it, or it does not work.
    """
    words = shlex.split(checkout.expand(text, PLACEHOLDERS))
    environment = {}
    while words and _ASSIGNMENT.match(words[0]):
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    for prefix in sorted(RULES, key=len, reverse=True):
        start = prefix.split()
        if words[: len(start)] == start:
            command = Command(text, environment, words[len(start) :])
            with mock.patch.dict(os.environ, environment):
                return RULES[prefix](command, checkout, load_tool)
    raise AssertionError(f"no rule of tests/test_docs/commands.py covers: {text}")


RULES: Mapping[str, Callable[[Command, Checkout, Callable], None]] = {
    "python tools/train.py": tool_rules.train,
    "python tools/test.py": tool_rules.test,
    "python tools/analysis_tools/benchmark.py": tool_rules.parse_only(
        "analysis_tools/benchmark.py"
    ),
    "python tools/analysis_tools/browse_results.py": tool_rules.run_tool(
        "analysis_tools/browse_results.py"
    ),
    "python tools/analysis_tools/count_params.py": tool_rules.run_tool(
        "analysis_tools/count_params.py"
    ),
    "python tools/analysis_tools/eval_results.py": tool_rules.run_tool(
        "analysis_tools/eval_results.py"
    ),
    "python tools/analysis_tools/gpu_check.py": tool_rules.parse_only(
        "analysis_tools/gpu_check.py"
    ),
    "python tools/dataset_converters/generate_synthvis.py": tool_rules.generate,
    "python tools/model_converters/convert_checkpoint.py": tool_rules.convert,
    "python docs/memory.py": tool_rules.memory,
    "bash": lambda command, *rest: _bash(command, *rest),
    "pip": setup_rules.pip,
    "mim": setup_rules.mim,
    "source": setup_rules.activate,
    "sphinx-build": setup_rules.sphinx_build,
    "pre-commit": setup_rules.pre_commit,
    "grep": setup_rules.search,
    "git clone": setup_rules.clone,
    "cd": setup_rules.change_directory,
}
SCRIPTS = {
    "dist_train.sh": tool_rules.launch,
    "dist_test.sh": tool_rules.launch,
    "slurm_train.sh": tool_rules.launch,
    "slurm_test.sh": tool_rules.launch,
    "quickstart.sh": tool_rules.script,
    "run_tests.sh": tool_rules.script,
    "setup_env.sh": tool_rules.script,
}


def _bash(command: Command, checkout: Checkout, load_tool: Callable) -> None:
    """A script of tools/."""
    folder, _, name = command.words[0].rpartition("/")
    assert folder == "tools" and name in SCRIPTS, f"no rule covers: {command.text}"
    words = [name, *command.words[1:]]
    SCRIPTS[name](
        Command(command.text, command.environment, words), checkout, load_tool
    )

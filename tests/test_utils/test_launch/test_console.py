import logging
import re

import pytest
from mmengine.logging import MMLogger

from mmtaformer.engine.log_processor import LogLine
from mmtaformer.utils.launch.console import shorten_console

SYSTEM = "\n" + "-" * 60 + "\nSystem environment:\n    a: 1\n"


@pytest.fixture
def logged(tmp_path, capsys):
    """Logs messages; returns the console's lines, without colours, and the file."""

    def log(*messages, level=logging.INFO):
        name = f"{tmp_path}{level}"
        path = tmp_path / f"{level}.log"
        logger = MMLogger.get_instance(name, log_file=str(path))
        shorten_console(logger)
        for message in messages:
            logger.log(level, message)
        console = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out)
        return console.splitlines(), path.read_text()

    return log


def test_dumps_go_to_the_file_alone(logged):
    messages = [
        SYSTEM,
        "Config:\na = 1\nb = 2",
        "Hooks will be executed in\nA\nB",
        "Go",
    ]
    console, file = logged(*messages)
    assert len(console) == 2
    assert re.fullmatch(r"[\d:]{8}  Config and environment are in \S+\.log", console[0])
    assert re.fullmatch(r"[\d:]{8}  Go", console[1])
    for message in messages:
        assert message in file


def test_lines_with_a_short_form(logged):
    console, file = logged(LogLine("all of the terms", "some {terms} 5%"))
    assert console[0].endswith("  some {terms} 5%")
    assert "all of the terms" in file


def test_tables_and_warnings_are_shown(logged):
    console, _ = logged("\n+--+\n|AP|\n+--+")
    assert console[1:] == ["+--+", "|AP|", "+--+"]
    console, _ = logged("Look out", level=logging.WARNING)
    assert console[0].endswith(" - WARNING - Look out")

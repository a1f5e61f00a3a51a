import logging

import pytest
from mmengine.logging import MMLogger

from ..helpers.tracks import video_tracks


@pytest.fixture
def logged():
    """What mmengine's logger says during a test."""
    messages = []

    class Listener(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    logger, listener = MMLogger.get_current_instance(), Listener()
    level = logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    yield messages
    logger.removeHandler(listener)
    logger.setLevel(level)


@pytest.fixture
def result():
    return video_tracks()

"""What the tests of panels share: one small network, trained briefly, and an eye on their threads."""

import logging

import pytest

from analognas.training.protocol import Protocol
from analognas.widgets.candidates import Candidate, small_resnet, train_candidate

BRIEF = Protocol(epochs=1, hwa_epochs=1, max_train=512)


@pytest.fixture(scope="session")
def hardened() -> Candidate:
    return train_candidate("hardened", small_resnet(8), protocol=BRIEF)


@pytest.fixture(autouse=True)
def unexpected():
    """The tracebacks that panels logged: none, or the test fails. A panel that fails goes on to
    show what it showed before, which a test of something else would not notice."""
    records = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: records.append(record.getMessage() + f": {record.exc_info[1]!r}")
    logger = logging.getLogger("analognas.widgets")
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)
    assert records == []

"""What the tests of panels share: one small network, trained briefly."""

import pytest

from analognas.training.protocol import Protocol
from analognas.widgets.candidates import Candidate, small_resnet, train_candidate

BRIEF = Protocol(epochs=1, hwa_epochs=1, max_train=512)


@pytest.fixture(scope="session")
def hardened() -> Candidate:
    return train_candidate("hardened", small_resnet(8), protocol=BRIEF)

"""A claim is alive while its process is, and no other process can take its place."""

import os
import subprocess
import time
from dataclasses import FrozenInstanceError, replace

import pytest

from analognas.core import claims
from analognas.core.claims import ACTIVE_TOKENS, STALE_SECONDS, Claim


@pytest.fixture
def token():
    "A store object of this process that is in use."
    ACTIVE_TOKENS.add("store")
    yield "store"
    ACTIVE_TOKENS.discard("store")


@pytest.fixture
def other():
    "Another process that runs."
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_ones_own_claim_lives_as_long_as_its_store_object(token):
    claim = Claim.mine(token)
    assert (claim.pid, claim.is_alive()) == (os.getpid(), True)
    ACTIVE_TOKENS.discard(token)
    assert claim.is_alive() is False


def test_an_earlier_process_with_this_number_is_not_this_process(token):
    assert replace(Claim.mine(token), started="another time").is_alive() is False


def test_a_claim_ends_with_its_process(other):
    claim = replace(Claim.mine(), pid=other.pid, started=claims.process_start(other.pid))
    assert claim.is_alive() is True
    other.kill()
    other.wait()
    assert claim.is_alive() is False


def test_a_process_that_got_the_number_later_does_not_count(other):
    assert replace(Claim.mine(), pid=other.pid).is_alive() is False


@pytest.mark.parametrize("age, alive", [(0, True), (STALE_SECONDS + 1, False)])
def test_a_system_without_start_times_goes_by_the_heartbeat(other, monkeypatch, age, alive):
    monkeypatch.setattr(claims, "process_start", lambda pid: None)
    claim = replace(Claim.mine(), pid=other.pid, beat=time.time() - age)
    assert claim.is_alive() is alive


@pytest.mark.parametrize("age, alive", [(0, True), (STALE_SECONDS + 1, False)])
def test_another_machine_goes_by_the_heartbeat(age, alive):
    assert replace(Claim.mine(), host="elsewhere", beat=time.time() - age).is_alive() is alive


@pytest.mark.parametrize("age, alive", [(0, None), (STALE_SECONDS + 1, False)])
def test_another_container_with_this_name_cannot_be_checked_while_its_heart_beats(age, alive):
    claim = replace(Claim.mine(), realm="another boot", beat=time.time() - age)
    assert claim.is_alive() is alive


@pytest.mark.parametrize("realm", ["", "~~~"])  # sorted before and after every other text
def test_a_claim_of_another_realm_cannot_be_checked_whatever_its_name(other, realm):
    started = claims.process_start(other.pid)
    assert replace(Claim.mine(), pid=other.pid, started=started, realm=realm).is_alive() is None


def test_a_claim_cannot_be_changed():
    claim = Claim.mine()
    with pytest.raises(FrozenInstanceError):
        claim.pid = 1
    assert len({claim, replace(claim)}) == 1

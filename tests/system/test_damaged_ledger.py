"""A relay that starts on a ledger in which entries cannot be right drops these, and no others."""
import os
import random
import signal

import pytest

import peers
import scribble
from waiting import wait_for

SESSIONS = 24

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to open what a relay has open")


@pytest.fixture
def busy(through, backend):
    """(warden, {session: client}): sessions that hold a lease and have moved bytes."""
    opened = []

    def make():
        warden = through(backend(peers.echo).address, hooked=True)
        warden.expect_deaths("relay")
        warden.expected_log += ["cannot be right", "stands in no ledger", "system.lost", "descriptor"]
        opened.extend(peers.connect(warden.address) for _ in range(SESSIONS))
        for client in opened:
            client.send(1000).read(1000)
        wait_for(lambda: [s["state"] for s in warden.sessions()] == ["relaying"] * SESSIONS, "sessions that relay")
        names = {s["client"]: s["id"] for s in warden.sessions()}
        return warden, {names["%s:%d" % client.sock.getsockname()]: client for client in opened}

    yield make
    for client in opened:
        client.close()


def killed_with(warden, change):
    """change(ledger): while the relay stands still; it never sees it, its successor does."""
    relay = warden.role("relay 0")
    os.kill(relay.pid, signal.SIGSTOP)
    with scribble.ledger_of(relay) as ledger:
        change(ledger)
        warden.sessions(), warden.status()  # the steward reads it as it is
        relay.kill()
    warden.wait_role("relay 0", not_this=relay)


def test_what_cannot_be_right_is_dropped_alone(busy):
    warden, clients = busy()
    victims = dict(zip(clients, scribble.DAMAGES.items()))
    others = [session for session in clients if session not in victims]

    def damage(ledger):
        for (session, (_, change)), other in zip(victims.items(), others * 2):
            change(ledger, session, other)
    killed_with(warden, damage)
    for session in others:
        clients[session].send(1000).read(1000)
    for session, (what, _) in victims.items():
        assert clients[session].read_to_end().kind == "reset", what
    hooks = warden.hooks["hooks"]
    wait_for(lambda: len(hooks.released()) == len(victims), lambda: f"releases: {hooks.released()}", 30)
    assert {(run.reason, run.recovered) for run in hooks.released()} == {("system.lost", "1")}
    assert {run.session for run in hooks.released()} == set(victims)
    for session in others:
        clients[session].send(1000).read(1000)


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(i, marks=pytest.mark.slow) for i in range(4, 16))])
def test_noise(busy, seed):
    """Whatever stands in some slots: the sessions of the others go on, and no lease is kept for ever."""
    warden, clients = busy()
    noise = random.Random(seed)
    victims = noise.sample(list(clients), 10)

    def damage(ledger):
        for session in victims:
            at = scribble.slot_at(ledger, session)
            begin = noise.randrange(scribble.SLOT_SIZE)
            end = noise.randrange(begin, scribble.SLOT_SIZE) + 1
            ledger[at + begin:at + end] = noise.randbytes(end - begin)
    killed_with(warden, damage)
    for session, client in clients.items():
        if session not in victims:
            client.send(1000).read(1000)
    for session in victims:
        clients[session].reset()
    for session, client in clients.items():
        if session not in victims:
            client.close()
    wait_for(lambda: not any(warden.status()["leases"].values()), lambda: f"no leases: {warden.status()['leases']}", 30)
    assert warden.role("relay 0").alive


@pytest.mark.parametrize("at, what", [(0, "its first word"), (8, "its size"), (16, "the number of its slots")])
def test_ledger_that_is_none(busy, at, what):
    """Nothing in it can be found then: its sessions end, their leases are released, and the pair begins anew."""
    warden, clients = busy()
    warden.expect_deaths("relay", "holder")
    warden.expected_log += ["ledger", "cannot start", "have died"]

    def damage(ledger):
        ledger[at:at + 4] = b"\xff\xff\xff\xff"
    killed_with(warden, damage)
    for client in clients.values():
        assert client.read_to_end().kind == "reset"
    wait_for(lambda: not any(warden.status()["leases"].values()), lambda: f"no leases: {warden.status()['leases']}", 30)
    with peers.connect(warden.address) as client:
        client.send(1000).read(1000)

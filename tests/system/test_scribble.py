"""Noise in a ledger while its relay runs, and in what is no session's before a relay starts on it."""
import os
import random
import signal
import threading

import pytest

import peers
import scribble
from waiting import wait_for

VICTIMS, OTHERS = 8, 4
SECONDS, PAUSE = 3, 0.02

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to open what a relay has open")


class Moving(threading.Thread):
    """Echoes through one session until told to stop; each byte is checked."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client, self.rounds, self.wrong = client, 0, None
        self.over = threading.Event()
        self.start()

    def run(self):
        try:
            while not self.over.is_set():
                self.client.send(30000).read(30000)
                self.rounds += 1
        except BaseException as e:
            self.wrong = e

    def end(self):
        self.over.set()
        self.join(30)
        assert not self.wrong and not self.is_alive(), f"after {self.rounds} rounds: {self.wrong!r}"


@pytest.fixture
def busy(through, backend):
    """(warden, {session: client}): sessions that hold a lease and have moved bytes."""
    opened = []

    def make(count):
        warden = through(backend(peers.echo).address, hooked=True, top={"hang_after": "60s"})
        warden.expect_deaths("relay")
        warden.expected_log += ["cannot be right", "stands in no ledger", "system.lost", "system.failed", "faster than they could be logged"]

        def add():
            opened.append(peers.connect(warden.address))
            opened[-1].send(1000).read(1000)
        for _ in range(count):
            add()
        names = {s["client"]: s["id"] for s in warden.sessions()}
        return warden, {names["%s:%d" % client.sock.getsockname()]: client for client in opened}

    yield make
    for client in opened:
        client.close()


def ask_all(warden, sessions):
    """Whatever stands there, the answers are whole."""
    warden.sessions(), warden.status()
    for session in sessions:
        result = warden.ctl_run("show", session, json_lines=True)
        assert result.returncode == 0 or "no session" in result.stdout, result


@pytest.mark.takes(8)
@pytest.mark.parametrize("killed", (True, False), ids=("and killed", "and left alone"))
def test_running_relay(busy, killed):
    """Others move their bytes meanwhile, and the steward answers."""
    warden, clients = busy(VICTIMS + OTHERS)
    victims, others = list(clients)[:VICTIMS], list(clients)[VICTIMS:]
    relay, steward = warden.role("relay 0"), warden.role("steward")
    moving = [Moving(clients[session]) for session in others]
    noise = random.Random(killed)
    over = threading.Event()

    def scribble_on(ledger, places):
        while not over.wait(PAUSE):
            for at in places:
                begin = noise.randrange(scribble.SLOT_SIZE)
                size = min(1 + noise.randrange(64), scribble.SLOT_SIZE - begin)
                ledger[at + begin:at + begin + size] = noise.randbytes(size)

    with scribble.ledger_of(relay) as ledger:
        places = [scribble.slot_at(ledger, session) for session in victims]
        writer = threading.Thread(target=scribble_on, args=(ledger, places))
        writer.start()
        threading.Timer(SECONDS, over.set).start()
        try:
            while not over.is_set():
                ask_all(warden, victims + others[:1])
        finally:
            over.set()
            writer.join()
    assert warden.role("relay 0") == relay, "it is not to die of what it can tell"
    if not killed:  # it has to do with them once more
        for session in victims:
            clients[session].reset()
        ask_all(warden, victims)
    rounds = [m.rounds for m in moving]
    assert warden.role("relay 0") == relay
    relay.kill()
    warden.wait_role("relay 0", not_this=relay)
    wait_for(lambda: all(m.rounds > before or m.wrong for m, before in zip(moving, rounds)), "bytes that move again")
    for m in moving:
        m.end()
    for session in victims if killed else ():
        clients[session].reset()
    wait_for(lambda: warden.status()["leases"]["held"] == OTHERS, lambda: f"{OTHERS} leases: {warden.status()['leases']}", 30)
    assert warden.role("steward") == steward


@pytest.mark.parametrize("touched", (True, False), ids=("and used", "and at rest"))
def test_damage_that_a_running_relay_can_tell(busy, touched):
    """It ends that session, with a reason, and no other one; it need not be started again."""
    warden, clients = busy(len(scribble.LIVE_DAMAGES) + OTHERS)
    relay, steward = warden.role("relay 0"), warden.role("steward")
    victims = dict(zip(clients, scribble.LIVE_DAMAGES.items()))
    others = [session for session in clients if session not in victims]
    moving = [Moving(clients[session]) for session in others]
    for at, (session, (what, change)) in enumerate(victims.items()):
        with scribble.ledger_of(relay) as ledger:
            slot = scribble.index_of(ledger, session)
            change(ledger, session, others[at % OTHERS])
        if touched:
            clients[session].send(1)
        assert clients[session].read_to_end().kind == "reset", what
        assert warden.role("relay 0") == relay, what
        warden.log.wait(f"slot {slot} of the ledger cannot be right.*session {session} ends")
        end, = wait_for(lambda: [e for e in warden.log.ends() if e.session == session], f"the end of {session}: {what}")
        assert end.reason == "system.failed", (what, end)
    rounds = [m.rounds for m in moving]
    wait_for(lambda: all(m.rounds > before or m.wrong for m, before in zip(moving, rounds)), "bytes that move")
    check_served(warden, {})
    for m in moving:
        m.end()
    wait_for(lambda: warden.status()["leases"]["held"] == OTHERS, lambda: f"{OTHERS} leases: {warden.status()['leases']}", 30)
    wait_for(lambda: {s["id"] for s in warden.sessions()} == set(others), "no sessions but the others")
    counts = warden.status()
    assert warden.role("relay 0") == relay and warden.role("steward") == steward and counts["relays"][0]["starts"] == 1, counts
    relay.kill()  # what it made anew, the next one finds right
    warden.wait_role("relay 0", not_this=relay)
    check_served(warden, {session: clients[session] for session in others}, 0)


def killed_with(warden, change):
    """change(ledger): while the relay stands still; its successor finds it."""
    relay = warden.role("relay 0")
    os.kill(relay.pid, signal.SIGSTOP)
    with scribble.ledger_of(relay) as ledger:
        change(ledger)
        ask_all(warden, ())
        relay.kill()
    return warden.wait_role("relay 0", not_this=relay)


def check_served(warden, clients, more=6):
    """Those that there are, and each that comes."""
    wait_for(lambda: warden.status()["relays"][0]["state"] == "running", "a relay that runs")
    for client in clients.values():
        client.send(1000).read(1000)
    for _ in range(more):
        with peers.connect(warden.address) as client:
            client.send(1000).read(1000)


@pytest.mark.parametrize("seed", (1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)))
def test_parts_of_the_header(busy, seed):
    """One after the other: none of them costs a session."""
    warden, clients = busy(4)
    warden.expected_log += ["the plan that a predecessor left is unusable"]
    noise = random.Random(seed)
    for name, at, size in scribble.PARTS:
        def damage(ledger, at=at, size=size):
            ledger[at:at + size] = noise.randbytes(size)
        killed_with(warden, damage)
        print(name)
        check_served(warden, clients)
    assert len({s["id"] for s in warden.sessions()} & set(clients)) == len(clients)


@pytest.mark.parametrize("seed", (1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)))
def test_listener_and_ring(busy, seed):
    """Sessions go on; whoever comes is served, if need be by a new listener."""
    warden, clients = busy(4)
    noise = random.Random(seed)

    def serves():
        try:
            check_served(warden, {}, 12)
        except (OSError, AssertionError):  # a listener that was dropped resets who waits there
            return False
        return True

    for name, at, size in scribble.LISTENER_PARTS:
        def damage(ledger, at=at, size=size):
            for i in range(256):
                entry = scribble.LISTENERS + i * scribble.LISTENER_SIZE
                if ledger[entry] == 2:
                    ledger[entry + at:entry + at + size] = noise.randbytes(size)
        killed_with(warden, damage)
        print(name)
        check_served(warden, clients, 0)
        wait_for(serves, f"service after noise in a listener's {name}", 30)

    def damage_ring(ledger):
        at = scribble.events_at(ledger)
        ledger[at:at + 100000] = noise.randbytes(100000)
    killed_with(warden, damage_ring)
    check_served(warden, clients)


@pytest.mark.slow
@pytest.mark.parametrize("name, at, size", scribble.WHOLE)
def test_what_says_where_all_is(busy, name, at, size):
    """Then nothing can be found: the pair begins anew, and its leases are released."""
    warden, clients = busy(4)
    warden.expect_deaths("relay", "holder")
    warden.expected_log += ["ledger", "cannot start", "have died"]
    noise = random.Random(name)

    def damage(ledger):
        ledger[at:at + size] = noise.randbytes(size)
    killed_with(warden, damage)
    for client in clients.values():
        assert client.read_to_end().kind == "reset"
    wait_for(lambda: not any(warden.status()["leases"].values()), lambda: f"no leases: {warden.status()['leases']}", 30)
    check_served(warden, {})

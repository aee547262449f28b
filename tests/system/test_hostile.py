"""A relay that speaks wrongly to a real steward gets nothing, and no other relay is touched; nor does a steward that speaks wrongly
end a session. The relay is stopped, and the test says in its place what it would not, and writes what it would not."""
import os
import random
import signal
import socket
import struct

import pytest

import hostile
import peers
import scribble
from hostile import message, session
from settings import service
from waiting import wait_for

SESSIONS = 16
ACQUIRING, RELAYING = 2, 4
GROWTH_KB = 16384
NAMES = 8

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to take descriptors from other processes")


class Stage:
    """Two relays with sessions that hold leases. "ours": of relay 0, whose words we have; "others": of relay 1."""

    def __init__(self, warden, clients):
        self.warden, self.clients = warden, clients
        names = {s["client"]: s for s in warden.sessions()}
        self.of = {}  # session: (client, relay)
        for client in clients:
            s = names["%s:%d" % client.sock.getsockname()]
            self.of[s["id"]] = (client, s["relay"])
        self.ours = [i for i, (_, relay) in self.of.items() if relay == 0]
        self.others = [i for i, (_, relay) in self.of.items() if relay == 1]
        self.steward = warden.role("steward")
        self.memory_kb = self.steward.rss_kb

    def add_silent(self):
        """One of ours that has not said or heard a byte."""
        while True:
            client = peers.connect(self.warden.address)
            name = "%s:%d" % client.sock.getsockname()
            found = wait_for(lambda: [s for s in self.warden.sessions() if s["client"] == name and s["state"] == "relaying"], "a session")
            self.clients.append(client)
            self.of[found[0]["id"]] = (client, found[0]["relay"])
            if found[0]["relay"] == 0:
                return found[0]["id"]
            self.others.append(found[0]["id"])

    def stop_relay(self):
        self.relay = self.warden.role("relay 0")
        os.kill(self.relay.pid, signal.SIGSTOP)
        return self.relay

    def check(self, sessions=None):
        """All of it goes on as it was, at the steward and in the sessions."""
        assert self.warden.role("steward") == self.steward
        assert self.steward.rss_kb - self.memory_kb < GROWTH_KB, "the steward's memory has grown"
        self.warden.sessions(), self.warden.status()
        for i in sessions if sessions is not None else self.of:
            self.of[i][0].send(1000).read(1000)
        assert self.warden.status()["leases"]["held"] == len(self.of)


@pytest.fixture
def stage(through, backend):
    opened = []

    def make():
        warden = through(backend(peers.echo).address, hooked=True, top={"workers": 2, "hang_after": "60s"})
        warden.expect_deaths("relay")
        warden.expected_log += ["said what it may not", "faster than they could be logged", "cannot be right"]

        def both():
            opened.append(peers.connect(warden.address))
            opened[-1].send(1000).read(1000)
            relays = [s["relay"] for s in warden.sessions()]
            return len(opened) >= SESSIONS and relays.count(0) > 2 and relays.count(1) > 2
        wait_for(both, "sessions of both relays")
        return Stage(warden, opened)

    yield make
    for client in opened:
        client.close()


def other_sockets():
    """{what: descriptor} that no listener accepted."""
    listener = socket.create_server(("127.0.0.1", 0))
    connected = socket.create_connection(listener.getsockname())
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagram.connect(("127.0.0.1", 9))
    return {"a listener": listener, "a socket that it connected": connected, "a datagram socket": datagram,
            "a file": open("/dev/null")}


def wrongs(stage, ledger):
    """{what: (datagram, descriptors)}"""
    ours, other = int(stage.ours[0], 16), int(stage.others[0], 16)
    slot = scribble.index_of(ledger, stage.ours[0])
    high = scribble.slot_count(ledger)
    kept = other_sockets()
    file = kept["a file"].fileno()
    found = {
        "nothing": (b"", ()),
        "a piece of a header": (message("EVENTS")[:5], ()),
        "another version": (message("EVENTS", bytes(4), hostile.VERSION + 1), ()),
        "no kind": (message(0, bytes(4)), ()),
        "a kind that there is not": (message(len(hostile.KINDS) + 1, bytes(4)), ()),
        "too little": (message("ENDED", session(ours, slot)[:8]), ()),
        "too much": (message("ENDED", session(ours, slot) + b"x"), ()),
        "far too much": (message("ENDED", bytes(100000)), ()),
        "a descriptor that does not belong there": (message("EVENTS", bytes(4)), (file,)),
        "an acquire without a socket": (message("ACQUIRE", session(ours, slot)), ()),
        "an acquire with two": (message("ACQUIRE", session(ours, slot)), (file, file)),
        "an acquire with many": (message("ACQUIRE", session(ours, slot)), (file,) * 50),
        "the supervisor's words": (message("STOP", bytes(8)), ()),
        "the steward's words": (message("KILL_ALL", bytes(32)), ()),
        "a holder's words": (message("HOLDER", bytes(4)), (file,)),
        "the end of a session that lives": (message("ENDED", session(ours, slot)), ()),
        "the end of another relay's session": (message("ENDED", session(other, slot)), ()),
        "an acquire of another relay's session": (message("ACQUIRE", session(other, slot)), (kept["a listener"].fileno(),)),
        "a slot beyond all": (message("ENDED", session(ours, high)), ()),
        "a slot far beyond all": (message("ENDED", session(ours, 0xffffffff)), ()),
    }
    for what, kind in kept.items():
        found[f"{what} as its client"] = (message("ACQUIRE", session(ours, slot)), (kind.fileno(),))
    return found, kept


def test_what_it_may_not_say(stage):
    """Each of it has the relay replaced, and its sessions go on in the next one."""
    stage = stage()
    warden, hooks = stage.warden, stage.warden.hooks["hooks"]
    acquired = len(hooks.runs("acquire"))
    with scribble.ledger_of(stage.stop_relay()) as ledger:
        said, kept = wrongs(stage, ledger)
    holder = warden.role("holder 0")
    for what, (datagram, fds) in said.items():
        relay = stage.stop_relay()
        os.kill(holder.pid, signal.SIGSTOP)  # the next relay finds the ledger as it was
        with scribble.ledger_of(relay) as ledger, hostile.as_relay(relay) as channel:
            if what.endswith("as its client"):
                scribble.set_state(ledger, stage.ours[0], ACQUIRING)
            assert channel.say(datagram, fds)
            wait_for(lambda: not relay.alive, f"the end of a relay that said {what}")
            scribble.set_state(ledger, stage.ours[0], RELAYING)
        os.kill(holder.pid, signal.SIGCONT)
        warden.wait_role("relay 0", not_this=relay)
        stage.check(sessions=[stage.ours[1], stage.others[0]])
    for kind in kept.values():
        kind.close()
    assert len(warden.log.matching("relay 0 said what it may not")) >= len(said)
    assert not warden.log.matching("relay 1 .*said what it may not")
    assert len(hooks.runs("acquire")) == acquired and not hooks.runs("release")


def test_ever_new_names(stage):
    """A lease for each of as many sessions as it likes to name, of one slot: it has one of them at a time."""
    stage = stage()
    warden, hooks = stage.warden, stage.warden.hooks["hooks"]
    warden.expected_log += ["nobody said that it is over", "system.lost", "stands in no ledger"]
    silent = stage.add_silent()
    acquired = len(hooks.runs("acquire"))
    relay = stage.stop_relay()
    with scribble.ledger_of(relay) as ledger, hostile.as_relay(relay) as channel:
        slot, at = scribble.index_of(ledger, silent), scribble.slot_at(ledger, silent)
        client = hostile.take_descriptor(relay.pid, scribble.descriptor(ledger, silent, 0))
        scribble.set_state(ledger, silent, ACQUIRING)
        for i in range(NAMES):
            name = int(silent, 16) + ((i + 1) << 26)
            struct.pack_into("=Q", ledger, at + 8, name)
            assert channel.say(message("ACQUIRE", session(name, slot)), (client,))
            wait_for(lambda: len(hooks.runs("acquire")) == acquired + i + 1, "its lease")
            wait_for(lambda: warden.status()["leases"]["held"] == len(stage.of), "the end of the one before")
        wait_for(lambda: len(hooks.released()) == NAMES, lambda: f"releases: {hooks.released()}")
        assert all(run.reason == "system.lost" for run in hooks.released())
        struct.pack_into("=Q", ledger, at + 8, int(silent, 16))
        scribble.set_state(ledger, silent, RELAYING)
        os.close(client)
        stage.check(sessions=stage.others)
    relay.kill()
    warden.wait_role("relay 0", not_this=relay)
    wait_for(lambda: len(hooks.released()) == NAMES + 1, "the last one's release")
    del stage.of[silent]
    stage.check()


def test_what_means_nothing(stage):
    """What a relay may say, but of what there is not, and in masses, while it takes no answer."""
    stage = stage()
    hooks = stage.warden.hooks["hooks"]
    silent = stage.add_silent()
    acquired = len(hooks.runs("acquire"))
    relay = stage.stop_relay()
    mine = int(silent, 16)
    with scribble.ledger_of(relay) as ledger, hostile.as_relay(relay) as channel:
        slot = scribble.index_of(ledger, silent)
        client = hostile.take_descriptor(relay.pid, scribble.descriptor(ledger, silent, 0))
        for i in range(64):
            body = struct.pack("=IIi", i % 4, i % 3, -(1 << 31) + i * 34000000)
            wait_for(lambda: channel.say(message("LISTENING", body)), "room in the channel")
        noise = random.Random(7)
        for _ in range(200):
            numbers = session(noise.getrandbits(58) << 6, noise.randrange(slot + 1), noise.getrandbits(32))
            wait_for(lambda: channel.say(message("RESOLVE", numbers)) and channel.say(message("ENDED", numbers)), "room in the channel")
        stage.check(sessions=stage.others)
        # Each is answered, as the session has its lease; the steward stops to hear us when too many answers wait.
        scribble.set_state(ledger, silent, ACQUIRING)
        said = 0
        while said < 30000:
            if channel.say(message("ACQUIRE", session(mine, slot)), (client,)):
                said += 1
            elif not is_heard(channel, session(mine, slot), client):
                break
        assert 0 < said < 30000, "the steward takes whatever it cannot answer"
        scribble.set_state(ledger, silent, RELAYING)
        os.close(client)
        stage.check(sessions=stage.others)
    relay.kill()
    stage.warden.wait_role("relay 0", not_this=relay)
    stage.check()
    assert len(hooks.runs("acquire")) == acquired and not hooks.runs("release")


def is_heard(channel, body, client):
    """Within a second there is room for one more."""
    try:
        return wait_for(lambda: channel.say(message("ACQUIRE", body), (client,)), "room", 1)
    except AssertionError:
        return False


@pytest.mark.takes(8)
def test_ledger_of_lies(stage):
    """All that a relay can write is nonsense: its own sessions end, and no one else's."""
    stage = stage()
    warden, hooks = stage.warden, stage.warden.hooks["hooks"]
    warden.expected_log += ["stands in no ledger", "system.lost", "listener", "count", "number of the next"]
    relay = stage.stop_relay()
    noise = random.Random(11)
    with scribble.ledger_of(relay) as ledger, hostile.as_relay(relay) as channel:
        for count in (1 << 20, 1 << 63, (1 << 64) - 1, 3):
            scribble.set_events_made(ledger, count)
            channel.say(message("EVENTS", bytes(4)))
            stage.check(sessions=stage.others)
        for at in scribble.all_slots(ledger):
            ledger[at:at + scribble.SLOT_SIZE] = noise.randbytes(scribble.SLOT_SIZE)
        scribble.set_events_made(ledger, 5000)
        at = scribble.events_at(ledger)
        ledger[at:at + 200000] = noise.randbytes(200000)
        channel.say(message("EVENTS", bytes(4)))
        warden.sessions(), warden.status()
    relay.kill()
    warden.wait_role("relay 0", not_this=relay)
    for i in stage.ours:
        assert stage.of[i][0].read_to_end().kind == "reset"
    wait_for(lambda: len(hooks.released()) == len(stage.ours), lambda: f"releases: {hooks.released()}", 30)
    assert {run.session for run in hooks.released()} == set(stage.ours)
    peers_of = {i: "%s:%d" % stage.of[i][0].sock.getsockname() for i in stage.ours}
    assert all(f"{run.client}:{run.client_port}" == peers_of[run.session] for run in hooks.released())
    for i in stage.others:
        stage.of[i][0].send(1000).read(1000)
    assert warden.role("steward") == stage.steward


def test_steward_that_finds_a_damaged_ledger(stage):
    """It cannot read it, so that pair begins anew; the other one is served meanwhile and after."""
    stage = stage()
    warden = stage.warden
    warden.expect_deaths("relay", "holder", "steward")
    warden.expected_log += ["ledger", "cannot start", "have died", "system.lost"]
    relay = warden.role("relay 0")
    with scribble.ledger_of(relay) as ledger:
        ledger[0:4] = b"\xff\xff\xff\xff"
    stage.steward.kill()
    warden.wait_role("steward", not_this=stage.steward)
    for i in stage.ours:
        assert stage.of[i][0].read_to_end().kind == "reset"
    for i in stage.others:
        stage.of[i][0].send(1000).read(1000)
    hooks = warden.hooks["hooks"]
    wait_for(lambda: {run.session for run in hooks.released()} == set(stage.ours), lambda: f"releases: {hooks.released()}", 30)
    for _ in range(8):
        with peers.connect(warden.address) as client:
            client.send(1000).read(1000)


def test_steward_that_finds_numbers_swapped(tcpwarden, backend):
    """A relay's ledger says that its listeners have each other's numbers. A steward that starts gives numbers on as the ledgers have
    them: were these believed, the listeners of all other relays would be closed, and opened anew with other numbers."""
    addresses = {name: f"127.0.0.1:{peers.free_port()}" for name in ("one", "two")}
    warden = tcpwarden({"workers": 2, "services": [service(name, at, backend(peers.echo).address) for name, at in addresses.items()]})
    warden.expect_deaths("steward")
    warden.check_descriptors = False  # what relay 0 listens on is opened anew
    relay, steward = warden.role("relay 0"), warden.role("steward")
    os.kill(relay.pid, signal.SIGSTOP)

    def listeners(title, begin=-4):
        with scribble.ledger_of(warden.role(title)) as found:
            return [bytes(found[at + begin:at + 160]) for at in scribble.listener_ids_at(found)]

    def numbers(title):
        return sorted(entry[:4] + entry[36:] for entry in listeners(title, 0))
    before = listeners("relay 1")
    with scribble.ledger_of(relay) as ledger:
        one, two = scribble.listener_ids_at(ledger)
        ledger[one:one + 4], ledger[two:two + 4] = ledger[two:two + 4], ledger[one:one + 4]
    steward.kill()
    warden.wait_role("steward", not_this=steward)
    os.kill(relay.pid, signal.SIGCONT)
    wait_for(lambda: warden.ctl_run("status").returncode == 0, "a steward that answers")
    wait_for(lambda: warden.reload().returncode == 0, "a reload")
    wait_for(lambda: numbers("relay 0") == numbers("relay 1"), "a relay that has its listeners by their numbers")
    for _ in range(12):
        for name, at in addresses.items():
            with peers.connect(at) as client:
                client.send(1000).read(1000)
                found = [s for s in warden.sessions() if s["client"] == "%s:%d" % client.sock.getsockname()]
                assert [s["service"] for s in found if s["relay"] == 1] in ([], [name])
    assert len(before) == 2 and listeners("relay 1") == before


def test_steward_that_speaks_wrongly(stage):
    """The relay drops it, and its sessions go on."""
    stage = stage()
    stage.warden.expected_log += ["not for me", "refused a plan"]
    relay = stage.warden.role("relay 0")
    mine, slot = int(stage.ours[0], 16), None
    with scribble.ledger_of(relay) as ledger:
        slot = scribble.index_of(ledger, stage.ours[0])
    with hostile.as_steward(relay, stage.steward) as channel, open("/dev/null") as file:
        for datagram, fds in (
                (b"", ()), (b"x", ()), (message(0, bytes(4)), ()), (message(63, bytes(4)), ()), (bytes(100000), ()),
                (message("STOP", bytes(8)), ()), (message("ENDED", session(mine, slot)), ()),
                (message("PLAN", bytes(4)), (file.fileno(),)), (message("PLAN", bytes(4)), ()),
                (message("LISTEN", bytes(16) + b"x" * 128), (file.fileno(),)),
                (message("UNLISTEN", b"\xff" * 8), ()),
                (message("END_DURABLE", session(mine, slot)), ()), (message("END_DURABLE", session(mine, 0xffffffff)), ()),
                (message("PROBE", session(mine, 0xfffffff)), ()),
                (message("KILL", session(mine + 64, slot) + bytes(8)), ()),
                (message("VERDICT", session(mine, slot) + b"\xff" * 40), ()),
                (message("EVENTS_TAKEN", b"\xff" * 8), ())):
            wait_for(lambda: channel.say(datagram, fds), "room in the channel")
    stage.check()
    stage.warden.log.wait("not for me", count=7)
    assert stage.warden.role("relay 0") == relay
    stage.check()

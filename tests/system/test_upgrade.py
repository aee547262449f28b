"""Sessions are handed over to another program, and do not notice."""
import json
import os
import random
import shutil
import signal
import threading
import time

import pytest

import daemon
import peers
from peers import End, connect
from waiting import wait_for

OVER = "upgrade: (done|given up)"


def upgrade(warden, meanwhile=None):
    """SIGUSR2; returns whether it was done."""
    before = len(warden.log.matching(OVER))
    warden.signal(signal.SIGUSR2)
    if meanwhile:
        meanwhile()
    wait_for(lambda: len(warden.log.matching(OVER)) > before, lambda: f"the upgrade's end\n{warden.log_tail()}", 90)
    return "done" in warden.log.matching(OVER)[-1].text


class Pings:
    """Sessions that exchange bytes with an echo backend all the time; the longest that one of them had to wait."""

    def __init__(self, address, count):
        self.clients = [connect(address) for _ in range(count)]
        self.longest = 0.0
        self.failed = None
        self.rounds = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.wait_round()

    def _run(self):
        try:
            while not self._over.is_set():
                for client in self.clients:
                    began = time.monotonic()
                    client.send(random.choice((10, 1000, 30_000))).read(client.sent - client.received)
                    self.longest = max(self.longest, time.monotonic() - began)
                self.rounds += 1
        except (OSError, AssertionError) as e:
            self.failed = e

    def wait_round(self):
        """Every session has exchanged bytes since now."""
        rounds = self.rounds
        wait_for(lambda: self.failed or self.rounds >= rounds + 2, "a round of all sessions", 60)
        assert not self.failed, self.failed
        return self

    def stop(self):
        self.wait_round()
        self._over.set()
        self._thread.join()
        for client in self.clients:
            client.finish()
            assert client.read_to_end() == End("eof", 0)
            client.close()


@pytest.fixture
def versions(through, scratch):
    """A daemon whose relay is a link that can be turned to another program: (daemon, turn)."""
    link = os.path.join(scratch, "relay")
    build = daemon.build_directory()
    real = os.path.join(build, "src", "relay", "relay")

    def turn(fault=None):
        target = real
        if fault:
            target = os.path.join(scratch, f"heir-{fault}")
            shutil.copy(os.path.join(build, "tests", "system", "fake", "heir"), target)
            os.chmod(target, 0o755)
        os.symlink(target, link + ".new")
        os.rename(link + ".new", link)

    def make(backends, **more):
        turn()
        return through(backends, daemon={"environment": {
            "TCPWARDEN_LIBEXECDIR": f"{scratch}:{os.path.join(build, 'src', 'steward')}"}}, **more), turn

    return make


def test_sessions_are_handed_over(through, backend):
    server = backend(peers.echo)
    warden = through(server.address, hooked=True, top={"workers": 2})
    pings = Pings(warden.address, 40)
    for _ in range(3):
        before = warden.roles()
        assert upgrade(warden)
        wait_for(lambda: not any(before[name].alive for name in before if name != "steward"), "the end of those before")
        pings.wait_round()
    with connect(warden.address) as newcomer:
        newcomer.send(10).read(10)
    print(f"longest exchange: {pings.longest * 1000:.0f} ms")
    pings.stop()
    assert {end.reason for end in warden.log.wait_ends(41)} == {"client.closed"}
    wait_for(lambda: len(warden.hooks["hooks"].released()) == 41, "releases")
    warden.note_baseline()


def test_under_load(through, load):
    """Bulk and small messages, ends of every kind, and clients that arrive all the time."""
    server = load.backend()
    warden = through(server.address, top={"workers": 2})
    client = load.client(warden.address, connections=3000, parallel=100, up="0:600000", down="0:600000", sizes="1:65536", deadline=200,
                         kinds="fin,ask,late,client_rst,backend_rst,abrupt")
    upgrades = 0
    while client.running and upgrades < 20:
        assert upgrade(warden)
        upgrades += 1
    client.wait()
    server.stop()
    assert upgrades >= 3


@pytest.mark.parametrize("fault", ["exits", "is-mute", "hangs", "relay-exits", "relay-hangs", "adoption-crashes", "adoption-hangs"])
def test_version_that_cannot_do_it_gives_way(versions, backend, fault):
    server = backend(peers.echo)
    warden, turn = versions(server.address, top={"workers": 2, "upgrade_timeout": "2s", "hang_after": "4s"})
    warden.expected_log += ["relay", "holder", "upgrade"]
    pings = Pings(warden.address, 20)
    turn(fault)
    assert not upgrade(warden)
    pings.wait_round()
    print(f"{fault}: longest exchange {pings.longest * 1000:.0f} ms")
    turn()
    assert upgrade(warden)
    pings.stop()
    assert {end.reason for end in warden.log.wait_ends(20)} == {"client.closed"}
    warden.note_baseline()


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(child) for child in f.read().split()]
    except OSError:
        return []


def whole(warden):
    """The pair's (holder, relay), once it is as the steward sees it, too."""
    def find():
        result = warden.ctl_run("status", json_lines=True)
        relay = json.loads(result.stdout)["relays"][0] if result.returncode == 0 else {}
        holders = [p for p in children(warden.popen.pid) if relay.get("pid") in children(p)]
        return holders and relay["state"] == "running" and (holders[0], relay["pid"])
    return wait_for(find, "a whole pair", 30)


@pytest.mark.parametrize("victim", ["old relay", "old holder", "new relay", "new holder"])
def test_killed_at_any_moment_of_a_hand_over(through, load, victim):
    server = load.backend()
    warden = through(server.address)
    warden.expect_deaths("relay", "holder")
    warden.expected_log += ["upgrade", "handed over", "relay"]
    client = load.client(warden.address, connections=6000, parallel=60, up="0:300000", down="0:300000", sizes="1:65536", deadline=240,
                         kinds="fin,ask,late,client_rst,backend_rst")
    chance = random.Random(7)
    done = tries = hits = 0

    def kill():
        nonlocal hits
        holder, relay = pair
        begun = time.monotonic()
        if victim.startswith("new"):
            while time.monotonic() < begun + 1:
                if holders := [p for p in children(warden.popen.pid) if p > steward and p != holder]:
                    holder = holders[0]
                    if victim == "new holder" or children(holder):
                        break
            relay = (children(holder) or [None])[0]
        time.sleep(chance.uniform(0, 0.02))  # anywhere in the hand-over; nothing is taken to have happened by then
        try:
            os.kill(holder if victim.endswith("holder") else relay, signal.SIGKILL)
            hits += 1
        except (ProcessLookupError, TypeError):
            pass

    steward = warden.role("steward").pid
    while client.running and tries < 40:
        tries += 1
        pair = whole(warden)
        done += upgrade(warden, kill)
    client.wait()
    print(f"{tries} hand-overs, the {victim} killed in {hits}: {done} were done all the same")
    assert hits >= 3
    server.stop()
    warden.check_descriptors = False


@pytest.mark.parametrize("one_in", [1000, 100])
def test_killed_at_every_step_of_a_hand_over(through, load, one_in):
    if not daemon.build_directory(kill_points=True):
        pytest.skip("TCPWARDEN_BUILD_KILLPOINTS names no build with --enable-kill-points")
    server = load.backend()
    warden = through(server.address, daemon={"kill_points": True, "environment": {"TCPWARDEN_KILL_ONE_IN": str(one_in)}})
    warden.expect_deaths("relay", "holder")
    warden.expected_log += ["upgrade", "handed over", "relay"]
    client = load.client(warden.address, connections=max(600, one_in), parallel=50, up="0:1000000", down="0:1000000", deadline=200,
                         kinds="fin=4,ask=2,late=2,client_rst,backend_rst")
    done = []
    while client.running:
        done.append(upgrade(warden))
    client.wait()
    print(f"{len(done)} hand-overs, {sum(done)} of them done")
    server.stop()
    warden.log.wait_ends(200)

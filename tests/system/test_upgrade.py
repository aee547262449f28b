"""Sessions are handed over to another program, and do not notice."""
import json
import os
import random
import signal
import time

import pytest

import daemon
import peers
import process
from peers import connect
from store import Store
from versions import Pings, another_version, installed, upgrade  # noqa: F401
from waiting import wait_for


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


@pytest.mark.takes(15)
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


@pytest.mark.slow
def test_another_version(installed, another_version, load):
    """Clients arrive all the time, and no session is lost, no connect refused, each byte right, there and back."""
    server = load.backend()
    echo = peers.Backend(peers.echo)
    warden, programs = installed(server.address, hooked=True, top={"workers": 2})
    client = load.client(warden.address, connections=4000, parallel=60, up="0:400000", down="0:400000", sizes="1:65536", deadline=200,
                         kinds="fin,ask,late,client_rst,backend_rst,abrupt")
    builds = [another_version, None]
    upgrades = 0
    pid = warden.popen.pid
    while client.running and upgrades < 20:
        programs.turn(builds[upgrades % 2])
        result = warden.ctl_run("upgrade", timeout=90)
        assert result.returncode == 0, result.stderr
        upgrades += 1
        status = warden.status()
        assert status["version"].endswith("-test") == (upgrades % 2 == 1) and status["version"] in result.stdout
        assert status["upgrade"] == {"number": upgrades, "state": "done", "error": ""}
    client.wait()
    print(f"{upgrades} upgrades")
    assert upgrades >= 2 and warden.popen.pid == pid
    server.stop()
    echo.close()
    wait_for(lambda: len(warden.hooks["hooks"].released()) >= 4000, "releases", 60)
    warden.release_twice = warden.acquire_unknown = True
    warden.expected_log += ["a hook of an earlier steward still runs"]
    warden.note_baseline()


def end_by_operator(warden, client):
    session = next(s for s in warden.sessions() if s["client"].endswith(f":{client.sock.getsockname()[1]}"))
    warden.ctl("kill", session["id"])
    with client:
        return client.read_to_end().kind


@pytest.mark.slow  # for the other build
def test_another_default(installed, another_version, backend):  # noqa: F811
    """The config in force stays; what it does not say is said by the version that serves, for sessions that begin then."""
    warden, programs = installed(backend(peers.echo).address, top={"workers": 2})

    def begin():
        client = connect(warden.address)
        client.send(10).read(10)
        return client
    old, older = begin(), begin()
    for build, word in ((another_version, "eof"), (None, "reset")):
        programs.turn(build)
        assert warden.ctl_run("upgrade", timeout=90).returncode == 0
        versions = {relay["version"] for relay in warden.status()["relays"]}
        assert versions == {warden.status()["version"]} and "of version" not in warden.ctl("status")
        wait_for(lambda: end_by_operator(warden, begin()) == word, f"new sessions that end by {word}")
        middle = begin() if build else middle
        if build:
            assert end_by_operator(warden, old) == "reset"
    assert end_by_operator(warden, older) == "reset" and end_by_operator(warden, middle) == "eof"


REFUSED = [{"steward": "dumb"}, {"supervisor": "dumb"}, {"relay": "unreadable"}]
BAD_RELAYS = ["exits", "is-mute", "hangs", "relay-exits", "relay-hangs", "adoption-crashes", "adoption-hangs"]
BAD = [*({"relay": fault} for fault in BAD_RELAYS), {"steward": "exits"}, {"steward": "hangs"}, {"steward": "crashes"}]


@pytest.mark.parametrize("faults", REFUSED + BAD, ids=lambda f: "-".join(f"{k}-{v}" for k, v in f.items()))
def test_version_that_cannot_do_it_gives_way(installed, backend, faults):
    server = backend(peers.echo)
    warden, programs = installed(server.address, top={"workers": 2, "upgrade_timeout": "2s", "hang_after": "4s"})
    warden.expected_log += ["relay", "holder", "upgrade", "steward"]
    pings = Pings(warden.address, 20)
    steward, relay = warden.role("steward"), warden.role("relay 0")
    programs.turn(**faults)
    result = warden.ctl_run("upgrade", timeout=90)
    assert result.returncode == 1 and "the upgrade was given up" in result.stderr, result
    pings.wait_round()
    print(f"{faults}: longest exchange {pings.longest * 1000:.0f} ms: {result.stderr}")
    assert warden.status()["upgrade"]["state"] == "failed" and "upgrade   failed: " in warden.ctl("status")
    if faults in REFUSED:
        assert warden.role("steward") == steward and warden.role("relay 0") == relay
    programs.turn()
    assert warden.ctl_run("upgrade", timeout=90).returncode == 0
    pings.stop()
    assert {end.reason for end in warden.log.wait_ends(20)} == {"client.closed"}
    warden.note_baseline()


@pytest.mark.slow  # for the other build
@pytest.mark.parametrize("fault", ["crashes", "hangs"])
def test_supervisor_that_does_not_arrive_gives_way(installed, another_version, backend, fault):
    server = backend(peers.echo)
    warden, programs = installed(server.address, environment={"TCPWARDEN_TEST_ARRIVAL": fault}, top={"upgrade_timeout": "1s"})
    warden.expected_log += ["upgrade"]
    pings = Pings(warden.address, 10)
    programs.turn(another_version)
    result = warden.ctl_run("upgrade", timeout=90)
    assert result.returncode == 1 and "the new supervisor" in result.stderr, result
    assert not warden.status()["version"].endswith("-test")
    programs.turn()
    assert warden.ctl_run("upgrade", timeout=90).returncode == 0
    pings.stop()
    warden.note_baseline()


@pytest.fixture
def kept(through):
    """A daemon whose supervisor's descriptors someone keeps, as systemd does."""
    stores = []

    def make(address, **more):
        warden = through(address, start=False, **more)
        warden.store = Store(os.path.join(warden.directory, "store"))
        stores.append(warden.store)
        warden.expect_deaths("supervisor")
        warden.expected_log += ["took up the tree", "upgrade", "handed over", "relay", "holder", "steward"]
        return warden.start()
    yield make
    for store in stores:
        store.close()


def test_supervisor_is_killed_in_an_upgrade(kept, backend):
    """Its successor takes up what there is, and the next upgrade goes on from there."""
    server = backend(peers.echo)
    warden = kept(server.address, top={"workers": 2})
    pings = Pings(warden.address, 20)
    assert upgrade(warden)
    chance = random.Random(11)
    for _ in range(8):
        warden.tree()
        warden.signal(signal.SIGUSR2)
        time.sleep(chance.uniform(0, 0.4))  # anywhere in it
        warden.tree()
        warden.popen.kill()
        warden.popen.wait()
        warden.start(ready=False)
        warden.wait_ready()
        pings.wait_round()
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


@pytest.mark.takes(25)
@pytest.mark.parametrize("victim", ["old relay", "old holder", "new relay", "new holder"])
def test_killed_at_any_moment_of_a_hand_over(through, load, victim):
    server = load.backend()
    warden = through(server.address)
    warden.expect_deaths("relay", "holder")
    warden.expected_log += ["upgrade", "handed over", "relay"]
    client = load.client(warden.address, connections=1000000, parallel=60, up="0:300000", down="0:300000", sizes="1:65536", deadline=240,
                         kinds="fin,ask,late,client_rst,backend_rst")
    chance = random.Random(7)
    done = tries = hits = 0

    def kill():
        nonlocal hits
        holder, relay = pair
        end = time.monotonic() + 10
        while time.monotonic() < end:
            heirs = [p for p in children(warden.popen.pid) if p != holder and process.Process(p).title == "tcpwarden: holder 0"]
            if heirs and (victim != "new relay" or children(heirs[0])):
                break
            time.sleep(0.0005)  # who spins is the last to run on a busy machine
        if victim.startswith("new") and heirs:
            holder = heirs[0]
            relay = (children(holder) or [None])[0]
        time.sleep(chance.uniform(0, 0.02 if victim.startswith("new") else 0.004))  # anywhere in the hand-over; nothing is taken to have happened by then
        try:
            os.kill(holder if victim.endswith("holder") else relay, signal.SIGKILL)
            hits += 1
        except (ProcessLookupError, TypeError):
            pass

    while tries < 40 or (hits < 3 and tries < 400):
        tries += 1
        pair = whole(warden)
        done += upgrade(warden, kill)
        assert client.running, client.wait()
    client.finish()
    print(f"{tries} hand-overs, the {victim} killed in {hits}: {done} were done all the same")
    assert hits >= 3
    server.stop()
    warden.check_descriptors = False


@pytest.mark.takes(8)
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

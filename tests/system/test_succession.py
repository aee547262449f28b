"""The supervisor is killed where someone keeps its descriptors: its successor takes the tree up, and nobody notices."""
import os
import random
import signal
import time

import pytest

import peers
import process
from conftest import FULL
from peers import End, connect
from store import Store
from waiting import wait_for


@pytest.fixture
def kept(through):
    """kept(address, ...): as `through`, with a store of descriptors behind it."""
    stores = []

    def make(address, **more):
        warden = through(address, start=False, **more)
        warden.store = Store(os.path.join(warden.directory, "store"))
        stores.append(warden.store)
        warden.expect_deaths("supervisor")
        warden.expected_log += ["took up the tree"]
        return warden.start()

    yield make
    for store in stores:
        store.close()


def succeed(warden):
    """The next supervisor, after the death of this one."""
    warden.tree()
    warden.popen.kill()
    warden.popen.wait()
    warden.start(ready=False)
    warden.wait_ready()


def test_what_is_left(kept, backend):
    warden = kept(backend(peers.echo).address, top={"workers": 2})
    wait_for(lambda: len(warden.store.names()) == 11 + 2 * 6, lambda: f"all that a successor needs: {warden.store.names()}")
    words = sorted(name.split("/")[1] for name in warden.store.names())
    assert words == sorted(["numbers", "lock", "census", "plan", "config", "steward", "steward-channel", "steward-pulse"] + 3 * ["program"] +
                           2 * ["ledger", "channel", "steward-end", "relay-end", "holder", "relay"])
    warden.stop()
    assert warden.store.names() == [] and warden.store.refused == 0


def test_nobody_notices(kept, load):
    server = load.backend()
    warden = kept(server.address, hooked=True, top={"workers": 2, "hang_after": "2s"})
    warden.expected_log += ["hang_after"]
    steward = warden.role("steward")
    held = load.client(warden.address, connections=40, parallel=40, kinds="fin,ask", up=300_000, down=300_000, pace=5, deadline=60)
    come = load.client(warden.address, connections=600, parallel=5, kinds="fin,ask,late", up="0:20000", down="0:20000", deadline=60)
    wait_for(lambda: server.progress()["opened"] > 100, "connections")
    for _ in range(3):
        opened = server.progress()["opened"]
        succeed(warden)
        wait_for(lambda: server.progress()["opened"] > opened + 50, "connections after the succession")
    assert warden.role("steward") == steward
    # It watches over them as the first one did.
    for number, pid in ((signal.SIGKILL, warden.relay_pid(0)), (signal.SIGSTOP, warden.relay_pid(1))):
        os.kill(pid, number)
    wait_for(lambda: warden.relay_pid(0) and warden.relay_pid(1) not in (None, pid), "other relays")
    warden.expect_deaths("relay", "steward")
    steward.kill()
    warden.wait_role("steward", not_this=steward)
    succeed(warden)
    held.wait()
    come.wait()


def test_role_that_died_with_it(kept, load):
    warden = kept(load.backend().address, hooked=True, top={"workers": 2})
    warden.expect_deaths("steward", "relay", "holder")
    client = load.client(warden.address, connections=60, parallel=60, kinds="fin", up=300_000, down=300_000, pace=5, deadline=60)
    for role in ("steward", "relay 0", "holder 1"):
        wait_for(lambda: warden.role(role), f"a {role}")
        warden.tree()
        victim = warden.role(role)
        for p in (warden.role("supervisor"), victim):
            p.kill()
        warden.popen.wait()
        warden.start(ready=False)
        warden.wait_ready()
        warden.wait_role(role, not_this=victim)
    client.wait()


def spoil(store, what):
    """Something is missing, or of another version."""
    if what != "version":
        assert store.lose(what) == 1
        return
    with open(f"/proc/self/fd/{store.passed()['tree/numbers/0.0']}", "r+b", buffering=0) as numbers:
        numbers.seek(4)
        numbers.write(b"\xff")


@pytest.mark.parametrize("lost", ["numbers", "lock", "census", "ledger", "channel", "steward", "version"])
def test_what_is_not_whole_is_not_taken_up(kept, backend, lost):
    """That tree ends in order, and never are there two."""
    server = backend(peers.collect)
    warden = kept(server.address, hooked=True, top={"orphan_timeout": "1s"})
    warden.expected_log += [".*"]
    with connect(warden.address) as client:
        client.send(1000)
        wait_for(lambda: server.accepted, "the backend's connection")
        warden.tree()
        warden.popen.kill()
        warden.popen.wait()
        spoil(warden.store, lost)
        warden.start(ready=False)
        assert warden.popen.wait(20) == 69
        assert warden.store.names() == [] and "cannot be taken up" in warden.log_tail()
        assert client.read_to_end() == End("reset", 0)
    assert server.wait() == [End("reset", 1000)]
    wait_for(lambda: not warden.tree(), lambda: f"the end of the tree: {warden.tree()}")
    wait_for(warden.hooks["hooks"].released, "a release")
    warden.start()


def test_rubbish_is_not_taken_up(kept, backend):
    warden = kept(backend(peers.collect).address, top={"orphan_timeout": "500ms"})
    warden.expected_log += [".*"]
    warden.tree()
    warden.popen.kill()
    warden.popen.wait()
    with open("/dev/null") as null:
        warden.store.kept["tree/census/0.0x"] = os.dup(null.fileno())
    warden.start(ready=False)
    assert warden.popen.wait(20) == 69
    assert warden.store.names() == []
    wait_for(lambda: not warden.tree(), lambda: f"the end of the tree: {warden.tree()}")
    warden.start()


def test_steward_that_died_before_it_was_taken_up(kept, backend):
    """And was reaped, so that its pidfd says nothing but that."""
    warden = kept(backend(peers.echo).address, top={"workers": 2})
    warden.expect_deaths("steward")
    with connect(warden.address) as client:
        client.send(1000).read(1000)
        warden.tree()
        steward = warden.role("steward")
        for p in (warden.role("supervisor"), steward):
            p.kill()
        warden.popen.wait()
        os.waitpid(steward.pid, 0)
        warden.start(ready=False)
        warden.wait_ready()
        client.send(1000).read(1000)


def test_last_words_of_a_steward_that_died_with_it(kept, backend):
    """It had told a supervisor of new settings that did not hear it any more."""
    server = backend(peers.echo)
    warden = kept(server.address, top={"workers": 2})
    warden.expect_deaths("steward")
    with connect(warden.address) as client:
        client.send(1000).read(1000)
        warden.tree()
        steward, supervisor = warden.role("steward"), warden.role("supervisor")
        supervisor.kill(signal.SIGSTOP)
        warden.configure({"shutdown_timeout": "3s"})
        assert warden.reload().returncode == 0
        for p in (steward, supervisor):
            p.kill()
        warden.popen.wait()
        os.waitpid(steward.pid, 0)
        warden.start(ready=False)
        warden.wait_ready()
        client.send(1000).read(1000)


def test_relay_that_retired_from_a_holder_that_is_stopped(kept, backend):
    """The successor learns of its end, and knows it from a death."""
    warden = kept(backend(peers.echo).address, top={"workers": 2, "hang_after": "1s"})
    warden.expected_log += ["starts no relay"]
    holder, relay = warden.role("holder 1"), warden.role("relay 1")
    holder.kill(signal.SIGSTOP)
    warden.configure({"workers": 1})
    assert warden.reload().returncode == 0
    wait_for(lambda: not relay.alive, "the end of the relay that is one too many")
    succeed(warden)
    wait_for(lambda: not holder.alive, "the end of its holder")
    warden.log.wait("holder and relay 1 have retired")
    warden.note_baseline()


def test_role_that_systemd_was_not_told_of(kept, backend):
    """It has not run yet: it waits for that, and dies with the supervisor."""
    warden = kept(backend(peers.echo).address, top={"workers": 2})
    warden.expect_deaths("steward", "relay")
    with connect(warden.address) as client:
        client.send(1000).read(1000)
        warden.store.passed()
        warden.store.listens.clear()
        for n in range(12):  # its queue is full by then
            relay = warden.role(f"relay {n % 2}")
            relay.kill()
            warden.wait_role(f"relay {n % 2}", not_this=relay)
        title, steward = warden.role("supervisor").title, warden.role("steward")
        steward.kill()
        wait_for(lambda: any(p.title == title for p in process.children_of(warden.popen.pid)), "one that waits")
        assert not warden.role("steward")
        warden.tree()
        warden.popen.kill()
        warden.popen.wait()
        warden.store.listens.set()
        warden.start(ready=False)
        warden.wait_ready()
        warden.wait_role("steward")
        client.send(1000).read(1000)


def test_killed_at_any_moment(kept, load):
    """Also while it takes up what another one left, and while roles that died are being started again."""
    rounds = 100 if FULL else 16
    moments = random.Random(1)
    warden = kept(load.backend().address, hooked=True, top={"workers": 2})
    warden.expect_deaths("steward", "relay")
    warden.expected_log += ["acquire", "hook", "release", "supervisor is dead", "relay"]
    held = load.client(warden.address, connections=40, parallel=40, kinds="fin,ask", up=10_000 * rounds, down=10_000 * rounds, pace=5, deadline=90)
    come = load.client(warden.address, connections=25 * rounds, parallel=4, kinds="fin,ask,late", up="0:20000", down="0:20000", deadline=90)
    for n in range(rounds):
        if n % 4 == 0:
            (warden.role("steward") or warden.role("supervisor")).kill()
        elif n % 4 == 2 and (pid := warden.relay_pid(n // 4 % 2)):
            os.kill(pid, signal.SIGKILL)
        time.sleep(moments.uniform(0, 0.12))  # the moment is what is tested
        warden.tree()
        warden.popen.kill()
        warden.popen.wait()
        assert "cannot be taken up" not in warden.log_tail(20)
        warden.start(ready=False)
    warden.wait_ready()
    held.wait()
    come.wait()

"""Every process dies in one moment, hooks and helpers included, and the state directory is as it was then. The next start gives back what
was held, whatever was going on, and serves."""
import os
import random
import signal
import shutil
import subprocess
import time

import pytest

import peers
import process
from helper import Helper
from peers import End, connect, free_port
from settings import service
from waiting import wait_for

ROUNDS = 5
EACH = 25  # leases that each service takes in a round before the cut is near
INSIDE = ["unshare", "--pid", "--fork", "--mount-proc"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare") or subprocess.run([*INSIDE, "true"]).returncode != 0,
                                reason="needs a pid namespace of its own")


@pytest.fixture
def house(tcpwarden, load):
    """Two services, with hooks that are run and with a helper."""
    server = load.backend()
    warden = tcpwarden({}, start=False)
    hooks, helper = warden.new_hooks(), Helper(os.path.join(warden.directory, "helper"), warden.user)
    warden.addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    many = {"concurrency": 8}
    warden.configure({"workers": 2, "services": [
        service("run", warden.addresses[0], server.address, hooks=hooks.config(acquire=many, release=many)),
        service("helped", warden.addresses[1], server.address, hooks=helper.config(many, many))]})
    warden.expected_log += [".*"]  # what a tree that was cut off had to say does not matter
    warden.release_twice = warden.acquire_unknown = True
    warden.helper = helper
    return warden


def cut(warden):
    """Whoever is process 1 of a pid namespace takes all of it along."""
    first, = process.children_of(warden.popen.pid)[:1]
    tree = warden.tree()
    first.kill()
    warden.popen.wait()
    wait_for(lambda: not [p for p in tree if p.alive], "the end of all processes")


@pytest.mark.parametrize("seed", (1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)))
def test_at_random_moments(house, load, seed):
    warden, noise = house, random.Random(seed)
    hooks, helper = warden.hooks["hooks"], warden.helper

    def taken():
        return len(hooks.runs("acquire")), len(helper.lines("taken"))
    states = set()
    for number in range(ROUNDS):
        # In some rounds releases fail, or take their time, so that there are leases in those states, too.
        hooks.set("release", exit=1 if number % 3 == 1 else None, delay=0.2 if number % 3 == 2 else None)
        hooks.set("acquire", delay=0.05 if number % 2 else None)
        helper.set(unwilling=1 if number % 3 == 1 else None, acquire__delay=0.05 if number % 2 else None)
        before = taken()
        warden.start(inside=INSIDE)
        clients = [load.client(at, connections=100000, parallel=20, kinds="fin,ask,abrupt,client_rst", up="0:3000", down="0:3000", pace=50,
                               deadline=60) for at in warden.addresses]
        wait_for(lambda: all(now >= then + EACH for now, then in zip(taken(), before)), "leases", 60)
        time.sleep(noise.random() / 2)
        counts = warden.status()["leases"]
        states |= {state for state, count in counts.items() if count}
        cut(warden)
        assert os.path.getsize(os.path.join(warden.state, "leases.db-wal")), "the store was closed in order"
        for client in clients:
            client.stop(clean=False)
    print(f"{taken()} leases, seen in the states {states}")
    hooks.set("release", exit=None, delay=None)
    hooks.set("acquire", delay=None)
    helper.set(unwilling=None, acquire__delay=None)
    warden.start()
    for at in warden.addresses:
        with connect(at) as client:
            client.finish()
            assert client.read_to_end() == End("eof", 0)
    wait_for(lambda: not hooks.imbalance(twice=True, unknown=True), lambda: f"{hooks.imbalance(True, True)[:5]}", 60)
    wait_for(lambda: not helper.held(), lambda: f"seats that are held: {helper.held()}", 60)
    wait_for(lambda: not any(warden.status()["leases"].values()), lambda: f"no leases: {warden.status()['leases']}", 60)
    assert {"held", "acquiring", "releasing"} <= states


@pytest.mark.parametrize("mode", ["exec", "helper"])
def test_start_that_is_stopped(through, backend, mode):
    """While it has nothing to serve by yet: what was held before is given back all the same."""
    warden = through(backend(peers.echo).address, start=False)
    hooks, helper = warden.new_hooks(), Helper(os.path.join(warden.directory, "helper"), warden.user)
    run = hooks.config(prepare_listen={}, release={"concurrency": 1})
    warden.configure({"services": [{**warden.settings["services"][0], "hooks": {**run, **(helper.config() if mode == "helper" else {})}}]})
    warden.start()
    clients = [connect(warden.address) for _ in range(8)]
    for client in clients:
        client.send(10).read(10)
    warden.cut_power()
    for client in clients:
        client.close()
    warden.expected_log += ["stands in no ledger", "was not confirmed"]
    warden.release_twice = True
    hooks.set("prepare_listen", gate=True)
    hooks.set("release", gate=True)
    helper.set(deaf=1)
    warden.start(ready=False)
    wait_for(lambda: len(hooks.runs("prepare_listen")) == 2, "a start that waits")
    warden.signal(signal.SIGTERM)
    warden.log.wait("stopping: sessions have")
    hooks.set("prepare_listen", gate=None)
    hooks.set("release", gate=None)
    helper.set(deaf=None)
    assert warden.wait_exit(60) == 0
    assert mode == "helper" or len(hooks.released()) == 8 and not hooks.imbalance(twice=True)
    assert not helper.held()
    warden.ended = True

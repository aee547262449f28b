"""The supervisor dies in an upgrade, or after one: what is installed need not be what serves, and all processes end up as one version."""
import json
import os
import random
import signal
import subprocess
import time

import pytest

import peers
from peers import End
from store import Store
from versions import Pings, installed  # noqa: F401
from waiting import wait_for

BEGUN, CROSSED, PAIR = "to the programs that are installed now", "the supervisor is of version", "relay . is handed over"


@pytest.fixture
def kept(installed):  # noqa: F811
    """kept(backends, ...): as `installed`, and someone keeps the supervisor's descriptors, as systemd does."""
    stores = []

    def before(warden):
        warden.store = Store(os.path.join(warden.directory, "store"))
        stores.append(warden.store)
        warden.expect_deaths("supervisor")
        warden.expected_log += ["took up the tree", "upgrade", "handed over", "relay", "holder", "steward"]
    yield lambda backends, **more: installed(backends, before=before, **more)
    for store in stores:
        store.close()


def kill(warden):
    supervisor = warden.role("supervisor")
    supervisor.kill(signal.SIGSTOP)  # nobody is started whom we do not know
    wait_for(lambda: supervisor.state == "T", "that the supervisor stands still")
    warden.tree()
    warden.popen.kill()
    warden.popen.wait()


def succeed(warden):
    warden.start(ready=False)
    warden.wait_ready()


def running(warden):
    """Which programs run: by role, the file."""
    warden.tree()
    roles = {"supervisor": warden.role("supervisor"), **warden.roles()}
    try:
        return {role: os.path.basename(os.readlink(f"/proc/{p.pid}/exe")) for role, p in roles.items()}
    except FileNotFoundError:
        return {}


def wait_all(warden, suffix, state):
    """Each process is of that program, and the upgrade that was."""
    names = {f"tcpwarden{suffix}", f"steward{suffix}", f"relay{suffix}"}

    def said():
        result = warden.ctl_run("status", json_lines=True)
        return result.returncode == 0 and json.loads(result.stdout)["upgrade"]["state"]
    wait_for(lambda: said() == state and set(running(warden).values()) == names,
             lambda: f"{names}, {state}: {running(warden)}, {said()}\n{warden.log_tail()}", 60)


def finish(warden, pings, count):
    pings.wait_round()
    pings.stop()
    assert {end.reason for end in warden.log.wait_ends(count)} == {"client.closed"}
    warden.note_baseline()


@pytest.mark.parametrize("moment", [BEGUN, CROSSED, PAIR, "serves"], ids=["asking", "crossed", "pair", "done"])
def test_it_is_finished(kept, backend, moment):
    """What is installed was asked for. The command that did waits for it."""
    warden, programs = kept(backend(peers.echo).address, top={"workers": 3})
    pings = Pings(warden.address, 20)
    programs.turn(copy="2")
    command = subprocess.Popen([warden.program("ctl", "tcpwardenctl"), "--socket", warden.control, "upgrade"], stdout=subprocess.PIPE, text=True)
    wait_for(lambda: warden.log.matching(f"upgrade: .*{moment}|{moment}"), "that moment", 30)
    kill(warden)
    succeed(warden)
    wait_all(warden, "-2", "done")
    assert warden.status()["upgrade"]["number"] == 1
    assert "serves" in command.communicate(timeout=30)[0] and command.returncode == 0
    finish(warden, pings, 20)


def test_at_any_moment(kept, backend):
    """Either the order was never heard, and all are as before, or it is carried out."""
    warden, programs = kept(backend(peers.echo).address, top={"workers": 3})
    pings = Pings(warden.address, 20)
    chance = random.Random(5)
    serves, orders = "", 0
    for n in range(6):
        installed_now = f"-{n}"
        programs.turn(copy=str(n))
        warden.tree()
        warden.signal(signal.SIGUSR2)
        time.sleep(chance.uniform(0, 0.6))  # anywhere in it
        kill(warden)
        succeed(warden)
        wait_for(lambda: warden.ctl_run("status").returncode == 0, "the control socket", 30)
        heard = warden.status()["upgrade"]["number"] > orders
        serves, orders = installed_now if heard else serves, orders + heard
        wait_all(warden, serves, "done" if orders else "never")
        pings.wait_round()
    print(f"{orders} orders were heard")
    finish(warden, pings, 20)


def test_nothing_changes_that_was_not_asked_for(kept, backend):
    """A death is no upgrade: the programs that served are there still."""
    warden, programs = kept(backend(peers.echo).address, top={"workers": 2})
    pings = Pings(warden.address, 20)
    programs.turn(copy="2")
    relay = warden.role("relay 0")
    for _ in range(2):
        kill(warden)
        succeed(warden)
        wait_all(warden, "", "never")
    assert warden.role("relay 0") == relay
    assert warden.ctl_run("upgrade", timeout=90).returncode == 0
    wait_all(warden, "-2", "done")
    kill(warden)
    succeed(warden)
    wait_all(warden, "-2", "done")
    finish(warden, pings, 20)


@pytest.mark.parametrize("faults", [{"steward": "exits"}, {"relay": "relay-exits"}, {"steward": "dumb"}],
                         ids=lambda f: "-".join(f"{k}-{v}" for k, v in f.items()))
def test_a_version_that_cannot_do_it(kept, backend, faults):
    """It is installed still, so each successor is of it, and gives way."""
    warden, programs = kept(backend(peers.echo).address, top={"workers": 2, "upgrade_timeout": "2s", "hang_after": "4s"})
    pings = Pings(warden.address, 20)
    programs.turn(copy="2", **faults)
    warden.signal(signal.SIGUSR2)
    wait_for(lambda: warden.log.matching(BEGUN), "an upgrade")
    kill(warden)
    succeed(warden)
    wait_all(warden, "", "failed")
    error = warden.status()["upgrade"]["error"]
    assert error
    kill(warden)
    succeed(warden)
    wait_all(warden, "", "failed")
    assert warden.status()["upgrade"] == {"number": 1, "state": "failed", "error": error}
    finish(warden, pings, 20)


@pytest.mark.parametrize("moment", ["crossed", "given"])
def test_what_served_is_installed_again(kept, backend, moment):
    """All goes back, if the upgrade was not done yet; also a pair that was being handed over."""
    warden, programs = kept(backend(peers.echo).address, top={"workers": 3})
    pings = Pings(warden.address, 20)
    programs.turn(copy="2")
    warden.signal(signal.SIGUSR2)
    wait_for(lambda: warden.log.matching(CROSSED), "a new supervisor")
    if moment == "given":
        wait_for(lambda: len([p for p in warden.tree() if p.title == "tcpwarden: holder 0"]) > 1 or warden.log.matching(PAIR), "an heir")
        warden.signal(signal.SIGSTOP)  # it can note nothing any more
        wait_for(lambda: warden.log.matching("another relay goes on"), "a relay that has given all")
    kill(warden)
    programs.turn()
    succeed(warden)
    done = bool(warden.log.matching("upgrade: done"))
    wait_all(warden, "-2" if done else "", "done" if done else "failed")
    assert done or "version before" in warden.status()["upgrade"]["error"]
    finish(warden, pings, 20)


def test_programs_that_were_lost(kept, backend):
    """What serves is not known, then: it is what is installed."""
    server = backend(peers.collect)
    warden, programs = kept(server.address, top={"workers": 2})
    with peers.connect(warden.address) as client:
        kill(warden)
        assert warden.store.lose("program") == 3
        succeed(warden)
        wait_all(warden, "", "never")
        assert warden.ctl_run("upgrade", timeout=90).returncode == 0
        client.send(1000).finish()
        assert client.read_to_end() == End("eof", 0)
    warden.note_baseline()

"""The state directory's disk is full, read-only, or what is on it was destroyed."""
import os
import shutil
import sqlite3
import subprocess
import time

import pytest

import peers
from peers import End, connect
from waiting import stays, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts")


@pytest.fixture
def small(through, backend):
    """A started daemon whose state directory is a disk of its own of 200 kB."""
    mounted = []

    def make(**more):
        warden = through(backend(peers.echo).address, hooked=True, start=False, **more)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k,mode=0755", "none", warden.state], check=True)
        mounted.append(warden.state)
        if warden.user:
            shutil.chown(warden.state, warden.user)
        warden.expected_log += ["leases.db", "acquire", "lease"]
        return warden.start()
    yield make
    for path in mounted:
        subprocess.run(["umount", "-l", path], check=False)


def fill(warden):
    with open(os.path.join(warden.state, "filler"), "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"x" * 4096)
        except OSError:
            pass
    os.truncate(os.path.join(warden.state, "filler"), os.path.getsize(os.path.join(warden.state, "filler")) & ~4095)


def serves(warden):
    with connect(warden.address) as client:
        client.send(10).read(10).finish()
        return client.read_to_end() == End("eof", 0)


def refused(warden):
    with connect(warden.address) as client:
        client.send(10)
        try:
            client.read(10)
        except (ConnectionResetError, AssertionError):
            return True
    return False


def test_full_disk_refuses_and_loses_nothing(small):
    warden = small(hook={"acquire": {"timeout": "500ms"}})
    warden.expect_deaths("steward")
    hooks = warden.hooks["hooks"]
    holders = [connect(warden.address) for _ in range(5)]
    for client in holders:
        client.send(10).read(10)
    old = warden.role("steward")
    old.kill()  # the next one begins with an empty log
    warden.wait_role("steward", not_this=old)
    wait_for(lambda: warden.ctl_run("status").returncode == 0, "the control socket")
    fill(warden)
    assert refused(warden) and refused(warden)
    assert len(hooks.runs("acquire")) == 5
    assert {end.reason for end in warden.log.wait_ends(2)} == {"system.failed"}
    assert len(warden.log.matching("cannot write.*disk")) == 1
    for client in holders:
        client.send(10).read(10)  # who holds is not disturbed
        client.close()
    stays(lambda: not hooks.runs("release"), "releases wait", 0.5)
    os.unlink(os.path.join(warden.state, "filler"))
    wait_for(lambda: len(hooks.released()) == 5, "five releases", 20)
    assert warden.log.matching("can be written again")
    assert serves(warden)
    wait_for(lambda: not hooks.imbalance(), lambda: f"balanced books: {hooks.imbalance()[:5]}", 30)


def test_full_disk_is_a_failure_of_renew(small):
    """What is not renewed expires by itself: the session is ended, not left without what it held."""
    warden = small(hook={"renew": {"every": "1s", "timeout": "500ms"}})
    hooks = warden.hooks["hooks"]
    warden.expect_deaths("steward")
    warden.expected_log += ["renew"]
    with connect(warden.address) as client:
        client.send(10).read(10)
        wait_for(lambda: hooks.runs("renew"), "a renewal")
        old = warden.role("steward")
        old.kill()  # the next one begins with an empty log
        warden.wait_role("steward", not_this=old)
        wait_for(lambda: warden.ctl_run("status").returncode == 0, "the control socket")
        fill(warden)
        assert client.read_to_end().kind == "reset"
    os.unlink(os.path.join(warden.state, "filler"))
    wait_for(hooks.released, "a release", 20)
    (end,) = warden.log.wait_ends()
    assert end.reason == "hook.failed"


def test_small_disk_is_enough(small):
    """What the database writes of its own accord never fills it for good."""
    warden = small()
    hooks = warden.hooks["hooks"]
    for turn in range(80):
        assert serves(warden)
        if turn == 20:
            fill(warden)  # what it has is enough
    wait_for(lambda: len(hooks.released()) == 80, "all releases", 30)


def test_full_disk_at_start(small):
    warden = small()
    assert serves(warden)
    wait_for(warden.hooks["hooks"].released, "a release")
    warden.stop()
    fill(warden)
    warden.expected_log += [".*"]
    warden.start()
    os.unlink(os.path.join(warden.state, "filler"))
    wait_for(lambda: serves(warden), "service", 30)


@pytest.mark.parametrize("what", ["deleted", "rubbish", "truncated"])
def test_database_destroyed_under_a_running_daemon(through, backend, what):
    warden = through(backend(peers.echo).address, hooked=True)
    warden.expected_log += ["leases.db", "damaged", "lease"]
    hooks = warden.hooks["hooks"]
    holder = connect(warden.address)
    holder.send(10).read(10)
    for suffix in ("", "-wal"):
        path = os.path.join(warden.state, "leases.db" + suffix)
        if not os.path.exists(path):
            continue
        if what == "deleted":
            os.unlink(path)
        elif what == "rubbish":
            with open(path, "r+b") as f:
                f.write(b"rubbish " * 4096)
        else:
            os.truncate(path, 100)
    for _ in range(5):
        assert serves(warden)
    holder.send(10).read(10)
    holder.close()
    wait_for(lambda: len({run.lease for run in hooks.released()}) == 6, lambda: f"six releases: {hooks.released()}", 30)
    warden.stop()
    for name in os.listdir(warden.state):
        if "corrupt" in name or what != "deleted" and name.startswith("leases.db"):
            os.unlink(os.path.join(warden.state, name))
    warden.start()
    assert serves(warden)


def test_fence_goes_on_though_the_clock_went_back(through, backend):
    """A database whose last fence is of next year: what comes is greater still."""
    warden = through(backend(peers.echo).address, hooked=True)
    assert serves(warden)
    hooks = warden.hooks["hooks"]
    wait_for(hooks.released, "a release")
    warden.stop()
    future = int((time.time() + 365 * 86400) * 1_000_000)
    with sqlite3.connect(os.path.join(warden.state, "leases.db")) as database:
        database.execute("UPDATE fence SET last = ?", (future,))
    database.close()
    for name in os.listdir(warden.state):
        if warden.user:
            shutil.chown(os.path.join(warden.state, name), warden.user)
    warden.start()
    for _ in range(3):
        assert serves(warden)
    fences = [int(run.fence) for run in hooks.runs("acquire")]
    assert fences[1:] == [future + 1, future + 2, future + 3]
    stays(lambda: warden.role("steward"), "the steward", 0.1)

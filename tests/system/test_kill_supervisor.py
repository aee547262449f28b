"""The supervisor is killed: the tree ends in order after orphan_timeout, and no second one gets between."""
import signal
import subprocess

import pytest

import peers
from peers import End, connect
from waiting import wait_for


def test_tree_ends_in_order(through, backend):
    server = backend(peers.collect)
    warden = through(server.address, hooked=True, top={"orphan_timeout": "2s"})
    warden.expected_log += [".*"]
    with connect(warden.address) as client:
        client.send(1000)
        warden.wait_sessions(1)
        wait_for(lambda: server.accepted, "the backend's connection")
        warden.tree()
        warden.popen.kill()
        warden.popen.wait()
        # Within orphan_timeout the session lives, and the lock with it, and others are served.
        client.send(1000)
        with connect(warden.address) as other:
            other.send(1000).finish()
            assert other.read_to_end() == End("eof", 0)
        second = subprocess.run([warden.program("supervisor", "tcpwarden"), "--config", warden.config_path], capture_output=True,
                                text=True, timeout=10, env={"TCPWARDEN_LIBEXECDIR":
                                                            f"{warden.program('steward')}:{warden.program('relay')}"})
        assert second.returncode == 69 and warden.state in second.stderr, second.stderr
        assert client.read_to_end() == End("reset", 0)
    assert sorted(server.wait(2)) == [End("eof", 1000), End("reset", 2000)]
    wait_for(lambda: len(warden.hooks["hooks"].released()) == 2, "both releases")
    assert sorted(run.reason for run in warden.hooks["hooks"].released())[1] == "system.shutdown"
    wait_for(lambda: not warden.tree(), lambda: f"the end of the tree: {warden.tree()}")
    warden.start()
    with connect(warden.address) as client:
        client.send(1)
        wait_for(lambda: server.accepted == 3, "the backend's connection")


@pytest.mark.parametrize("roles", [["relay 0"], ["holder 0"], ["holder 0", "relay 0"], ["holder 0", "holder 1"]], ids=" and ".join)
def test_tree_ends_in_order_after_more_deaths(through, load, roles):
    """Whoever else dies at that moment but the steward: all end, and every release runs."""
    server = load.backend()
    warden = through(server.address, hooked=True, top={"workers": 2, "orphan_timeout": "1s"})
    warden.expect_deaths("supervisor", *{role.split()[0] for role in roles})
    warden.expected_log += [".*"]
    client = load.client(warden.address, connections=40, parallel=40, kinds="fin", up=10_000_000, down=10_000_000, pace=20, deadline=60)
    warden.wait_sessions(40)
    hooks = warden.hooks["hooks"]
    tree = {p.title.removeprefix("tcpwarden: "): p for p in warden.tree()}
    warden.popen.kill()
    for role in roles:
        tree[role].kill()
    warden.popen.wait()
    wait_for(lambda: not warden.tree(), lambda: f"the end of the tree: {warden.tree()}", 60)
    client.stop(clean=False)
    assert len(hooks.released()) == 40 and not hooks.imbalance()
    warden.ended = True


def test_sigterm_to_an_orphaned_steward_ends_it_now(through, backend):
    server = backend(peers.collect)
    warden = through(server.address, hooked=True, top={"orphan_timeout": "1h"})
    warden.expected_log += [".*"]
    with connect(warden.address) as client:
        client.send(1000)
        wait_for(lambda: server.accepted, "the backend's connection")
        steward = warden.role("steward")
        warden.tree()
        warden.popen.kill()
        warden.popen.wait()
        client.send(1000)
        steward.kill(signal.SIGTERM)
        assert client.read_to_end() == End("reset", 0)
    assert server.wait() == [End("reset", 2000)]
    wait_for(lambda: not warden.tree(), lambda: f"the end of the tree: {warden.tree()}")
    assert [run.reason for run in warden.hooks["hooks"].released()] == ["operator.shutdown"]
    warden.ended = True


def test_client_that_waits_for_its_lease_is_reset(through, backend):
    warden = through(backend(peers.collect).address, hooked=True, top={"orphan_timeout": "500ms"})
    warden.expected_log += [".*"]
    hooks = warden.hooks["hooks"]
    hooks.set("acquire", gate=True)
    with connect(warden.address) as client:
        wait_for(lambda: hooks.runs("acquire"), "the acquire hook")
        warden.tree()
        warden.popen.kill()
        warden.popen.wait()
        assert client.read_to_end() == End("reset", 0)
    hooks.set("acquire", gate=None)
    wait_for(lambda: not warden.tree(), lambda: f"the end of the tree: {warden.tree()}", 30)
    warden.acquire_unknown = warden.release_twice = True
    warden.start()
    wait_for(hooks.released, "a release")


@pytest.mark.slow  # a relay without a steward waits for a minute before it ends its sessions itself
def test_everything_is_killed_one_by_one(through, load):
    """In the order in which an impatient operator would do it; the next start finds its feet."""
    server = load.backend()
    warden = through(server.address, hooked=True, top={"orphan_timeout": "500ms"})
    warden.expect_deaths("supervisor", "steward", "holder", "relay")
    warden.expected_log += [".*"]
    client = load.client(warden.address, connections=100, parallel=20, kinds="fin", up=100_000, down=100_000, pace=20, deadline=30)
    wait_for(lambda: len(warden.hooks["hooks"].runs("acquire")) > 10, "acquire hooks")
    warden.tree()
    warden.popen.kill()
    warden.popen.wait()
    for role in ("steward", "holder 0", "relay 0"):
        for p in warden.tree():
            if p.title == f"tcpwarden: {role}":
                p.kill()
    wait_for(lambda: not warden.tree(), lambda: f"the end of the tree: {warden.tree()}", 150)
    client.stop(clean=False)
    warden.start()
    hooks = warden.hooks["hooks"]
    wait_for(lambda: not hooks.imbalance(twice=True, unknown=True), lambda: f"{hooks.imbalance(True, True)[:5]}", 30)

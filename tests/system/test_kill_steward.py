"""The steward is killed at any moment: no lease without a release, no session lost, whoever waits is served."""
import pytest

import peers
from killer import Killer
from peers import End, connect
from waiting import wait_for


def steward_pid(warden):
    p = warden.role("steward")
    return p and p.pid


def test_sessions_go_on_without_a_steward(through, backend):
    server = backend(peers.echo)
    warden = through(server.address, hooked=True)
    warden.expect_deaths("steward")
    with connect(warden.address) as client:
        client.send(1000).read(1000)
        old = warden.role("steward")
        old.kill()
        client.send(100_000).read(100_000)
        warden.wait_role("steward", not_this=old)
        client.send(1000).read(1000).finish()
        assert client.read_to_end() == End("eof", 0)
    (released,) = wait_for(warden.hooks["hooks"].released, "a release")
    assert (released.reason, released.bytes_to_backend) == ("client.closed", "102000")
    assert len(warden.hooks["hooks"].runs("acquire")) == 1
    warden.release_twice = warden.acquire_unknown = False  # nothing was under way when it died


def test_client_that_waits_for_its_lease_is_served(through, backend):
    warden = through(backend(peers.echo).address, hooked=True)
    warden.expect_deaths("steward")
    hooks = warden.hooks["hooks"]
    hooks.set("acquire", gate=True)
    with connect(warden.address) as client:
        client.send(10)
        wait_for(lambda: hooks.runs("acquire"), "the acquire hook")
        old = warden.role("steward")
        old.kill()
        hooks.set("acquire", gate=None)
        client.read(10).finish()
        assert client.read_to_end() == End("eof", 0)
    runs = hooks.runs("acquire")
    wait_for(lambda: len({run.fence for run in hooks.released()}) == len(runs), "a release for each acquire")
    assert len({run.fence for run in runs}) == len(runs)


def test_session_that_ended_meanwhile_is_released(through, backend):
    warden = through(backend(peers.echo).address, hooked=True)
    warden.expect_deaths("steward")
    with connect(warden.address) as client:
        client.send(10).read(10)
        warden.role("steward").kill()
    (released,) = wait_for(warden.hooks["hooks"].released, "a release")
    assert released.reason == "client.closed" and released.bytes_to_backend == "10"


@pytest.mark.takes(12)
def test_killed_at_random_under_connecting_clients(through, load):
    server = load.backend()
    warden = through(server.address, hooked=True, top={"workers": 2})
    warden.expect_deaths("steward")
    warden.expected_log += ["acquire", "release", "hook"]
    count = 2500
    client = load.client(warden.address, connections=count, parallel=20, kinds="fin,ask,late", up="0:20000", down="0:20000",
                         deadline=150)
    with Killer(lambda: steward_pid(warden), (0.1, 0.9)) as killer:
        client.popen.wait(170)
    result = client.wait()
    assert killer.kills >= 5, f"only {killer.kills} kills in {result['ms']} ms"
    warden.wait_sessions(0, deadline=60)
    hooks = warden.hooks["hooks"]
    wait_for(lambda: not hooks.imbalance(twice=True, unknown=True), lambda: f"balanced books: {hooks.imbalance(True, True)[:5]}", 60)

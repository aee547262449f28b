"""A relay is killed or hangs, and no session notices."""
import os
import signal

import pytest

import daemon
import peers
from killer import Killer, wait_kills
from peers import End, connect
from waiting import wait_for

MB = 1 << 20


def transfers(warden, load, server, interval, kills=200, size=8 * MB):
    """As long as it takes to kill so often, on any machine."""
    client = load.client(warden.address, connections=1000000, parallel=100, up=size, down=size, kinds="fin", deadline=900)
    warden.expect_deaths("relay")
    with Killer(warden.relay_pid, interval) as killer:
        wait_kills(killer, kills, client, 300)
    result = client.finish(300)
    server.stop()
    assert killer.kills >= kills, f"only {killer.kills} kills"
    count = result["kinds"]["fin"]["all"]
    ends = warden.log.wait_ends(count)
    assert all(end.reason in ("client.closed", "backend.closed") for end in ends)
    assert {int(end.bytes_to_client) for end in ends} == {size}
    assert len({int(end.bytes_to_backend) for end in ends}) == 1
    return killer


@pytest.mark.takes(30)
@pytest.mark.parametrize("interval_ms", [50, 20])
def test_killed_in_mid_transfer(through, load, interval_ms):
    server = load.backend()
    warden = through(server.address)
    transfers(warden, load, server, interval_ms / 1000)


def test_killed_among_mixed_ends(through, load):
    """Half-closes and resets keep their meaning over a relay's death, small messages as well as large."""
    server = load.backend()
    warden = through(server.address)
    warden.expect_deaths("relay")
    with Killer(warden.relay_pid, (0.02, 0.08)) as killer:
        load.client(warden.address, connections=2000, parallel=100, up="0:300000", down="0:300000", sizes="1:65536", deadline=120,
                    kinds="fin,ask,late,client_rst,backend_rst,abrupt").wait()
    server.stop()
    assert killer.kills >= 5


def test_killed_with_so_many_that_some_are_served_before_others_are_adopted(through, load):
    server = load.backend()
    warden = through(server.address)
    warden.expect_deaths("relay")
    with Killer(warden.relay_pid, (0.02, 0.08)) as killer:
        load.client(warden.address, connections=1500, parallel=500, up="0:100000", down="0:100000", sizes="1:65536", deadline=120,
                    kinds="fin,ask,late,client_rst,backend_rst,abrupt").wait()
    server.stop()
    assert killer.kills >= 5


def test_killed_while_hooks_run(through, load):
    server = load.backend()
    warden = through(server.address, hooked=True)
    warden.expect_deaths("relay")
    with Killer(warden.relay_pid, (0.02, 0.08)) as killer:
        load.client(warden.address, connections=300, parallel=30, up="0:3000", down="0:3000", deadline=120,
                    kinds="fin,ask,late,client_rst,backend_rst").wait()
    assert killer.kills >= 5
    wait_for(lambda: len(warden.hooks["hooks"].released()) >= 300, "300 releases", 30)


@pytest.mark.takes(10)
@pytest.mark.parametrize("one_in", [3000, 300])
def test_killed_at_every_step_of_a_transfer(through, load, one_in):
    if not daemon.build_directory(kill_points=True):
        pytest.skip("TCPWARDEN_BUILD_KILLPOINTS names no build with --enable-kill-points")
    server = load.backend()
    warden = through(server.address, daemon={"kill_points": True, "environment": {"TCPWARDEN_KILL_ONE_IN": str(one_in)}})
    warden.expect_deaths("relay")
    load.client(warden.address, connections=max(200, one_in // 2), parallel=50, up="0:1000000", down="0:1000000", deadline=200,
                kinds="fin=4,ask=2,late=2,client_rst,backend_rst").wait()
    server.stop()
    assert len(warden.log.matching("relay.*signal 9")) >= 10
    # A tree with kill points cannot stop in order while it shoots at itself; its sessions are over, that is what counts here.
    warden.log.wait_ends(200)


def test_hung_relay_is_replaced(through, backend):
    server = backend(peers.echo)
    warden = through(server.address, hooked=True, top={"hang_after": "1s"})
    warden.expect_deaths("relay")
    with connect(warden.address) as client:
        client.send(1000).read(1000)
        hung = warden.role("relay 0")
        os.kill(hung.pid, signal.SIGSTOP)
        client.send(5 * MB // 16)  # into a relay that does not move
        warden.wait_role("relay 0", not_this=hung)
        client.read(5 * MB // 16).finish()
        assert client.read_to_end() == End("eof", 0)
    assert not hung.alive
    (end,) = warden.log.wait_ends()
    assert (end.reason, end.bytes_to_backend) == ("client.closed", str(1000 + 5 * MB // 16))


def test_stalled_sessions_survive(through, backend):
    """Full sockets and pipes in both directions at the moment of death."""
    servers = backend(peers.hold, receive_buffer=16384)
    warden = through(servers.address)
    warden.expect_deaths("relay")
    clients = [connect(warden.address, receive_buffer=16384) for _ in range(4)]
    held = servers.wait(4)
    sent = [client.send_until_full(64 * MB) for client in clients]
    for peer in held:
        peer.send_until_full(64 * MB)
    for _ in range(5):
        relay = warden.role("relay 0")
        relay.kill()
        warden.wait_role("relay 0", not_this=relay)
    # Which client belongs to which backend is told by how much it sent; each stream is checked byte by byte all the same.
    for client in clients:
        client.finish()
    readers = [peer.finish() and peer for peer in held]
    import threading
    ends = {}
    threads = [threading.Thread(target=lambda p=p: ends.__setitem__(p, p.read_to_end())) for p in [*clients, *readers]]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert sorted(ends[p].bytes for p in readers) == sorted(sent)
    assert sorted(ends[c].bytes for c in clients) == sorted(p.sent for p in held)
    assert {end.kind for end in ends.values()} == {"eof"}
    for p in [*clients, *held]:
        p.close()

"""Those who stall cost two descriptors each, and hinder no one."""
import os
import time

import pytest

import peers
from peers import End, connect
from stage import PACINGS
from waiting import wait_for

MB = 1 << 20
# When those who stall are gone, what they did not take is given up soon.
SOON = {"client": {"linger_timeout": "1s"}, "backend": {"linger_timeout": "1s"}}


def quiet(*loads):
    """Until nothing moves any more."""
    seen = [None]

    def still():
        seen.append([load.progress()["sent"] for load in loads])
        time.sleep(0.3)
        return seen[-1] == seen[-2]
    wait_for(still, lambda: f"a standstill: {seen[-3:]}", 60)


def full_speed(load, warden):
    """Seconds for 32 MiB each way by one client."""
    began = time.monotonic()
    load.client(warden.address, kinds="fin", up=32 * MB, down=32 * MB, sizes="65536:262144", deadline=60).wait()
    return time.monotonic() - began


@pytest.mark.xdist_group("machine")  # the kernel's memory for TCP is everybody's
def test_9000_stalled_sessions_and_one_that_moves(small_buffers, through, load):
    # Half stall in one direction, half in the other.
    server = load.backend("--send-buffer", 16384, "--receive-buffer", 16384)
    warden = through(server.address, **SOON)
    full_speed(load, warden)
    alone = full_speed(load, warden)
    relay = warden.role("relay 0")
    memory = relay.rss_kb
    half = dict(connections=4500, parallel=4500, send_buffer=16384, receive_buffer=4096, deadline=120)
    stalled = [load.client(warden.address, kinds="stall_down", up=0, down=MB, seed=1, **half),
               load.client(warden.address, kinds="stall_up", up=MB, down=0, seed=2, **half)]
    for client in stalled:
        client.wait_event("idle", deadline=90)
    quiet(server, *stalled)
    warden.wait_sessions(9000, 60)
    used = relay.descriptors()
    if used:
        assert used["socket"] <= 2 * 9000 + 50
        assert used.get("pipe", 0) <= 2 * 1024
    assert relay.rss_kb - memory < 4096 + 9000 // 4, f"the relay grew from {memory} to {relay.rss_kb} kB"  # a quarter kB a session
    among = full_speed(load, warden)
    assert among < 4 * alone + 1, f"{alone:.2f} s alone, {among:.2f} s among stalled ones"
    assert warden.role("relay 0") == relay
    for client in stalled:
        client.stop()
    warden.wait_sessions(0, deadline=60)
    server.stop()


def test_stalled_sessions_survive_their_relay(small_buffers, through, load):
    server = load.backend("--send-buffer", 16384, "--receive-buffer", 16384)
    warden = through(server.address, **SOON)
    warden.expect_deaths("relay")
    half = dict(connections=1000, parallel=1000, send_buffer=16384, receive_buffer=4096, deadline=120)
    stalled = [load.client(warden.address, kinds="stall_down", up=0, down=MB, seed=1, **half),
               load.client(warden.address, kinds="stall_up", up=MB, down=0, seed=2, **half)]
    for client in stalled:
        client.wait_event("idle")
    quiet(server, *stalled)
    relay = warden.role("relay 0")
    relay.kill()
    warden.wait_role("relay 0", not_this=relay)
    full_speed(load, warden)
    warden.wait_sessions(2000)
    for client in stalled:
        client.stop()
    warden.wait_sessions(0, deadline=60)
    server.stop()


def test_client_that_does_not_read_64_mb(through, backend):
    """Back-pressure: the backend is stopped, the relay holds next to nothing, and all of it arrives in the end."""
    server = backend(lambda peer: peer.send(64 * MB).finish().read_to_end())
    warden = through(server.address)
    relay = warden.role("relay 0")
    memory, descriptors = relay.rss_kb, relay.descriptors()
    with connect(warden.address, receive_buffer=65536) as client:
        warden.wait_sessions(1)
        moved = [-1]

        def still():
            (session,) = warden.sessions()
            moved.append(session["bytes_to_client"])
            time.sleep(0.3)
            return moved[-1] == moved[-2] and moved[-1] > 0
        wait_for(still, "a standstill")
        assert moved[-1] < 32 * MB
        assert relay.rss_kb - memory < 1024
        if descriptors:
            now = relay.descriptors()
            assert now["socket"] == descriptors["socket"] + 2 and now.get("pipe", 0) <= descriptors.get("pipe", 0) + 4
        cpu = os.times()
        client.finish()
        assert client.read_to_end() == End("eof", 64 * MB)
        assert relay.rss_kb - memory < 1024 and cpu
    assert server.wait() == [End("eof", 0)]


def test_stalled_session_costs_no_processor_time(through, backend):
    """A relay that spins would be seen at once."""
    server = backend(peers.hold, receive_buffer=16384)
    warden = through(server.address)
    relay = warden.role("relay 0")

    def ticks():
        with open(f"/proc/{relay.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])
    with connect(warden.address, receive_buffer=16384) as client:
        client.send_until_full(64 * MB)
        server.wait()[0].send_until_full(64 * MB)
        before = ticks()
        time.sleep(1)  # the time over which it is measured
        assert ticks() - before <= 10
        server.results[0].reset()


@pytest.mark.slow
@pytest.mark.parametrize("pacing", PACINGS)
def test_what_is_left_for_a_stopped_reader_survives_a_relay(small_buffers, through, backend, pacing):
    """The session is closing, and the kernel was being paced by a relay that died: its successor must know."""
    server = backend(peers.hold)
    warden = through(server.address, client={"dead_after": "10s", "linger_timeout": "60s"},
                     daemon={"environment": PACINGS[pacing]})
    warden.expect_deaths("relay")
    client = connect(warden.address)
    (peer,) = server.wait()
    peer.send_until_full(100000)
    time.sleep(3)  # the kernel asks ever more seldom
    peer.reset()
    time.sleep(4)
    warden.role("relay 0").kill()
    time.sleep(35)
    assert not warden.log.ends()
    end = client.read_to_end()
    line = warden.log.wait_ends()[0]
    assert (end.kind, line.reason, str(end.bytes)) == ("reset", "backend.reset", line.bytes_to_client)
    client.close()

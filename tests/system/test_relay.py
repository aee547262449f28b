"""The relay where it hurts: deaths at every step over every kind of socket, what waits while something changes, and running out."""
import collections
import os
import signal
import socket
import subprocess
import time

import pytest

import daemon
import peers
from peers import End, connect
from settings import service
from waiting import wait_for

KB, MB = 1 << 10, 1 << 20


def processor_ms(process):
    with open(f"/proc/{process.pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 // os.sysconf("SC_CLK_TCK")


def told_once(warden):
    """Each session is told of once at its start and once at its end."""
    starts = collections.Counter(line.fields["session"] for line in warden.log.read()
                                 if line.message.startswith("session") and "session" in line.fields and not line.is_end)
    ends = collections.Counter(line.fields["session"] for line in warden.log.ends())
    assert not [i for i, n in (*starts.items(), *ends.items()) if n != 1]
    return len(ends)


def limit_descriptors(process, soft):
    """As the user that it runs as, which needs no privilege."""
    with open(f"/proc/{process.pid}/status") as f:
        ids = {line.split()[0]: int(line.split()[1]) for line in f if line.startswith(("Uid:", "Gid:"))}
    other = {} if ids["Uid:"] == os.getuid() else {"user": ids["Uid:"], "group": ids["Gid:"], "extra_groups": []}
    subprocess.run(["prlimit", "--pid", str(process.pid), f"--nofile={soft}:"], check=True, **other)


@pytest.fixture
def deaf():
    """deaf(): the address of a listener that answers no SYN, its queue being full."""
    sockets = []

    def make():
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        sockets.append(listener)
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(listener.getsockname())
            sockets.append(s)
        return "127.0.0.1:%d" % listener.getsockname()[1]

    yield make
    for s in sockets:
        s.close()


# Deaths at every step.

@pytest.mark.parametrize("listens, connects", [("tcp", "unix"), ("unix", "tcp"), ("unix", "unix"), ("tcp", "tcp")])
@pytest.mark.parametrize("hooked", [False, True])
def test_killed_at_every_step(through, load, scratch, listens, connects, hooked):
    if not daemon.build_directory(kill_points=True):
        pytest.skip("TCPWARDEN_BUILD_KILLPOINTS names no build with --enable-kill-points")
    server = load.backend(address=f"unix:{scratch}/backend" if connects == "unix" else None)
    if connects == "unix":
        os.chmod(server.address.removeprefix("unix:"), 0o777)
    warden = through(server.address, hooked=hooked, listen=f"unix:{scratch}/front" if listens == "unix" else None,
                     daemon={"kill_points": True, "environment": {"TCPWARDEN_KILL_ONE_IN": "200"}})
    warden.expect_deaths("relay")
    # What a unix socket cannot say is a reset.
    kinds = "fin=4,ask=2,late=2,client_rst,backend_rst" if (listens, connects) == ("tcp", "tcp") else "fin=4,ask=2,late=2"
    count = 150
    load.client(warden.address, connections=count, parallel=20, up="0:300000", down="0:300000", deadline=100, kinds=kinds).wait()
    server.stop()
    assert len(warden.log.matching("relay.*signal 9")) >= 10
    warden.log.wait_ends(count)
    if hooked:
        wait_for(lambda: len(warden.hooks["hooks"].released()) >= count, "releases", 30)
    assert told_once(warden) == count


def test_a_limit_is_exact_after_deaths(through, load, backend):
    if not daemon.build_directory(kill_points=True):
        pytest.skip("TCPWARDEN_BUILD_KILLPOINTS names no build with --enable-kill-points")
    server = backend(peers.echo)
    warden = through(server.address, limits={"connections": 5, "reject_message": "busy\r\n"},
                     daemon={"kill_points": True, "environment": {"TCPWARDEN_KILL_ONE_IN": "300"}})
    warden.expect_deaths("relay")
    for _ in range(20):
        full = [connect(warden.address).send(10).read(10) for _ in range(5)]
        for _ in range(5):
            with connect(warden.address) as refused:
                assert refused.read_raw() == (b"busy\r\n", "eof")
        for client in full:
            client.finish()
            assert client.read_to_end() == End("eof", 0)
            client.close()
        warden.wait_sessions(0)
    told_once(warden)


@pytest.mark.parametrize("listens", ["tcp", "unix"])
def test_killed_while_it_refuses(through, load, backend, scratch, listens):
    """Each refused client is told why, once."""
    if not daemon.build_directory(kill_points=True):
        pytest.skip("TCPWARDEN_BUILD_KILLPOINTS names no build with --enable-kill-points")
    warden = through(backend(peers.echo).address, listen=f"unix:{scratch}/front" if listens == "unix" else None,
                     limits={"connections": 1, "reject_message": "busy\r\n"},
                     daemon={"kill_points": True, "environment": {"TCPWARDEN_KILL_ONE_IN": "150"}})
    warden.expect_deaths("relay")
    with connect(warden.address) as client:
        client.send(10).read(10)
        load.client(warden.address, kinds="message", message="busy\r\n", connections=200, parallel=20, deadline=60).wait()
        client.send(10).read(10)
    warden.log.wait_ends(201)
    assert told_once(warden) == 201


# Unix sockets.

def test_unix_client_that_says_something_and_goes(through, backend, scratch):
    """Its close is no reset: what it said is delivered, although it had gone before its lease was there."""
    server = backend(peers.collect)
    warden = through(server.address, hooked=True, listen=f"unix:{scratch}/front")
    for _ in range(20):
        with connect(warden.address) as client:
            client.send(100)
    assert server.wait(20) == [End("eof", 100)] * 20
    assert {end.reason for end in warden.log.wait_ends(20)} == {"client.closed"}


def test_unix_client_that_is_refused_and_stays(through, backend, scratch):
    """It is let go in its time, and nobody polls it."""
    server = backend(peers.echo)
    warden = through(server.address, listen=f"unix:{scratch}/front", client={"linger_timeout": "1s"},
                     limits={"connections": 1, "reject_message": "busy\r\n"})
    with connect(warden.address) as first, connect(warden.address) as second:
        first.send(10).read(10)
        assert second.read_raw() == (b"busy\r\n", "eof")
        warden.wait_sessions(1, deadline=4)
        assert {end.reason for end in warden.log.wait_ends(1)} == {"policy.limit"}


def test_unix_backend_that_answers_and_takes_no_more(through, backend, scratch):
    """The whole answer arrives, and its end, though the client's next bytes find no taker."""
    def script(peer):
        peer.read(1).send(100 * KB)
        peer.close()
    server = backend(script, address=f"unix:{scratch}/backend")
    warden = through(server.address)
    with connect(warden.address, receive_buffer=16 * KB) as client:
        client.send(1)
        server.wait()
        client.send(100)
        wait_for(lambda: client.unacknowledged() == 0, "acknowledgement")
        assert client.read_to_end() == End("eof", 100 * KB)


@pytest.mark.parametrize("one_in", [0, 30])
def test_urgent_byte_to_a_unix_socket(through, backend, scratch, one_in):
    """It stays in its place and stops nothing, also if a relay dies at each step there."""
    if one_in and not daemon.build_directory(kill_points=True):
        pytest.skip("TCPWARDEN_BUILD_KILLPOINTS names no build with --enable-kill-points")

    def script(peer):
        got = peer.read_raw()
        peer.sock.sendall(got[0][::-1])
        return got
    server = backend(script, address=f"unix:{scratch}/backend")
    warden = through(server.address, **({"daemon": {"kill_points": True, "environment": {"TCPWARDEN_KILL_ONE_IN": str(one_in)}}}
                                        if one_in else {}))
    warden.expect_deaths("relay")
    said = b"before" + b"!" + b"after"
    for _ in range(10):
        with connect(warden.address) as client:
            client.sock.send(b"before")
            client.urgent(b"!")
            client.sock.send(b"after")
            client.finish()
            assert client.read_raw() == (said[::-1], "eof")
    assert server.wait(10) == [(said, "eof")] * 10
    assert {end.fields["bytes_to_backend"] for end in warden.log.wait_ends(10)} == {str(len(said))}


def test_unix_backend_whose_queue_is_full(through, scratch):
    """Another client would wait there; so do ours."""
    path = f"{scratch}/backend"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.chmod(path, 0o777)
        listener.listen(0)
        listener.settimeout(10)
        warden = through(f"unix:{path}")
        clients = [connect(warden.address).send(10) for _ in range(5)]
        for _ in clients:
            accepted = listener.accept()[0]
            accepted.settimeout(10)
            assert len(accepted.recv(100)) == 10
            accepted.close()
        for client in clients:
            assert client.read_to_end().bytes == 0
            client.close()
    warden.log.wait_ends(5)


# What waits while something changes.

def test_reload_while_a_connect_is_pending(through, backend, deaf):
    """The backends of before mean nothing in the new plan: the next try is of the service's new ones, and of no one else's."""
    warden = through([deaf(), deaf(), deaf()], balance="failover", backend={"connect_timeout": "2s"})
    right, wrong = backend(peers.answer(7)), backend(peers.answer(9))
    with connect(warden.address) as client:
        wait_for(lambda: [s for s in warden.sessions() if s["state"] == "connecting"], "a connect on its way")
        warden.configure({"services": [service("echo", warden.address, [right.address]),
                                       *(service(f"other-{i}", f"127.0.0.1:{peers.free_port()}", [wrong.address]) for i in range(4))]})
        assert warden.reload().returncode == 0
        client.finish()
        assert client.read_to_end() == End("eof", 7)
    assert not wrong.accepted
    warden.wait_sessions(0)
    warden.note_baseline()


def test_removed_address_takes_in_its_whole_queue(through, backend):
    """Those whom the kernel had let in when an address is taken away are served, however many."""
    server = backend(peers.answer(5))
    warden = through(server.address, top={"hang_after": "60s"})
    relay = warden.role("relay 0")
    relay.kill(signal.SIGSTOP)
    clients = [connect(warden.address) for _ in range(300)]
    other = f"127.0.0.1:{peers.free_port()}"
    warden.configure({"services": [service("echo", other, [server.address])]})
    warden.signal(signal.SIGHUP)
    warden.wait_notified("RELOADING=1")
    time.sleep(0.5)  # for the order to be in the relay's queue; if it is not, the test proves less
    relay.kill(signal.SIGCONT)
    for client in clients:
        client.finish()
        assert client.read_to_end() == End("eof", 5)
        client.close()


def test_steward_is_away_for_more_events_than_the_ring_holds(through, load):
    """Sessions go on; the oldest lines are lost, and counted."""
    server = load.backend()
    warden = through(server.address, top={"hang_after": "120s"})
    steward = warden.role("steward")
    steward.kill(signal.SIGSTOP)
    load.client(warden.address, connections=4000, parallel=100, up=10, down=10, kinds="fin", deadline=60).wait()
    relay = warden.role("relay 0")
    before = processor_ms(relay)
    time.sleep(1)  # the time over which it is measured
    assert processor_ms(relay) - before <= 100
    steward.kill(signal.SIGCONT)
    warden.expected_log += ["lost|overwritten|events"]
    load.client(warden.address, connections=1, up=10, down=10, kinds="fin", deadline=60).wait()
    warden.wait_sessions(0)
    wait_for(lambda: len(warden.log.ends()) > 1000, "the lines that are left")
    told = collections.Counter(line.fields["session"] for line in warden.log.ends())
    assert set(told.values()) == {1}


@pytest.mark.parametrize("linger", ["deliver", "background"])
def test_client_that_fails_after_both_ended(through, backend, linger):
    """Both streams had ended when the client reset what was still on its way to it: that is the end's reason."""
    def script(peer):
        peer.read_to_end()
        return peer.send(4 * MB).finish()
    server = backend(script)
    warden = through(server.address, client={"linger": linger, "linger_timeout": "10s"})
    client = connect(warden.address, receive_buffer=16 * KB).send(10).finish()
    wait_for(lambda: any(s["bytes_to_client"] > 0 for s in warden.sessions()), "the answer")
    time.sleep(0.3)
    client.reset()
    (end,) = warden.log.wait_ends()
    assert end.reason == "client.reset"


def test_holder_was_stopped_when_its_relay_died(through, backend):
    """It is told to go on, and no session is lost."""
    warden = through(backend(peers.echo).address, top={"hang_after": "2s"})
    warden.expect_deaths("relay")
    warden.expected_log += ["starts no relay"]
    with connect(warden.address) as client:
        client.send(10).read(10)
        holder, relay = warden.role("holder 0"), warden.role("relay 0")
        holder.kill(signal.SIGSTOP)
        relay.kill()
        warden.wait_role("relay 0", not_this=relay)
        client.send(10).read(10).finish()
        assert client.read_to_end() == End("eof", 0)
    assert warden.role("holder 0") == holder


# Running out.

def test_out_of_descriptors(through, backend):
    """Clients wait, nothing spins, and when there is room again all are served."""
    server = backend(peers.echo)
    warden = through(server.address)
    warden.expected_log += ["cannot accept"]
    relay, holder = warden.role("relay 0"), warden.role("holder 0")
    limit_descriptors(relay, 100)
    clients = [connect(warden.address) for _ in range(100)]
    wait_for(lambda: len(warden.sessions()) > 30, "many sessions")
    time.sleep(0.5)
    before = processor_ms(relay)
    time.sleep(1)  # the time over which it is measured
    assert processor_ms(relay) - before <= 150
    assert len(warden.log.matching("cannot accept")) <= 1
    limit_descriptors(relay, 5000)
    for client in clients:
        client.send(10).read(10)
        client.close()
    assert {end.reason for end in warden.log.wait_ends(100)} == {"client.closed"}
    warden.wait_sessions(0)
    assert holder == warden.role("holder 0") and relay == warden.role("relay 0")


def test_idle_sessions_cost_next_to_nothing(through, load, backend):
    server = load.backend()
    warden = through(server.address)
    relay = warden.role("relay 0")
    idle = load.client(warden.address, kinds="stall_down", connections=3000, parallel=3000, up=0, down=0, deadline=60)
    warden.wait_sessions(3000, deadline=30)
    before = processor_ms(relay)
    time.sleep(2)  # the time over which it is measured
    assert processor_ms(relay) - before <= 40
    idle.stop(clean=False)
    warden.wait_sessions(0, deadline=40)
    server.stop(clean=False)

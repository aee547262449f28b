"""How a session ends: no peer can tell from its stream that something stands between. Each test ends a session in one way and looks
at what the other side sees, at the reason, and at the books."""
import os
import socket
import threading
import time

import pytest

import peers
from peers import End, connect, free_port
from waiting import wait_for

MB = 1 << 20


def reason(warden):
    (end,) = warden.log.wait_ends()
    return end.reason


def test_client_ends_first(through, backend):
    server = backend(peers.echo)
    warden = through(server.address)
    with connect(warden.address) as client:
        client.send(MB)
        client.read(MB).finish()
        assert client.read_to_end() == End("eof", 0)
    assert server.wait() == [End("eof", MB)]
    assert reason(warden) == "client.closed"


def test_backend_ends_first(through, backend):
    server = backend(lambda peer: peer.read(1000).send(MB).finish().read_to_end())
    warden = through(server.address)
    with connect(warden.address) as client:
        client.send(1000)
        assert client.read_to_end() == End("eof", MB)
        client.finish()
        assert server.wait() == [End("eof", 0)]
    assert reason(warden) == "backend.closed"


def test_half_close_with_late_answer(through, backend):
    server = backend(peers.answer(4 * MB))
    warden = through(server.address, hooked=True)
    with connect(warden.address) as client:
        client.send(MB).finish()
        assert client.read_to_end() == End("eof", 4 * MB)
    assert server.wait() == [End("eof", MB)]
    assert reason(warden) == "client.closed"


def test_backend_half_closes_and_the_client_goes_on(through, backend):
    server = backend(lambda peer: peer.send(MB).finish().read_to_end())
    warden = through(server.address)
    with connect(warden.address) as client:
        assert client.read_to_end() == End("eof", MB)
        client.send(3 * MB).finish()
        assert server.wait() == [End("eof", 3 * MB)]
    assert reason(warden) == "backend.closed"


def test_client_resets_when_idle(through, backend):
    server = backend(peers.collect)
    warden = through(server.address, hooked=True)
    client = connect(warden.address).send(10)
    warden.wait_sessions(1)
    wait_for(lambda: server.accepted, "the backend's connection")
    wait_for(lambda: client.unacknowledged() == 0, "acknowledgement")
    client.reset()
    assert server.wait() == [End("reset", 10)]
    assert reason(warden) == "client.reset"
    assert wait_for(warden.hooks["hooks"].released, "a release")[0].reason == "client.reset"


def test_client_resets_in_mid_upload(through, backend):
    """The backend gets all that was acknowledged to the client, then a reset and no end of stream."""
    go = threading.Event()
    server = backend(lambda peer: go.wait(10) and peer.read_to_end())
    warden = through(server.address)
    client = connect(warden.address).send(200_000)
    wait_for(lambda: client.unacknowledged() == 0, "acknowledgement")
    wait_for(lambda: server.accepted, "the backend's connection")
    client.reset()
    go.set()
    assert server.wait() == [End("reset", 200_000)]
    assert reason(warden) == "client.reset"


def test_backend_resets_in_mid_download(through, backend):
    """The client sees a reset after exactly the bytes before it, also when it reads late."""
    def script(peer):
        peer.send(200_000)
        wait_for(lambda: peer.unacknowledged() == 0, "acknowledgement")
        peer.reset()
    server = backend(script)
    warden = through(server.address, hooked=True)
    with connect(warden.address) as client:
        server.wait()
        assert client.read_to_end() == End("reset", 200_000)
    assert reason(warden) == "backend.reset"


def test_backend_resets_while_nobody_reads(through, backend):
    """More than fits into one socket is on its way; all of it that left the backend is delivered before the reset."""
    def script(peer):
        length = peer.send_until_full(64 * MB)
        on_the_way = length - peer.unacknowledged()
        peer.reset()
        return on_the_way
    server = backend(script, send_buffer=65536)
    warden = through(server.address)
    with connect(warden.address, receive_buffer=65536) as client:
        (on_the_way,) = server.wait()
        assert client.read_to_end() == End("reset", on_the_way)
    assert reason(warden) == "backend.reset"


@pytest.mark.parametrize("mode, kind", [("close", "eof"), ("reset_now", "reset")])
def test_on_failure(through, backend, mode, kind):
    def script(peer):
        peer.read(1)
        peer.reset()
    warden = through(backend(script).address, on_failure=mode)
    with connect(warden.address) as client:
        assert client.send(1).read_to_end() == End(kind, 0)
    assert reason(warden) == "backend.reset"


def test_answer_survives_an_upload_that_nobody_reads(through, backend):
    """The backend answers and ends while the client still sends: the whole answer arrives."""
    server = backend(lambda peer: peer.read(1).send(MB).finish() and wait_for(lambda: done.is_set(), "the client"), receive_buffer=16384)
    done = threading.Event()
    warden = through(server.address)
    with connect(warden.address) as client:
        client.send(1)
        client.send_until_full(16 * MB)
        assert client.read_to_end() == End("eof", MB)
    done.set()
    assert server.wait()


def test_answer_arrives_though_the_backend_closes_over_unread_bytes(through, backend):
    """That close is a reset on the wire. All that the backend's kernel saw acknowledged is delivered before it."""
    def script(peer):
        peer.send(300_000)
        wait_for(lambda: peer.unacknowledged() == 0, "acknowledgement")
        wait_for(lambda: peer.sock.recv(1, socket.MSG_PEEK), "unread bytes")
        peer.close()
    server = backend(script)
    warden = through(server.address)
    with connect(warden.address) as client:
        client.send(100_000)
        server.wait()
        assert client.read_to_end() == End("reset", 300_000)


def test_backend_refuses(through):
    warden = through(f"127.0.0.1:{free_port()}", hooked=True, connect_retries=0)
    with connect(warden.address) as client:
        assert client.read_to_end() == End("reset", 0)
    (end,) = warden.log.wait_ends()
    assert (end.reason, end.operation, end.errno) == ("backend.refused", "connect", "ECONNREFUSED")
    assert wait_for(warden.hooks["hooks"].released, "a release")[0].reason == "backend.refused"


def test_backend_refuses_and_the_client_had_sent(through):
    warden = through(f"127.0.0.1:{free_port()}", connect_retries=0)
    with connect(warden.address) as client:
        try:
            client.send(5000)
        except OSError:
            pass
        assert client.read_to_end() == End("reset", 0)
    assert reason(warden) == "backend.refused"


def test_on_connect_failure_close(through):
    warden = through(f"127.0.0.1:{free_port()}", on_connect_failure="close", connect_retries=0)
    with connect(warden.address) as client:
        assert client.read_to_end() == End("eof", 0)
    assert reason(warden) == "backend.refused"


def test_next_backend_is_tried(through, backend):
    server = backend(peers.echo)
    warden = through([f"127.0.0.1:{free_port()}", server.address], hooked=True, balance="failover")
    for _ in range(3):
        with connect(warden.address) as client:
            client.send(10).read(10).finish()
            assert client.read_to_end() == End("eof", 0)
    ends = warden.log.wait_ends(3)
    assert {end.backend for end in ends} == {server.address}


def test_round_robin_and_failover(through, backend):
    servers = [backend(peers.echo), backend(peers.echo)]

    def visit(warden):
        for _ in range(6):
            with connect(warden.address) as client:
                client.send(1).read(1).finish()
                client.read_to_end()
        warden.log.wait_ends(6)
    visit(through([s.address for s in servers]))
    assert [s.accepted for s in servers] == [3, 3]
    visit(through([s.address for s in servers], balance="failover"))
    assert [s.accepted for s in servers] == [9, 3]


def test_least_connections(through, backend):
    servers = [backend(peers.hold), backend(peers.hold)]
    warden = through([s.address for s in servers], balance="least-connections")
    clients = []
    for count in range(1, 7):
        clients.append(connect(warden.address).send(1))
        wait_for(lambda: sum(s.accepted for s in servers) == count, "the backend's connection")
    assert [s.accepted for s in servers] == [3, 3]
    for client in clients:
        client.reset()
    warden.log.wait_ends(6)


@pytest.fixture
def full_listener():
    """An address that takes no more connections: SYNs are dropped while the queue of accepted ones is full."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", free_port()))
    listener.listen(0)
    waiting = []
    while True:
        s = socket.socket()
        s.settimeout(0.3)
        waiting.append(s)
        try:
            s.connect(listener.getsockname())
        except TimeoutError:
            break
    yield "%s:%d" % listener.getsockname()
    for s in [listener, *waiting]:
        s.close()


def test_connect_timeout(through, full_listener):
    warden = through(full_listener, hooked=True, backend={"connect_timeout": "300ms"}, connect_retries=0)
    with connect(warden.address) as client:
        assert client.read_to_end() == End("reset", 0)
    (end,) = warden.log.wait_ends()
    assert end.reason == "backend.connect_timeout" and 250 <= int(end.duration_ms) < 2000


def test_connect_timeout_then_the_next(through, full_listener, backend):
    server = backend(peers.echo)
    warden = through([full_listener, server.address], balance="failover", backend={"connect_timeout": "300ms"})
    with connect(warden.address) as client:
        client.send(MB).read(MB).finish()
        assert client.read_to_end() == End("eof", 0)
    assert reason(warden) == "client.closed"


def test_limit_tells_the_whole_message(through, backend):
    """Though the client had sent bytes that nobody will read."""
    server = backend(peers.echo)
    warden = through(server.address, hooked=True, limits={"connections": 1, "reject_message": "busy, call later\r\n"})
    with connect(warden.address) as first:
        first.send(1).read(1)
        for _ in range(5):
            with connect(warden.address) as client:
                client.send(50_000)
                assert client.read_raw() == (b"busy, call later\r\n", "eof")
        first.finish().read_to_end()
    warden.wait_sessions(0)
    with connect(warden.address) as client:
        client.send(1).read(1)
    ends = warden.log.wait_ends(7)
    assert sorted(end.reason for end in ends) == ["client.closed"] * 2 + ["policy.limit"] * 5
    assert {(end.operation, end.state) for end in ends if end.reason == "policy.limit"} == {("accept", "refusing")}
    assert len(warden.hooks["hooks"].runs("acquire")) == 2


def test_limit_without_message_resets(through, backend):
    warden = through(backend(peers.echo).address, limits={"connections": 1})
    with connect(warden.address) as first:
        first.send(1).read(1)
        with connect(warden.address) as client:
            assert client.read_to_end() == End("reset", 0)
    assert sorted(end.reason for end in warden.log.wait_ends(2)) == ["client.closed", "policy.limit"]


def test_urgent_byte_stays_in_its_place(through, backend):
    server = backend(lambda peer: peer.read_raw())
    warden = through(server.address)
    with connect(warden.address) as client:
        client.sock.sendall(b"abc")
        client.urgent(b"X")
        client.sock.sendall(b"def")
        client.finish()
        assert server.wait() == [(b"abcXdef", "eof")]
    assert reason(warden) == "client.closed"


def test_urgent_bytes_in_bulk(through, backend):
    """Among megabytes, where bytes are moved by other means than in small traffic."""
    server = backend(lambda peer: peer.read_raw(64 * MB))
    warden = through(server.address)
    sent = b""
    with connect(warden.address) as client:
        for i in range(20):
            bulk = os.urandom(100_000)
            client.sock.sendall(bulk)
            client.urgent(b"!")
            sent += bulk + b"!"
        client.finish()
        ((got, kind),) = server.wait()
    assert kind == "eof" and len(got) == len(sent) and got == sent


@pytest.mark.parametrize("listens, connects", [("unix", "tcp"), ("tcp", "unix"), ("unix", "unix")])
def test_unix_sockets(through, backend, scratch, listens, connects):
    server = backend(peers.answer(3 * MB), address=f"unix:{scratch}/backend" if connects == "unix" else None)
    warden = through(server.address, hooked=True, listen=f"unix:{scratch}/front" if listens == "unix" else None)
    for _ in range(3):
        with connect(warden.address) as client:
            client.send(2 * MB).finish()
            assert client.read_to_end() == End("eof", 3 * MB)
    assert server.wait(3) == [End("eof", 2 * MB)] * 3
    ends = warden.log.wait_ends(3)
    assert {(end.reason, end.bytes_to_backend, end.bytes_to_client) for end in ends} == {("client.closed", str(2 * MB), str(3 * MB))}
    wait_for(lambda: len(warden.hooks["hooks"].released()) == 3, "releases")


@pytest.mark.parametrize("listen, to", [("[::1]:{0}", "[::1]:{0}"), ("*:{0}", "127.0.0.1:{0}"), ("*:{0}", "[::1]:{0}")])
def test_ipv6(through, backend, listen, to):
    server = backend(peers.echo, address=f"[::1]:{free_port('::1')}")
    port = free_port()
    warden = through(server.address, hooked=True, listen=listen.format(port))
    with connect(to.format(port)) as client:
        client.send(100_000).read(100_000).finish()
        assert client.read_to_end() == End("eof", 0)
    (released,) = wait_for(warden.hooks["hooks"].released, "a release")
    assert released.client == ("::1" if "[" in to else "127.0.0.1") and released.backend == "::1"


def test_ipv6_listener_takes_no_ipv4(through, backend):
    port = free_port()
    through(backend(peers.echo).address, listen=f"[::]:{port}")
    with pytest.raises(ConnectionRefusedError):
        connect(f"127.0.0.1:{port}")


@pytest.mark.parametrize("linger", ["deliver", "background"])
def test_linger_delivers(through, backend, linger):
    """The backend ends at once after its answer; the client begins to read late, and gets it all."""
    server = backend(lambda peer: peer.send(2 * MB).finish().read_to_end())
    warden = through(server.address, client={"linger": linger}, backend={"linger": linger})
    with connect(warden.address, receive_buffer=65536) as client:
        client.finish()
        assert client.read_to_end() == End("eof", 2 * MB)
    assert server.wait() == [End("eof", 0)]


def test_slow_reader_gets_all_although_it_takes_longer_than_linger_timeout(through, backend):
    """linger_timeout counts from the last sign of progress: a slow peer is not a dead one."""
    server = backend(lambda peer: peer.read_to_end() and peer.send(2 * MB).finish())
    warden = through(server.address, client={"linger_timeout": "1s"}, backend={"linger_timeout": "1s"})
    began = time.monotonic()
    with connect(warden.address, receive_buffer=65536) as client:
        client.finish()
        while client.received < 2 * MB:
            client.read(min(256 * 1024, 2 * MB - client.received))
            time.sleep(0.4)  # its pace
        assert client.read_to_end() == End("eof", 0)
    assert time.monotonic() - began > 2.5
    (end,) = warden.log.wait_ends()
    assert end.reason == "client.closed" and end.undelivered_to_client == "0"


def test_linger_reset_frees_at_once(through, backend):
    server = backend(lambda peer: peer.read(1).finish().read_to_end())
    warden = through(server.address, client={"linger": "reset"})
    with connect(warden.address) as client:
        client.send(1).finish()
        assert client.read_to_end().bytes == 0
    warden.log.wait_ends()


def test_linger_timeout_ends_a_client_that_never_reads(through, backend):
    """The reset of the backend is ordered behind bytes that the client does not take: linger_timeout ends the wait."""
    def script(peer):
        peer.send_until_full(64 * MB)
        peer.reset()
    warden = through(backend(script).address, client={"linger_timeout": "500ms"})
    with connect(warden.address, receive_buffer=8192):
        warden.log.wait_ends(deadline=20)
        (end,) = warden.log.ends()
        assert end.reason == "backend.reset" and int(end.undelivered_to_client) > 0


def test_undelivered_is_told(through, backend):
    """What the backend did not read is known to the kernel only up to its acknowledgement; the rest is counted."""
    server = backend(peers.hold, receive_buffer=8192)
    warden = through(server.address, hooked=True, backend={"linger_timeout": "300ms"})
    client = connect(warden.address)
    sent = client.send_until_full(64 * MB)
    client.reset()
    (end,) = warden.log.wait_ends(deadline=20)
    (peer,) = server.wait()
    got = peer.read_to_end()
    assert end.reason == "client.reset" and got.kind == "reset"
    undelivered = int(end.undelivered_to_backend)
    assert 0 < undelivered < sent
    assert int(end.bytes_to_backend) - undelivered <= got.bytes + 8192 * 4

"""What a session says it waits for, in situations that its peers make."""
import re
import socket
import time

import peers
from peers import connect, free_port
from settings import service
from waiting import wait_for

TIME = r"(\d+|0\.\d) s"


def waits(warden):
    return [s["waits"] for s in warden.sessions()]


def says(warden, pattern, deadline=15.0):
    """Waits until its one session says so; the times in it."""
    def look():
        said = waits(warden)
        return re.fullmatch(pattern, said[0]) if said else None
    return [float(t) for t in wait_for(look, lambda: f"{pattern}: {waits(warden)}", deadline).groups() if t is not None]


def test_moving_and_idle(through, backend):
    warden = through(backend(peers.echo).address)
    with connect(warden.address) as client:
        wait_for(lambda: client.send(10).read(10) and waits(warden) == ["moving"], "moving")
        began = time.monotonic()
        idle, heard = says(warden, rf"idle {TIME}, last proof of life {TIME} ago")
        assert 1 <= idle <= time.monotonic() - began + 1 and heard <= idle + 1
        says(warden, r"idle ([3-9]) s, last .*")
        session = warden.sessions()[0]
        head, line = warden.ctl("sessions").splitlines()
        assert head.endswith("WAITS") and line[head.index("WAITS"):].startswith("idle ")
        shown = [line.split(None, 1) for line in warden.ctl("show", session["id"]).splitlines()]
        assert [words[0] for words in shown[:4]] == ["id", "service", "state", "waits"]
        assert dict(s for s in shown if s[0] == "client_tcp")["client_tcp"].startswith("established, 0 bytes unacknowledged")
        (full,) = warden.ctl_json("show", session["id"])
        assert full["client_tcp"]["state"] == full["backend_tcp"]["state"] == "established"
        assert full["client_tcp"]["last_data_ms"] >= 3000 and full["backend_tcp"]["retransmits"] == 0


def stopped(small_buffers, through, backend, side, **settings):
    """A session in which that side does not read and the other one has sent all that fits; (daemon, reader, writer)."""
    server = backend(peers.hold)
    warden = through(server.address, **settings)
    client = connect(warden.address)
    (peer,) = server.wait()
    reader, writer = (client, peer) if side == "client" else (peer, client)
    assert writer.send_until_full() > 0
    return warden, reader, writer


def not_reading(warden, reader, writer, side):
    began = time.monotonic()
    (first,) = says(warden, rf"{side} not reading for {TIME}")
    (later,) = says(warden, rf"{side} not reading for ((?!{first:.0f} )\d+) s")
    assert first < later <= time.monotonic() - began + 5  # send_until_full has waited a little for it
    (full,) = warden.ctl_json("show", warden.sessions()[0]["id"])
    assert full[f"{side}_tcp"]["unsent_bytes"] > 0 and full[f"{side}_tcp"]["window"] < 4096
    reader.read(writer.sent)
    says(warden, "moving")


def test_client_not_reading(small_buffers, through, backend):
    warden, client, peer = stopped(small_buffers, through, backend, "client")
    not_reading(warden, client, peer, "client")
    client.close()


def test_backend_not_reading(small_buffers, through, backend):
    warden, peer, client = stopped(small_buffers, through, backend, "backend")
    not_reading(warden, peer, client, "backend")
    client.close()


def test_half_closed(through, backend):
    server = backend(peers.hold)
    warden = through(server.address)
    client = connect(warden.address).finish()
    (peer,) = server.wait()
    (seconds,) = says(warden, rf"client has finished, waiting for the backend's answer for {TIME}")
    assert seconds < 5
    peer.finish()
    warden.wait_sessions(0)
    client.close()

    client = connect(warden.address)
    peer = server.wait(2)[1]
    peer.finish()
    says(warden, rf"backend has finished, waiting for the client to finish for {TIME}")
    client.close()


def test_acquire(through, backend):
    warden = through(backend(peers.echo).address, hooked=True, hook={"acquire": {"concurrency": 1}})
    warden.hooks["hooks"].set("acquire", gate=True)
    first = connect(warden.address)
    says(warden, rf"waiting for acquire {TIME}")
    second = connect(warden.address)
    wait_for(lambda: sorted(re.sub(TIME, "N s", w) for w in waits(warden)) == ["waiting for acquire N s", "waiting for acquire N s (queued)"],
             lambda: waits(warden))
    says(warden, r"waiting for acquire ([2-9]) s.*")
    warden.hooks["hooks"].set("acquire", gate=None)
    for client in (first, second):
        client.send(10).read(10)
        client.close()


def full_listener():
    """Listens, and takes no connection in any more; its sockets and its address."""
    port = free_port()
    listener = socket.create_server(("127.0.0.1", port), backlog=0)
    sockets = [listener]
    while True:
        s = socket.socket()
        sockets.append(s)
        s.settimeout(0.3)
        try:
            s.connect(("127.0.0.1", port))
        except TimeoutError:
            return sockets, f"127.0.0.1:{port}"


def test_connecting(tcpwarden, address):
    one, first = full_listener()
    two, second = full_listener()
    warden = tcpwarden({"services": [service("full", address, [first, second], backend={"connect_timeout": "3s"})]})
    began = time.monotonic()
    client = connect(address)
    says(warden, rf"connecting to {re.escape(first)} for {TIME}")
    says(warden, rf"connecting to {re.escape(first)} for ([12]) s")
    says(warden, rf"connecting to {re.escape(second)} for {TIME} \(try 2\)")
    assert time.monotonic() - began >= 2.9
    client.close()
    for s in one + two:
        s.close()


def test_closing(small_buffers, through, backend):
    """Ended by us, with a reader that does not read: what is left to be delivered, and until when."""
    warden, client, peer = stopped(small_buffers, through, backend, "client", client={"linger_timeout": "8s"})
    warden.ctl("kill", warden.sessions()[0]["id"])
    stuck, left = says(warden, rf"delivering [1-9]\d+ bytes to client, {TIME} without progress \(linger_timeout in {TIME}\)")
    assert left <= 8
    warden.wait_sessions(0)
    client.close()
    peer.close()


def test_waiting_for_a_close(through, backend):
    """A client that is refused, and has been told so, may take its time to leave."""
    warden = through(backend(peers.echo).address, limits={"connections": 1, "reject_message": "busy\r\n"})
    with connect(warden.address) as holder, connect(warden.address) as refused:
        holder.send(10).read(10)
        assert refused.read_raw() == (b"busy\r\n", "eof")
        wait_for(lambda: "waiting for client to close" in waits(warden), lambda: waits(warden))


def test_unix_sockets(through, backend, scratch):
    """The kernel tells nothing about these; the ledger does."""
    server = backend(peers.echo, f"unix:{scratch}/backend")
    warden = through(server.address, listen=f"unix:{scratch}/front")
    with connect(warden.address) as client:
        client.send(10).read(10)
        says(warden, rf"no bytes for {TIME}")
        (full,) = warden.ctl_json("show", warden.sessions()[0]["id"])
        assert "client_tcp" not in full and "backend_tcp" not in full

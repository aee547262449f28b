"""The bench itself: peers, load and books must be right without anything between them."""
import os
import subprocess

import pytest

import lab as lab_module
import peers
from hooks import Hooks
from lab import Lab, with_port
from log import Line
from peers import Backend, End, connect
from settings import config_text, merged, service
from waiting import wait_for

MB = 1 << 20


def test_pattern_is_the_same_in_any_cut():
    whole = peers.pattern(0, 3 * MB, "up")
    assert whole == peers.pattern(0, MB + 7, "up") + peers.pattern(MB + 7, 2 * MB - 7, "up")
    assert whole[:1000] != peers.pattern(0, 1000, "down")
    assert whole[MB:MB + 1000] != whole[:1000]


def test_late_answer(backend):
    server = backend(peers.answer(2 * MB))
    with connect(server.address) as client:
        client.send(MB).finish()
        assert client.read_to_end() == End("eof", 2 * MB)
    assert server.wait() == [End("eof", MB)]


def test_resets_are_seen_on_either_side(backend):
    def reset_after(peer):
        peer.send(40_000)  # what one socket takes without anybody reading
        wait_for(lambda: peer.unacknowledged() == 0, "acknowledgement")
        peer.reset()
    server = backend(reset_after)
    with connect(server.address) as client:
        server.wait()
        assert client.read_to_end() == End("reset", 40_000)
    server = backend(peers.collect)
    client = connect(server.address).send(40_000)
    wait_for(lambda: client.unacknowledged() == 0, "acknowledgement")
    client.reset()
    assert server.wait() == [End("reset", 40_000)]


def test_wrong_byte_is_found(backend):
    server = backend(lambda peer: peer.sock.sendall(peers.pattern(0, 500, "down") + b"\0" + peers.pattern(501, 99, "down")))
    with connect(server.address) as client, pytest.raises(AssertionError, match="wrong byte at 500"):
        client.read_to_end()


def test_load_direct(load):
    server = load.backend()
    result = load.client(server.address, connections=600, parallel=60, up="0:100000", down="0:100000", deadline=60,
                         kinds="fin,ask,late,client_rst,backend_rst,abrupt,early_rst").wait()
    assert sum(kind["all"] for kind in result["kinds"].values()) == 600
    assert load.client(f"127.0.0.1:{peers.free_port()}", kinds="refused", connections=5).wait()["kinds"]["refused"]["ok"] == 5
    # An early reset may come before the whole request: then the backend cannot say of what kind it was.
    totals = server.stop()["kinds"]
    assert all(totals[kind]["all"] >= count["all"] for kind, count in result["kinds"].items() if kind not in ("early_rst", "fin"))


def test_load_stalls(load):
    server = load.backend("--send-buffer", 16384)
    client = load.client(server.address, connections=50, parallel=50, kinds="stall_down", down=1 << 30, receive_buffer=4096)
    client.wait_event("idle")
    moved = wait_for(lambda: (a := server.progress()["sent"]) == server.progress()["sent"] and a, "a standstill")
    assert 0 < moved < 50 * 4 * MB
    client.stop()
    server.stop()


def test_load_sees_lies(backend, load):
    """A peer that ends a stream too early in order is told from one that does it all."""
    server = backend(lambda peer: peer.sock.recv(10))
    result = load.client(server.address, connections=3, kinds="ask", up=0, down=10, deadline=10).wait(clean=False)
    assert result["kinds"]["ask"].get("ok", 0) == 0


def test_books(tmp_path):
    hooks = Hooks(str(tmp_path / "hooks"))

    def run(event, fence, **more):
        environment = {"PATH": os.environ["PATH"], "TCPWARDEN_EVENT": event, "TCPWARDEN_LEASE": f"{fence:x}",
                       "TCPWARDEN_FENCE": str(fence), **more}
        return subprocess.run([hooks.path(event)], env=environment, capture_output=True, text=True)

    hooks.set("acquire", output="SEAT=7")
    assert run("acquire", 1).stdout == "SEAT=7\n"
    assert hooks.imbalance() and "never released" in hooks.imbalance()[0]
    run("release", 1, TCPWARDEN_REASON="client.closed")
    assert not hooks.imbalance()
    assert hooks.released()[0].reason == "client.closed"
    hooks.set("acquire", exit=3)
    assert run("acquire", 2).returncode == 3
    assert not hooks.imbalance()
    run("release", 2)
    assert "released though refused" in hooks.imbalance()[0] and not hooks.imbalance(unknown=True)
    run("release", 1)
    assert any("released 2 times" in w for w in hooks.imbalance()) and not hooks.imbalance(twice=True, unknown=True)
    run("release", 9)
    assert any("never acquired" in w for w in hooks.imbalance(twice=True))


def test_config_notation():
    text = config_text(merged({"workers": 1, "control": {"socket": "/x", "mode": "0600"}}, {"control": {"mode": None}, "services": [
        service("a", "127.0.0.1:1", ["127.0.0.1:2"], limits={"reject_message": "busy\r\n"})]}))
    assert 'socket = "/x";' in text and "mode" not in text
    assert 'reject_message = "busy\\r\\n";' in text
    assert 'listen = [ "127.0.0.1:1" ];' in text


def test_log_lines():
    line = Line('2026-01-01T00:00:00.000Z info session 1f ended service=a reason=client.closed backend="x y" errno=-')
    assert line.is_end and line.service == "a" and line.backend == "x y" and line.priority == "info"
    line = Line('{"time":"t","priority":"warning","reason":"system.lost","service":"a","message":"session 1f ended service=a"}')
    assert line.is_end and line.reason == "system.lost" and line.priority == "warning"
    assert Line("2026-01-01T00:00:00Z error supervisor: no").priority == "error"


def test_lab():
    """Cuts are silent and hit one peer alone; what is healed goes on."""
    if lab_module.why_not():
        pytest.skip(lab_module.why_not())
    with Lab() as lab:
        for ip in (4, 6):
            host, other = lab.clients.host(ip), lab.clients.host(ip)
            with lab.warden.inside():
                server = Backend(peers.echo, with_port(lab.clients.gateway[ip], 5000))
            with lab.clients.inside():
                one, two = (connect(server.address, source=(h, 0)) for h in (host, other))
            for client in (one, two):
                client.send(100).read(100)
            lab.cut(host)
            one.send(100)
            two.send(100).read(100)
            one.sock.settimeout(0.3)
            with pytest.raises(TimeoutError):
                one.read(100)
            lab.heal(host)
            one.sock.settimeout(20)
            one.read(100)
            dropped = lab.drop_one(host)
            one.send(100).read(100)
            assert dropped() == 1
            lab.heal(host)
            dropped = lab.lose(host, 10)
            for _ in range(40):
                one.send(100).read(100)
            assert dropped() > 0
            one.close()
            two.close()
            server.close()

"""The control socket and tcpwardenctl."""
import json
import os
import pwd
import socket
import subprocess

import pytest

import peers
from daemon import build_directory
from peers import End, connect
from waiting import wait_for


def test_status(through, backend):
    warden = through(backend(peers.echo).address, hooked=True)
    with connect(warden.address) as client:
        client.send(10).read(10)
        text, status = warden.ctl("status"), warden.status()
        assert status["ok"] is True and "\x1b" not in text
        assert status["leases"]["held"] == 1 and status["ends"] == {}
    warden.log.wait_ends()
    assert warden.status()["ends"] == {"client.closed": 1}
    assert warden.ctl("status").splitlines()[-2:] == [f"{'ENDS':32} {'SESSIONS':>9}", f"{'client.closed':32} {'1':>9}"]


def test_sessions_and_show(through, backend):
    server = backend(peers.echo)
    warden = through(server.address)
    clients = [connect(warden.address) for _ in range(3)]
    for client in clients:
        client.send(1000).read(1000)
    sessions = warden.sessions()
    assert len(sessions) == 3
    names = {"%s:%d" % client.sock.getsockname() for client in clients}
    assert {s["client"] for s in sessions} == names
    assert {s["backend"] for s in sessions} == {server.address}
    wait_for(lambda: {(s["bytes_to_backend"], s["bytes_to_client"]) for s in warden.sessions()} == {(1000, 1000)}, "bytes")
    text = warden.ctl("sessions")
    for session in sessions:
        assert session["id"] in text
        assert session["client"] in warden.ctl("show", session["id"])
    assert warden.ctl("sessions", "echo").count("127.0.0.1") == text.count("127.0.0.1")
    assert not any(s["id"] in warden.ctl("sessions", "another") for s in sessions)
    for client in clients:
        client.close()


@pytest.mark.parametrize("now", [False, True])
def test_kill(through, backend, now):
    server = backend(peers.collect)
    warden = through(server.address, hooked=True)
    with connect(warden.address) as client, connect(warden.address) as other:
        for c in (client, other):
            c.send(10)
        wait_for(lambda: len([s for s in warden.sessions() if s["state"] == "relaying"]) == 2, "two sessions")
        victim = next(s for s in warden.sessions() if s["client"] == "%s:%d" % client.sock.getsockname())
        warden.ctl("kill", victim["id"], *(["--now"] if now else []))
        assert client.read_to_end() == End("reset", 0)
        (released,) = wait_for(warden.hooks["hooks"].released, "a release")
        assert (released.reason, released.session) == ("operator.killed", victim["id"])
        assert [s["client"] for s in warden.sessions()] == ["%s:%d" % other.sock.getsockname()]
        other.finish()
        server.wait(2)
    (end,) = [e for e in warden.log.ends() if e.session == victim["id"]]
    assert end.reason == "operator.killed"


def test_kill_delivers_first(through, backend):
    """An ordered reset: what was received before the order arrives."""
    server = backend(peers.hold)
    warden = through(server.address)
    client = connect(warden.address).send(100_000)
    (peer,) = server.wait()
    wait_for(lambda: client.unacknowledged() == 0, "acknowledgement")
    warden.ctl("kill", warden.sessions()[0]["id"])
    assert peer.read_to_end() == End("reset", 100_000)
    assert client.read_to_end() == End("reset", 0)
    client.close()


def test_wrong_use(through, backend):
    warden = through(backend(peers.echo).address)
    assert warden.ctl_run("kill", "123456").returncode == 1
    assert warden.ctl_run("show", "zz").returncode in (1, 64)
    assert warden.ctl_run("no-such-thing").returncode == 64
    assert warden.ctl_run().returncode == 64
    nowhere = subprocess.run([warden.program("ctl", "tcpwardenctl"), "--socket", "/nonexistent/socket", "status"], capture_output=True,
                             text=True)
    assert nowhere.returncode == 69 and "/nonexistent/socket" in nowhere.stderr


def ask(warden, data, answers=1, deadline=5):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(deadline)
        s.connect(warden.control)
        s.sendall(data)
        got = b""
        while got.count(b"\n") < answers:
            more = s.recv(65536)
            if not more:
                break
            got += more
        return [json.loads(line) for line in got.splitlines()]


def test_strange_requests_harm_nobody(through, backend):
    warden = through(backend(peers.echo).address)
    warden.expected_log += ["control"]
    for line in (b"not json\n", b"[]\n", b"{}\n", b'{"request": 5}\n', b'{"request": "kill"}\n', b'{"request": "kill", "id": "-1"}\n',
                 b'{"request": "sessions", "service": 7}\n', b'{"request": "show", "id": "' + b"f" * 60 + b'"}\n'):
        (answer,) = ask(warden, line)
        assert answer["ok"] is False and answer["error"], line
    assert [a["ok"] for a in ask(warden, b'{"request":"status"}\n{"request":"leases"}\n{"request":"status"}\n', 3)] == [True] * 3
    try:
        assert not [a for a in ask(warden, b"x" * 1_000_000) if a.get("ok")]  # no line is that long
    except (ConnectionResetError, BrokenPipeError):
        pass
    idle = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for s in idle:
        s.connect(warden.control)
    assert warden.status()["ok"]
    for s in idle:
        s.close()


def test_only_those_who_may(through, backend):
    if os.geteuid() != 0:
        pytest.skip("needs root, to be someone else")
    warden = through(backend(peers.echo).address)
    warden.expected_log += ["control"]
    for user in ("nobody", "tcpwarden-relay"):
        if user == warden.user:
            continue
        try:
            pwd.getpwnam(user)
        except KeyError:
            continue
        result = subprocess.run([warden.program("ctl", "tcpwardenctl"), "--socket", warden.control, "status"], capture_output=True,
                                text=True, user=user, extra_groups=[])
        assert result.returncode != 0 and '"ok"' not in result.stdout


def test_many_sessions_are_listed(through, load):
    server = load.backend()
    warden = through(server.address)
    client = load.client(warden.address, connections=2000, parallel=2000, kinds="stall_down", down=0, deadline=60)
    client.wait_event("idle")
    warden.wait_sessions(2000)
    ids = [s["id"] for s in warden.sessions()]
    assert len(set(ids)) == 2000
    assert warden.ctl("sessions").count("relaying") == 2000
    client.stop()


def test_upgrade_that_never_begins_is_given_up(tmp_path):
    """Also while each steward that could tell dies soon after."""
    path = str(tmp_path / "control.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(8)
        ctl = subprocess.Popen([os.path.join(build_directory(), "src", "ctl", "tcpwardenctl"), "--socket", path, "upgrade"], stderr=subprocess.PIPE,
                               text=True)
        listener.settimeout(1)
        asked = 0
        while ctl.poll() is None and asked < 500:
            try:
                s, _ = listener.accept()
            except TimeoutError:
                continue
            with s, s.makefile("rw") as stream:
                asked += 1
                request = json.loads(stream.readline())["request"]
                if asked % 10:
                    print('{"ok": true, "after": 3}' if request == "upgrade" else '{"ok": true, "upgrade": {"number": 3, "state": "done", "error": ""}}',
                          file=stream)
        ctl.kill()
        assert "no upgrade was begun" in ctl.communicate()[1] and ctl.returncode == 1 and asked > 100

"""Clients of the control socket that behave as badly as they can: the others are answered, and nothing grows."""
import contextlib
import json
import os
import random
import socket

import peers
from peers import connect
from waiting import wait_for


def control(warden, timeout=20):
    s = socket.socket(socket.AF_UNIX)
    s.connect(warden.control)
    s.settimeout(timeout)
    return s


def answers(warden):
    return warden.ctl_run("status").returncode == 0


def until_end(s):
    """All that comes until the other end closes, however it does; at most a megabyte."""
    got = b""
    try:
        while len(got) < 1 << 20:
            data = s.recv(65536)
            if not data:
                break
            got += data
    except (ConnectionResetError, BrokenPipeError):
        pass
    return got


def test_ten_megabytes_without_a_newline(through, backend):
    warden = through(backend(peers.echo).address)
    steward = warden.role("steward")
    before = steward.rss_kb
    with control(warden) as s:
        try:
            for _ in range(160):
                s.sendall(b"x" * 65536)
        except OSError:
            pass
        told = until_end(s)
    assert b'"ok": false' in told or b'"ok":false' in told or told == b""
    assert answers(warden)
    assert steward.rss_kb < before + 4000
    assert warden.role("steward") == steward


def test_rubbish(through, backend):
    warden = through(backend(peers.echo).address)
    chance = random.Random(11)
    lines = [b"\n", b"\r\n", b"{}\n", b"[]\n", b"null\n", b"{\n", b'{"request":1}\n', b'{"request":"status"', b'{"request":"kill","id":"zz"}\n',
             b'{"request":"kill","id":1}\n', b'{"request":"kill","id":"' + b"f" * 4000 + b'"}\n', b'{"request":"sessions","service":[]}\n',
             b"{" * 4000 + b"\n", b'{"a":' * 600 + b"1" + b"}" * 600 + b"\n", b"[" * 4090 + b"\n", b'{"request":"\\u0000"}\n', b"\xff\xfe\n", b"\0\n",
             b'{"request":"show","id":"-1"}\n', b'{"request":"kill","id":"1","now":"yes"}\n', b'{"request":"status"}\n' * 100]
    for turn in range(150):
        with control(warden) as s:
            try:
                for _ in range(chance.randrange(1, 6)):
                    s.sendall(chance.choice(lines) if chance.random() < 0.7 else chance.randbytes(chance.randrange(1, 3000)))
                if chance.random() < 0.5:
                    s.shutdown(socket.SHUT_WR)
                    for line in until_end(s).split(b"\n")[:-1]:
                        json.loads(line)
            except (BrokenPipeError, ConnectionResetError):
                pass
    assert answers(warden)


def test_hundreds_that_never_read(through, backend):
    """They ask for much and take none of it; and there are more of them than may be."""
    warden = through(backend(peers.echo).address)
    warden.expected_log += ["control"]
    clients = [connect(warden.address) for _ in range(50)]
    for client in clients:
        client.send(1).read(1)
    steward = warden.role("steward")
    before, idle = sum(steward.descriptors().values()), []
    try:
        for _ in range(200):
            s = control(warden, 0.1)
            idle.append(s)
            try:
                while True:
                    s.sendall(b'{"request":"sessions"}\n' * 50)
            except OSError:
                pass
    except OSError:
        pass
    with connect(warden.address) as client:
        client.send(10).read(10)
    assert sum(steward.descriptors().values()) <= before + 64 + 2
    for s in idle:
        s.close()
    wait_for(lambda: answers(warden), "an answer", 40)
    assert warden.role("steward") == steward
    for client in clients:
        client.close()


def test_gone_in_the_middle(through, backend):
    warden = through(backend(peers.echo).address)
    for request in (b'{"request":"reload"}\n', b'{"request":"sessions"}\n', b'{"request":"status"}\n', b'{"request":"rel',
                    b'{"request":"leases"}\n', b'{"request":"leases","history":10000}\n' * 3):
        for _ in range(20):
            with control(warden) as s, contextlib.suppress(BrokenPipeError):  # too many that are not noticed as gone yet
                s.sendall(request)
    assert answers(warden)
    assert warden.reload().returncode == 0
    assert os.path.exists(warden.control)

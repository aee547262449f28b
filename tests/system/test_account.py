"""What was sent and not delivered, as the log and the release hook are told it: to the byte what the sender's kernel has as acknowledged
and the reader's kernel never got."""
import signal
import socket
import struct
import time

import pytest

import direct
import peers
from peers import connect, free_port
from waiting import wait_for

MB = 1 << 20


def info(peer):
    """(acknowledged, received): bytes, by TCP_INFO. A SYN counts among the former at who connected, a FIN among both."""
    return struct.unpack_from("QQ", peer.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 120)


def account(end, to):
    return int(end.fields[f"bytes_to_{to}"]), int(end.fields[f"undelivered_to_{to}"])


class Stopped:
    """A session with a sender that has filled what there is, and a reader that has read little and then stopped."""

    def __init__(self, through, backend, to, piece=65536, length=8 * MB, listen=None, address=None, **settings):
        server = backend(peers.hold, receive_buffer=8192, address=address)
        self.warden = through(server.address, hooked=True, listen=listen, client={"linger_timeout": "300ms"},
                              backend={"linger_timeout": "300ms"}, **settings)
        self.to = to
        self.client = connect(self.warden.address, receive_buffer=8192)
        (self.backend,) = server.wait()
        self.sender, self.reader = (self.client, self.backend) if to == "backend" else (self.backend, self.client)
        self.sender.send(1000)
        self.reader.read(1000)
        if piece < 65536:
            for _ in range(length // piece):
                self.sender.send(piece)
        else:
            self.sender.send_until_full(length)
        self.settle()

    def settle(self):
        """Until nothing has moved for longer than any acknowledgement is delayed."""
        since, last = time.monotonic(), None

        def still():
            nonlocal since, last
            now = [self.acknowledged(), self.got()]
            if now != last:
                since, last = time.monotonic(), now
            return time.monotonic() - since > 0.4
        wait_for(still, "a standstill")

    def acknowledged(self):
        """Bytes of the sender that are in our kernel, or were."""
        if self.sender.sock.family == socket.AF_UNIX:
            return self.sender.sent
        return info(self.sender)[0] - (self.sender is self.client)

    def got(self):
        """Bytes that the reader's kernel has, or had."""
        if self.reader.sock.family == socket.AF_UNIX:
            return self.reader.received + self.reader.unread()
        return info(self.reader)[1]

    def kill(self, *options):
        (session,) = self.warden.sessions()
        assert session["bytes_to_" + self.to] <= self.acknowledged()
        self.warden.ctl("kill", *options, session["id"])

    def check(self, reason, acknowledged=None, got=None):
        (end,) = self.warden.log.wait_ends()
        acknowledged, got = acknowledged or self.acknowledged(), got or self.got()
        moved, undelivered = account(end, self.to)
        assert end.reason == reason
        assert undelivered == acknowledged - got > 0
        assert got <= moved <= acknowledged
        assert account(end, {"client": "backend", "backend": "client"}[self.to]) == (0, 0)
        (released,) = wait_for(self.warden.hooks["hooks"].released, "a release")
        assert (released.reason, released.fields[f"bytes_to_{self.to}"], released.fields[f"undelivered_to_{self.to}"]) == \
            (reason, str(moved), str(undelivered))
        for one in (self.client, self.backend):
            one.close()


BOTH = pytest.mark.parametrize("to", ["client", "backend"])


@BOTH
@pytest.mark.parametrize("options", [["--now"], []])
def test_kill(through, backend, to, options):
    s = Stopped(through, backend, to)
    s.kill(*options)
    s.check("operator.killed")


@BOTH
def test_small_traffic(through, backend, to):
    """Peeked at and sent, not spliced."""
    s = Stopped(through, backend, to, piece=500, length=100_000)
    s.kill("--now")
    s.check("operator.killed")


@BOTH
def test_after_the_relay_was_killed(through, backend, to):
    """The account is in the kernel, and a relay's death takes nothing from it."""
    s = Stopped(through, backend, to)
    s.warden.expect_deaths("relay")
    s.warden.check_descriptors = False
    old = s.warden.role("relay 0")
    old.kill(signal.SIGKILL)
    s.warden.wait_role("relay 0", old)
    wait_for(lambda: [r["state"] for r in s.warden.status()["relays"]] == ["running"], "a relay that runs")
    s.settle()
    s.kill("--now")
    s.check("operator.killed")


@BOTH
def test_sender_resets(through, backend, to):
    s = Stopped(through, backend, to)
    acknowledged = s.acknowledged()
    s.sender.reset()
    s.check({"client": "backend", "backend": "client"}[to] + ".reset", acknowledged)


@BOTH
def test_reader_resets(through, backend, to):
    s = Stopped(through, backend, to)
    acknowledged, got = s.acknowledged(), s.got()
    s.reader.reset()
    s.check(to + ".reset", acknowledged, got)


@BOTH
def test_reader_does_not_take_what_was_left(through, backend, to):
    """Both have ended in order, and what the one had said before is not taken within linger_timeout."""
    s = Stopped(through, backend, to, length=300_000)
    s.reader.finish()
    s.sender.finish()
    wait_for(lambda: s.sender.unacknowledged() == 0, "acknowledgement")
    s.check(to + ".timeout", s.acknowledged() - 1)  # its FIN


@BOTH
def test_all_is_delivered(through, backend, to):
    server = backend(peers.collect if to == "backend" else lambda peer: peer.send(3 * MB).finish().read_to_end())
    warden = through(server.address, hooked=True)
    with connect(warden.address) as client:
        if to == "backend":
            client.send(3 * MB)
        client.finish()
        client.read_to_end()
        server.wait()
    (end,) = warden.log.wait_ends()
    assert account(end, to) == (3 * MB, 0) and account(end, {"client": "backend", "backend": "client"}[to]) == (0, 0)


@pytest.mark.parametrize("kind", ["tcp unix", "unix tcp", "unix unix"])
@BOTH
def test_unix_sockets(through, backend, scratch, kind, to):
    """What was written to a unix socket is in its peer's kernel."""
    front, back = (f"unix:{scratch}/{name}" if k == "unix" else None for k, name in zip(kind.split(), ("front", "back")))
    s = Stopped(through, backend, to, listen=front, address=back)
    s.kill("--now")
    s.check("operator.killed")


@pytest.mark.parametrize("cause, reason", [("timeout", "backend.connect_timeout"), ("hook", "hook.refused"), ("limit", "policy.limit")])
def test_what_was_said_to_no_backend(through, backend, cause, reason):
    full, waiting = direct.listen(f"127.0.0.1:{free_port()}", full=True)
    address = "%s:%d" % full.getsockname() if cause == "timeout" else backend(peers.echo).address
    warden = through(address, hooked=cause == "hook", connect_retries=0, backend={"connect_timeout": "1s"},
                     limits={"connections": 1, "reject_message": "busy"} if cause == "limit" else {})
    if cause == "hook":
        warden.hooks["hooks"].set("acquire", gate=True, exit=1)
        warden.expected_log += ["acquire"]
    first = connect(warden.address).send(1).read(1) if cause == "limit" else None
    with connect(warden.address) as client:
        client.send(5000)
        if cause == "hook":
            wait_for(lambda: client.unacknowledged() == 0, "acknowledgement")
            warden.hooks["hooks"].set("acquire", gate=None)
        client.read_raw()
    (end,) = warden.log.wait_ends()
    assert (end.reason, account(end, "backend"), account(end, "client")) == (reason, (0, 5000), (0, 0))
    for one in [full, *waiting, *([first] if first else [])]:
        one.close()

"""A client and a backend of one connection, led by one script: what each reads, and what its calls say, is its story. The same script
runs over a direct connection and through tcpwarden, and the stories are compared."""
import errno
import os
import select
import socket
import subprocess

import peers
from peers import Peer
from waiting import wait_for

TCP_CLOSE = 7  # include/net/tcp_states.h
DEADLINE = 15.0


def word(error):
    """An errno's name; "timeout" is that of the test, and has none."""
    return errno.errorcode[error.errno] if error.errno else "timeout"


class Party(Peer):
    """A peer that keeps its story. What is waited for is what this peer's own kernel has, so it means the same whoever stands between."""

    def __init__(self, sends):
        self.sends, self.story, self.sock, self.listener = sends, [], None, None

    def _begin(self, sock):
        super().__init__(sock, self.sends, DEADLINE)

    def tell(self, *what):
        self.story.append(" ".join(map(str, what)))
        return self

    def connect(self, address, deadline=DEADLINE):
        sock, to = peers._socket_for(address)
        sock.settimeout(deadline)
        try:
            sock.connect(to)
        except OSError as e:
            self.tell("connect:", word(e))
        self._begin(sock)

    def accept(self, listener, deadline=DEADLINE):
        listener.settimeout(deadline)
        try:
            sock, _ = listener.accept()
        except TimeoutError:
            self.tell("nobody came")
            return False
        self._begin(sock)
        return True

    def attempt(self, call):
        """What it gives, in a word: "3", "0" or an errno."""
        try:
            result = call()
        except OSError as e:
            return word(e)
        return str(len(result) if isinstance(result, bytes) else result)

    def say(self, length):
        try:
            self.send(length)
        except OSError as e:
            self.tell("send:", word(e))
        return self

    def stuff(self):
        """Sends until nothing more is taken; notes how much of it has been acknowledged, so that it must arrive."""
        self.send_until_full(64 << 20)
        self.acknowledged = self.sent - self.unacknowledged()
        return self

    def has(self, length):
        """Its kernel has so many bytes in all, read or not."""
        wait_for(lambda: self.received + self.unread() >= length, f"{length} bytes", DEADLINE)
        return self

    def _happens(self, mask, what, deadline=DEADLINE):
        p = select.poll()
        p.register(self.sock, mask)
        found = p.poll(deadline * 1000)
        assert found or not what, f"{what} did not come"
        return bool(found)

    def sees_fin(self):
        self._happens(select.POLLRDHUP, "the end of what the other side says")
        return self

    def sees_reset(self):
        def closed():
            return self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE
        if not self.resets:
            return self.sees_fin()
        wait_for(closed, "a reset", DEADLINE)
        return self

    def to_end(self, at_least=None):
        """Reads to the end, by whichever word that is told. at_least: the least of bytes that must come; how many did is then left out."""
        try:
            while self._take(262144):
                pass
            how = "eof"
        except OSError as e:
            how = word(e)
        if at_least is None:
            return self.tell("reads", self.received, how)
        return self.tell("reads all that was acknowledged" if self.received >= at_least else "lacks acknowledged bytes", how)

    def raw(self):
        """Likewise, for bytes that are no pattern."""
        got, how = self.read_raw()
        return self.tell("reads", got.decode(), how)

    def later(self):
        """A send now; another when what the first one caused has come back; and what recv says then."""
        first = self.attempt(lambda: self.sock.send(b"."))
        self._happens(0, None, 1.0)
        return self.tell("later: send", first, "then", self.attempt(lambda: self.sock.send(b".")), "recv",
                         self.attempt(lambda: self.sock.recv(1)))

    def leave(self):
        self.sock.close()

    def die(self):
        """The process that holds the socket is killed."""
        holder = subprocess.Popen(["sleep", "600"], pass_fds=[self.sock.fileno()])
        self.sock.close()
        holder.kill()
        holder.wait()


def listen(address, full=False):
    """full: there is no room for one more. SYNs are dropped then."""
    sock, at = peers._socket_for(address)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(at)
    if sock.family == socket.AF_UNIX:
        os.chmod(at, 0o777)
    sock.listen(0 if full else 64)
    waiting = []
    while full:
        waiting.append(peers._socket_for(address)[0])
        waiting[-1].settimeout(0.2)
        try:
            waiting[-1].connect(at)
        except TimeoutError:
            break
    return sock, waiting


def play(case, front, back):
    """Both stories of one connection to `front`, which ends at `back`."""
    client, backend = Party("up"), Party("down")
    client.resets = backend.resets = not (front.startswith("unix:") or back.startswith("unix:"))
    waiting = []
    try:
        if case.listens:
            backend.listener, waiting = listen(back, case.listens == "full")
        client.connect(front, 1.0 if case.listens == "full" else DEADLINE)
        if case.listens is True and case.comes:
            backend.accept(backend.listener)
        case.script(client, backend)
    finally:
        for sock in [client.sock, backend.sock, backend.listener, *waiting]:
            if sock:
                sock.close()
    return client.story, backend.story

"""Clients and backends that follow a script, and know each byte that must come and how each stream must end."""
import collections
import errno
import fcntl
import os
import random
import socket
import struct
import termios
import threading

PERIOD = 1_048_583  # a prime: no power of two of lost bytes fits
_noise = random.Random(5020).randbytes(PERIOD)


def pattern(offset, length, stream):
    """The bytes of a stream ("up" or "down") at a place. Lost, doubled or swapped ones show at their place."""
    start = (offset + {"up": 0, "down": 524_287}[stream]) % PERIOD
    parts = []
    while length > 0:
        part = _noise[start:start + length]
        parts.append(part)
        length -= len(part)
        start = 0
    return b"".join(parts)


# How a stream ended, as its reader saw it: kind is "eof", "reset" or "timeout"; bytes: what had come, all of it right.
End = collections.namedtuple("End", "kind bytes")


class Peer:
    """One end of a connection."""

    def __init__(self, sock, sends, deadline=20.0):
        self.sock = sock
        self.sends, self.expects = sends, "down" if sends == "up" else "up"
        self.sent = self.received = 0
        self._reset = False  # told once, by whichever call asks first
        sock.settimeout(deadline)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, length, piece=65536):
        """All of it, or an OSError."""
        while length:
            data = pattern(self.sent, min(length, piece), self.sends)
            try:
                n = self.sock.send(data)
            except (ConnectionResetError, BrokenPipeError):
                self._reset = True
                raise
            self.sent += n
            length -= n
        return self

    def send_until_full(self, most=1 << 30):
        """As much as is taken without anyone reading at the other end; returns how much that was."""
        before = self.sent
        timeout = self.sock.gettimeout()
        self.sock.settimeout(0.5)
        try:
            while self.sent - before < most:
                self.sent += self.sock.send(pattern(self.sent, 65536, self.sends))
        except TimeoutError:
            pass
        self.sock.settimeout(timeout)
        return self.sent - before

    def urgent(self, byte=b"!"):
        self.sock.send(byte, socket.MSG_OOB)
        return self

    def finish(self):
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def _take(self, most):
        data = self.sock.recv(most)
        right = pattern(self.received, len(data), self.expects)
        if data != right:
            at = next(i for i, (a, b) in enumerate(zip(data, right)) if a != b)
            raise AssertionError(f"wrong byte at {self.received + at} of what came")
        self.received += len(data)
        return len(data)

    def read(self, length):
        """Exactly so many right bytes."""
        end = self.received + length
        while self.received < end:
            if not self._take(min(262144, end - self.received)):
                raise AssertionError(f"the stream ended after {self.received} bytes, {end - self.received} before its time")
        return self

    def read_to_end(self):
        before = self.received
        try:
            while self._take(262144):
                pass
        except (ConnectionResetError, BrokenPipeError):
            self._reset = True
        except TimeoutError:
            return End("timeout", self.received - before)
        except OSError as e:
            if e.errno in (errno.ETIMEDOUT, errno.EHOSTUNREACH):
                return End(errno.errorcode[e.errno], self.received - before)
            raise
        return End("reset" if self._reset else "eof", self.received - before)

    def read_raw(self, most=1 << 20):
        """Whatever comes until the end, unchecked: (bytes, kind)."""
        got = b""
        try:
            while len(got) < most:
                data = self.sock.recv(65536)
                if not data:
                    return got, "eof"
                got += data
        except ConnectionResetError:
            return got, "reset"
        except TimeoutError:
            return got, "timeout"
        return got, "more"

    def _ask(self, what):
        return struct.unpack("i", fcntl.ioctl(self.sock, what, b"\0\0\0\0"))[0]

    def unacknowledged(self):
        return self._ask(termios.TIOCOUTQ)

    def unread(self):
        return self._ask(termios.FIONREAD)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.sock.close()


def _socket_for(address):
    """(socket, address for bind and connect) for "HOST:PORT", "[IPV6]:PORT", "unix:PATH"."""
    if address.startswith("unix:"):
        return socket.socket(socket.AF_UNIX), address[5:]
    host, port = address.rsplit(":", 1)
    if host.startswith("["):
        return socket.socket(socket.AF_INET6), (host.strip("[]"), int(port))
    return socket.socket(socket.AF_INET), (host, int(port))


def connect(address, deadline=20.0, receive_buffer=None, send_buffer=None, source=None):
    sock, to = _socket_for(address)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if send_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    if source:
        sock.bind(source)
    sock.settimeout(deadline)
    try:
        sock.connect(to)
    except ConnectionResetError:  # established, and reset before we looked
        peer = Peer(sock, "up", deadline)
        peer._reset = True
        return peer
    return Peer(sock, "up", deadline)


_taken_ports = set()
# Workers that share a network share out its ports: one that one of them has found, another one must not find before it is used.
_worker, _workers = (int(os.environ.get(f"PYTEST_XDIST_WORKER{what}", default).strip("gw")) for what, default in (("", "0"), ("_COUNT", "1")))
_ports = range(11000 + _worker, 32000, _workers)


def free_port(host="127.0.0.1"):
    """A port that nobody listens on now, below those that the kernel gives to clients, so that nobody gets it by chance."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(1000):
        port = random.choice(_ports)
        if port in _taken_ports:
            continue
        with socket.socket(family) as s:
            try:
                s.bind((host, port))
            except OSError:
                continue
        _taken_ports.add(port)
        return port
    raise AssertionError("no free port")


class Backend:
    """Listens, and gives each connection to `script(peer)` in a thread of its own; what it returns or raises is kept in `results`."""

    def __init__(self, script, address=None, backlog=1024, receive_buffer=None, send_buffer=None):
        self.address = address or f"127.0.0.1:{free_port()}"
        self.script = script
        self.results = []
        self._done = threading.Condition()
        self._threads, self._peers = [], []
        self.accepted = 0
        self.listener, at = _socket_for(self.address)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if send_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(at)
        if self.address.startswith("unix:"):
            os.chmod(at, 0o777)
        self.listener.listen(backlog)
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            peer = Peer(sock, "down")
            self.accepted += 1
            self._peers.append(peer)
            thread = threading.Thread(target=self._serve, args=(peer,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer):
        try:
            result = self.script(peer)
        except (OSError, AssertionError) as e:
            result = e
        finally:
            if self.script is not hold:
                peer.close()
        with self._done:
            self.results.append(result)
            self._done.notify_all()

    def wait(self, count=1, deadline=20.0):
        """The results of the first `count` connections."""
        with self._done:
            if not self._done.wait_for(lambda: len(self.results) >= count, deadline):
                raise AssertionError(f"{len(self.results)} of {count} backend connections are over, {self.accepted} were accepted")
            return self.results[:count]

    def close(self):
        # shutdown wakes the thread in accept(), close alone does not
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self._acceptor.join(5)
        for peer in self._peers:
            try:
                peer.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(5)
        for peer in self._peers:
            peer.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


# Scripts for backends.

def hold(peer):
    """Keeps the connection and does nothing; the test has the peer in `results`."""
    return peer


def collect(peer):
    """Reads to the end, then ends: how the client's stream ended."""
    end = peer.read_to_end()
    return end


def answer(length):
    """Reads to the client's end, then answers: a half-close with a late answer."""
    def script(peer):
        end = peer.read_to_end()
        if end.kind == "eof":
            peer.send(length).finish()
        return end
    return script


def echo(peer):
    """Sends back as many bytes of its own stream as came in, then ends when the client has."""
    try:
        while True:
            before = peer.received
            if not peer._take(65536):
                peer.finish()
                return End("eof", peer.received)
            peer.send(peer.received - before)
    except (ConnectionResetError, BrokenPipeError):
        return End("reset", peer.received)

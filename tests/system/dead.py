"""Peers that vanish: how each state of a session is brought about, when the peer vanishes in it, and how the other one is told.

A scene is the same whatever proxy stands in the lab's warden network, so that proxies can be compared (bench/dead-peers)."""
import collections
import contextlib
import errno
import select
import socket
import threading
import time

from lab import with_port
from peers import Peer, pattern

SIDES = ("client", "backend")
BACKEND_PORT = 5000


class Scene:
    """One session, with addresses that are its own. `dead` is the peer that vanishes, `alive` the one that is to be told of it."""

    def __init__(self, lab, name, side, ip, port, row):
        self.lab, self.name, self.side, self.ip, self.row = lab, name, side, ip, row
        self.hosts = {"client": lab.clients.host(ip), "backend": lab.backends.host(ip)}
        self.door = with_port(lab.clients.gateway[ip], port)  # where the proxy is to listen
        self.backend = with_port(self.hosts["backend"], BACKEND_PORT)  # where it is to connect to
        self.gateway, self.port = lab.clients.gateway[ip], port
        self.since = self.cut_at = None  # the last sign of life lies between these
        self.told_at = self.told = None  # "RST", "FIN", or None if nothing was said
        self.error = None
        self._half_closed = False
        self._sockets = []

    def _socket(self, net):
        with net.inside():
            sock = socket.socket(socket.AF_INET6 if self.ip == 6 else socket.AF_INET)
        self._sockets.append(sock)
        sock.settimeout(20)
        return sock

    def listen(self):
        listener = self._socket(self.lab.backends)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.hosts["backend"], BACKEND_PORT))
        listener.listen()
        return listener

    def connect(self):
        sock = self._socket(self.lab.clients)
        sock.bind((self.hosts["client"], 0))
        sock.connect((self.gateway, self.port))
        self.client = Peer(sock, "up")
        return self.client

    def open(self):
        """A session over which bytes have gone both ways."""
        listener = self.listen()
        self.connect()
        sock, _ = listener.accept()
        self._sockets.append(sock)
        self.server = Peer(sock, "down")
        for one, other in ((self.client, self.server), (self.server, self.client)):
            one.send(100)
            other.read(100)
        self.dead, self.alive = (self.client, self.server) if self.side == "client" else (self.server, self.client)

    def cut(self, touch=True):
        """The peer vanishes, just after it has said something, if it still may."""
        self.since = self.since or time.time()
        if touch:
            self.since = time.time()
            self.dead.send(1)
            select.select([self.alive.sock], [], [], 20)  # it may be one that does not block
            self.alive.read(1)
        self.lab.cut(self.hosts[self.side])
        self.cut_at = time.time()

    def sleep_until(self, seconds):
        """So long after the cut."""
        time.sleep(max(0, self.cut_at + seconds - time.time()))

    def end_of(self, peer):
        """The peer's stream must end in order."""
        if peer.sock.recv(1) != b"":
            raise AssertionError("a byte came where the stream was to end")
        if peer is self.alive:
            self._half_closed = True

    def watch(self, patience):
        """Until the living peer is told, without reading what waits for it: a reset shows all the same."""
        if not self.row.tells:
            return
        peer = self.alive
        poll = select.poll()
        poll.register(peer.sock, 0 if self._half_closed else select.POLLRDHUP)
        if poll.poll(max(0, self.cut_at + patience - time.time()) * 1000):
            self.told_at = time.time()
            error = peer.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self.told = "RST" if error in (errno.ECONNRESET, errno.EPIPE) else errno.errorcode[error] if error else "FIN"

    def play(self, patience):
        try:
            self.row.act(self)
            self.watch(patience)
        except Exception as e:
            self.error = e

    def close(self):
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()

    @property
    def told_s(self):
        return self.told_at and self.told_at - self.cut_at


def syn_sent(s):
    s.listen()
    s.lab.cut(s.hosts["backend"])
    s.since = time.time()
    s.alive = s.connect()
    s.cut_at = time.time()


def idle(s):
    s.open()
    s.cut()


def in_flight(s):
    """A stream, and the peer vanishes in the middle of it."""
    s.open()
    stop = threading.Event()

    def read():
        s.dead.sock.settimeout(1)
        with contextlib.suppress(OSError):
            while s.dead.sock.recv(65536):
                pass

    def write():
        s.alive.sock.setblocking(False)
        while not stop.is_set():
            try:
                s.alive.sent += s.alive.sock.send(pattern(s.alive.sent, 4096, s.alive.sends))
            except BlockingIOError:
                pass
            time.sleep(0.002)  # a stream, not a load
    threads = [threading.Thread(target=f, daemon=True) for f in (read, write)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    s.cut()
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()


def write_into_the_void(seconds):
    def act(s):
        s.open()
        s.cut()
        s.sleep_until(seconds)
        s.alive.send(1000)
    return act


def window_closed(s):
    s.open()
    s.alive.send_until_full()
    time.sleep(1)  # it stands, and lives
    s.cut()


def half_closed_by_it(s):
    s.open()
    s.since = time.time()
    s.dead.finish()
    s.end_of(s.alive)
    s.cut(touch=False)


def half_closed_by_it_then_in_flight(s):
    half_closed_by_it(s)
    s.alive.send(1000)


def half_closed_by_other(s):
    s.open()
    s.alive.finish()
    s.end_of(s.dead)
    s.cut()


def fin_unacknowledged(s):
    s.open()
    s.cut()
    s.alive.finish()


def last_fin_unacknowledged(s):
    half_closed_by_it(s)
    s.alive.finish()


# tells: there is a peer left to tell. sides: which peers can be dead in it.
Row = collections.namedtuple("Row", "name title act sides tells", defaults=(SIDES, True))

ROWS = [
    Row("syn", "SYN sent", syn_sent, ("backend",)),
    Row("idle", "idle", idle),
    Row("in-flight", "bytes unacknowledged", in_flight),
    Row("write-1.5", "idle, written to after 1.5 s", write_into_the_void(1.5)),
    Row("write-5", "idle, written to after 5 s", write_into_the_void(5)),
    Row("write-8", "idle, written to after 8 s", write_into_the_void(8)),
    Row("window-closed", "window closed", window_closed),
    Row("it-closed", "half-closed by it", half_closed_by_it),
    Row("it-closed-in-flight", "half-closed by it, bytes unacknowledged", half_closed_by_it_then_in_flight),
    Row("other-closed", "half-closed by the other", half_closed_by_other),
    Row("fin", "our FIN unacknowledged", fin_unacknowledged),
    Row("last-fin", "our FIN, the last one, unacknowledged", last_fin_unacknowledged, SIDES, False),
]


def cast(lab, rows, first_port, families=(4, 6), scene=Scene):
    """A scene for each row, side and family."""
    made = []
    for row in rows:
        for side in row.sides:
            for ip in families:
                made.append(scene(lab, f"{row.name}-{side}-ip{ip}", side, ip, first_port + len(made), row))
    return made

"""Clients that come, stay for a while and go in whatever way, for as long as it lasts; whom the service does not take comes again."""
import random
import selectors
import socket
import struct
import threading
import time

RESET = struct.pack("ii", 1, 0)  # SO_LINGER
AGAIN_S = 0.1                    # until one that was refused comes again


class Crowd:
    """with Crowd(address, count, stay_s): so many connections at a time, in a thread; each stays between 0 and stay_s seconds."""

    def __init__(self, address, count, stay_s, seed=1):
        host, port = address.rsplit(":", 1)
        self.address = (host, int(port))
        self.count, self.stay_s = count, stay_s
        self.came = 0
        self._random = random.Random(seed)
        self._selector = selectors.DefaultSelector()
        self._due = {}  # socket: when it goes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _come(self):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(self.address)
        self._selector.register(s, selectors.EVENT_READ)
        self._due[s] = time.monotonic() + self._random.uniform(0, self.stay_s)
        self.came += 1

    def _go(self, s, reset=False):
        del self._due[s]
        self._selector.unregister(s)
        if reset:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        s.close()

    def _run(self):
        pause = 0.0
        while not self._over.is_set():
            if time.monotonic() >= pause:
                for _ in range(min(self.count - len(self._due), 20)):
                    self._come()
            for key, _ in self._selector.select(0.01):
                # Nobody is ever answered anything: this is its end, or it was refused.
                self._go(key.fileobj)
                pause = time.monotonic() + AGAIN_S
            now = time.monotonic()
            for s in [s for s, due in self._due.items() if due <= now]:
                self._go(s, self._random.random() < 0.3)
        for s in list(self._due):
            self._go(s)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._over.set()
        self._thread.join()

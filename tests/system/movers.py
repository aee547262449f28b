"""Sessions from relay to relay, ordered in the supervisor's place."""
import os
import random
import socket
import struct
import threading
import time

import hostile
import scribble
from waiting import wait_for

INCARNATION, OFFERS = 60, 184  # struct ledger_header


class Mover:
    def __init__(self, warden):
        self.warden = warden

    def _say(self, relay, kind, body, fds=()):
        with hostile.as_supervisor(relay, self.warden.role("supervisor")) as channel:
            assert channel.say(hostile.message(kind, body), fds)

    def bridge(self, a, b):
        """a, b: processes of relays, of different pairs."""
        number = time.monotonic_ns()
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        for relay, other, end in ((a, b, ends[0]), (b, a, ends[1])):
            ledger = os.open(f"/proc/{other.pid}/fd/{hostile.HOLDER_LEDGER}", os.O_RDONLY)
            incarnation = struct.unpack("=I", os.pread(ledger, 4, INCARNATION))[0]
            self._say(relay, "BRIDGE", struct.pack("=QII", number, int(other.title.split()[-1]), incarnation), (end.fileno(), ledger))
            os.close(ledger)
            end.close()

    def give(self, giver, to):
        """to: index of a relay, None: it keeps what it has."""
        self._say(giver, "GIVE", struct.pack("=I", 0 if to is None else to + 1))

    def move(self, giver, taker, bridge=True):
        """From now on that relay gives all that it has to the other."""
        a, b = (self.warden.wait_role(f"relay {i}") for i in (giver, taker))
        self.give(b, None)
        if bridge:
            self.bridge(a, b)
        self.give(a, taker)

    def move_all(self, giver, taker, count, bridge=True):
        """Until the other has so many. The supervisor, who knows nothing of it, keeps saying that no one is to give."""
        self.move(giver, taker, bridge)

        def done():
            self.give(self.warden.wait_role(f"relay {giver}"), taker)
            return len(in_relay(self.warden, taker)) == count
        wait_for(done, lambda: f"{count} sessions in relay {taker}: {where(self.warden)}", 30)


def in_relay(warden, index):
    return [s for s in warden.sessions() if s["relay"] == index]


def where(warden):
    return [(s["id"], s["relay"], s["state"]) for s in warden.sessions()]


class Shuttle:
    """Moves all sessions between two relays to and fro, beside the test, until it is left."""

    def __init__(self, warden, every=(0.1, 0.4), seed=1, rebridge=0.2):
        self.mover, self.every, self.rebridge = Mover(warden), every, rebridge
        self.random = random.Random(seed)
        self.moves = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        giver = 0
        while not self._over.wait(self.random.uniform(*self.every)):
            try:
                self.mover.move(giver, 1 - giver, bridge=not self.moves or self.random.random() < self.rebridge)
            except Exception:  # pylint: disable=broad-except
                continue  # one of them is just dead
            self.moves += 1
            giver = 1 - giver

    def _offers(self, index):
        relay = self.mover.warden.role(f"relay {index}")
        try:
            with open(f"/proc/{relay.pid}/fd/{hostile.HOLDER_LEDGER}", "rb") as f:
                return struct.unpack("=Q", os.pread(f.fileno(), 8, OFFERS))
        except (AttributeError, OSError):
            return None  # just dead

    def gone(self):
        """How many sessions were offered in all."""
        return sum(wait_for(lambda: self._offers(i), f"a relay {i}")[0] for i in range(2))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._over.set()
        self._thread.join()


def listed(warden):
    """(relay, slot, state, id) of all slots that are not free."""
    found = []
    for index in range(2):
        with scribble.ledger_of(warden.wait_role(f"relay {index}")) as ledger:
            count, start = struct.unpack_from("=I", ledger, 16)[0], struct.unpack_from("=Q", ledger, 32)[0]
            high = struct.unpack_from("=I", ledger, 80)[0]
            for slot in range(min(count, high)):
                _, state, identity = struct.unpack_from("=IIQ", ledger, start + slot * scribble.SLOT_SIZE)
                if state:
                    found.append((index, slot, state, f"{identity:x}"))
    return found

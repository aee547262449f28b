"""tcpwarden's processes in a container, seen from outside: who they are, and whether a pair is whole."""
import os
import re
import struct
import time

from faults import ABSENT
from process import Process

BEAT_OFFSET, READY_OFFSET, OWNER_OFFSET, HEADER = 112, 88, 104, 216  # struct ledger_header
FRESH_S = 0.7


def read(path, mode=""):
    try:
        with open(path, "r" + mode) as f:
            return f.read()
    except OSError:
        return b"" if mode else ""


class Roles:
    def __init__(self, root, unit="tcpwarden.service"):
        self._procs = f"{root}/sys/fs/cgroup/system.slice/{unit}/cgroup.procs"
        self._ledgers = {}  # process of a relay: its ledger

    def all(self):
        """{process: title} of all that lives in the unit's cgroup."""
        processes = map(Process, (int(pid) for pid in read(self._procs).split()))
        return {p: p.title for p in processes if p.alive}

    @staticmethod
    def _only(found):
        # What a role has started has its title until it becomes another program.
        pids = {p.pid for p in found}
        found = [p for p in found if p.parent not in pids]
        return found[0] if len(found) == 1 else None

    def role(self, title):
        return self._only([p for p, t in self.all().items() if t == f"tcpwarden: {title}"])

    def supervisor(self):
        return self._only([p for p, t in self.all().items() if t.endswith("/tcpwarden")])

    def pair(self, index):
        everyone = self.all()
        of = (lambda word: [p for p, title in everyone.items() if title == f"tcpwarden: {word} {index}"])
        return of("holder"), of("relay")

    @staticmethod
    def inner_pid(process):
        found = re.search(r"^NSpid:.*\s(\d+)$", read(f"/proc/{process.pid}/status"), re.M)
        return int(found[1]) if found else None

    def _ledger(self, relay):
        """The header of its ledger, or nothing."""
        if relay not in self._ledgers:
            directory = f"/proc/{relay.pid}/fd"
            try:
                for fd in sorted(os.listdir(directory), key=int):
                    if os.readlink(f"{directory}/{fd}").startswith("/memfd:tcpwarden-ledger"):
                        self._ledgers[relay] = f"{directory}/{fd}"
                        break
            except OSError:
                pass
        try:
            with open(self._ledgers.get(relay, ""), "rb") as f:
                return f.read(HEADER)
        except OSError:
            return b""

    def pair_amiss(self, index):
        """"", or why the pair is not whole, or ABSENT."""
        holders, relays = self.pair(index)
        if not holders and not relays:
            return ABSENT
        if len(holders) != 1 or len(relays) != 1:
            return f"holders {holders}, relays {relays}"
        header = self._ledger(relays[0])
        if len(header) < HEADER:
            return "no ledger"
        ready, = struct.unpack_from("=I", header, READY_OFFSET)
        owner, beat_ns = struct.unpack_from("=QQ", header, OWNER_OFFSET)
        if relays[0].parent != holders[0].pid or owner & 0xffffffff != self.inner_pid(relays[0]):
            return f"{relays[0]} is not the relay of {holders[0]}, or not the owner of the ledger"
        age_s = time.monotonic() - beat_ns / 1e9
        if not ready or age_s > FRESH_S or relays[0].state in ("T", None):
            return f"{relays[0]}: ready {ready}, heartbeat {age_s:.1f} s old, state {relays[0].state}"
        return ""

    def size(self):
        """{role: (own memory in kB, {kind of descriptor: count})}"""
        found = {}
        for p, title in self.all().items():
            kinds = p.descriptors()
            if kinds is not None:
                name = title.removeprefix("tcpwarden: ") if title.startswith("tcpwarden: ") else os.path.basename(title)
                found[name] = (p.rss_kb, kinds)
        return found

"""A relay's ledger, written to from outside as a fault that writes to wrong memory would. Offsets are those of struct slot."""
import contextlib
import mmap
import os
import struct

SLOT_SIZE = 576


@contextlib.contextmanager
def ledger_of(relay):
    """Its mapping. relay: a process of tests/system/process.py."""
    for fd in os.listdir(f"/proc/{relay.pid}/fd"):
        path = f"/proc/{relay.pid}/fd/{fd}"
        if os.readlink(path).startswith("/memfd:tcpwarden-ledger"):
            with open(path, "r+b") as f, mmap.mmap(f.fileno(), 0) as ledger:
                yield ledger
            return
    raise AssertionError(f"{relay} has no ledger")


def slot_at(ledger, session):
    """Where the slot of that session begins: sequence, state, and then the record, which begins with its id."""
    at = ledger.find(struct.pack("=Q", int(session, 16)))
    assert at > 0, "no ledger lists the session"
    return at - 8


def set_state(ledger, session, state):
    at = slot_at(ledger, session) + 4
    ledger[at:at + 4] = struct.pack("=I", state)


def descriptors_at(ledger, session):
    """Where its two descriptors stand: before two pipes that it does not have, and the books' 0 and 1 of an idle session over TCP."""
    at = slot_at(ledger, session)
    found = ledger.find(struct.pack("=iiqq", -1, -1, 0, 1), at, at + SLOT_SIZE)
    assert found > 0, "its descriptors are not where they were"
    return found - 8


def _number(ledger, at, form):
    return struct.unpack_from(form, ledger, at)[0]


def slot_count(ledger):
    return _number(ledger, 16, "=I")


def slots_at(ledger):
    return _number(ledger, 32, "=Q")


def events_at(ledger):
    return _number(ledger, 40, "=Q")


def all_slots(ledger):
    """Where those begin that were ever used."""
    return [slots_at(ledger) + i * SLOT_SIZE for i in range(_number(ledger, 80, "=I"))]


def index_of(ledger, session):
    return (slot_at(ledger, session) - slots_at(ledger)) // SLOT_SIZE


def descriptor(ledger, session, side):
    return _number(ledger, descriptors_at(ledger, session) + 4 * side, "=i")


def set_events_made(ledger, count):
    struct.pack_into("=Q", ledger, 112, count)

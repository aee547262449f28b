"""A relay's ledger, written to from outside as a fault that writes to wrong memory would. Offsets are those of
struct ledger_header and struct slot (src/wire/ledger.h)."""
import contextlib
import mmap
import os
import struct

SLOT_SIZE = 640
NOT_OPEN = 9000
LISTENERS, LISTENER_SIZE = 216, 168
EVENTS_MADE = 128

# Of the header: name, offset, size. What is wrong in the first ones leaves nothing that could be found.
WHOLE = (("magic", 0, 4), ("version", 4, 4), ("size", 8, 8), ("slot_count", 16, 4), ("slot_size", 20, 4), ("event_count", 24, 4),
         ("event_size", 28, 4), ("slots_offset", 32, 8), ("events_offset", 40, 8), ("relay", 56, 4))
PARTS = (("tree", 48, 8), ("incarnation", 60, 4), ("id_base", 64, 8), ("id_next", 72, 8), ("high_water", 80, 4), ("starts", 84, 4),
         ("ready", 88, 4), ("handed_over", 92, 4), ("gave_way", 96, 4), ("owner", 104, 8), ("beat_ns", 112, 8), ("plan_fd", 120, 4),
         ("draining", 124, 4), ("events_made", EVENTS_MADE, 8), ("events_taken", 136, 8), ("no_rto_max", 148, 4))
LISTENER_PARTS = (("state", 0, 4), ("id", 4, 4), ("fd", 8, 4), ("shared", 12, 4), ("local", 16, 24), ("address", 40, 128))


@contextlib.contextmanager
def ledger_of(relay):
    """Its mapping. relay: a process of tests/system/process.py."""
    for fd in os.listdir(f"/proc/{relay.pid}/fd"):
        path = f"/proc/{relay.pid}/fd/{fd}"
        if os.readlink(path).startswith("/memfd:tcpwarden-ledger"):
            with open(path, "r+b") as f, mmap.mmap(f.fileno(), 0) as ledger:
                assert _number(ledger, 20, "=I") == SLOT_SIZE, "the layout of the ledger has changed: the numbers here must follow"
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


def listener_ids_at(ledger):
    """Where the numbers of those stand that listen."""
    entries = [LISTENERS + i * LISTENER_SIZE for i in range(256)]
    return [at + 4 for at in entries if _number(ledger, at, "=I") == 2]


def all_slots(ledger):
    """Where those begin that were ever used."""
    return [slots_at(ledger) + i * SLOT_SIZE for i in range(_number(ledger, 80, "=I"))]


def index_of(ledger, session):
    return (slot_at(ledger, session) - slots_at(ledger)) // SLOT_SIZE


def descriptor(ledger, session, side):
    return _number(ledger, descriptors_at(ledger, session) + 4 * side, "=i")


def set_events_made(ledger, count):
    struct.pack_into("=Q", ledger, EVENTS_MADE, count)


def _set(ledger, session, offset, number):
    """Of a session over TCP without pipes; the offset is from its descriptors on."""
    struct.pack_into("=i", ledger, descriptors_at(ledger, session) + offset, number)


def _of_another(side):
    return lambda ledger, session, other: _set(ledger, session, 4 * side, descriptor(ledger, other, side))


def _fill(byte):
    def fill(ledger, session, _other):
        at = slot_at(ledger, session)
        ledger[at + 8:at + SLOT_SIZE] = byte * (SLOT_SIZE - 8)
    return fill


def _turn_round(ledger, session, _other):
    fds = [descriptor(ledger, session, side) for side in (0, 1)]
    for side in (0, 1):
        _set(ledger, session, 4 * side, fds[1 - side])


# change(ledger, session, other): what no relay can go on with. `other` is not to notice.
DAMAGES = {
    "no such state": lambda ledger, session, other: set_state(ledger, session, 99),
    "another's client": _of_another(0),
    "another's backend": _of_another(1),
    "its own client as its backend": lambda ledger, session, other: _set(ledger, session, 4, descriptor(ledger, session, 0)),
    "its sockets the wrong way round": _turn_round,
    "a channel of the relay's own": lambda ledger, session, other: _set(ledger, session, 0, 3),
    "not open": lambda ledger, session, other: _set(ledger, session, 0, NOT_OPEN),
    "beyond all that can be": lambda ledger, session, other: _set(ledger, session, 4, 0x7fffffff),
    "negative": lambda ledger, session, other: _set(ledger, session, 4, -2),
    "a pipe that is none": lambda ledger, session, other: _set(ledger, session, 8, 1000),
    "a pipe beyond all": lambda ledger, session, other: _set(ledger, session, 8, 0x7fffffff),
    "zeros": _fill(b"\0"),
    "ones": _fill(b"\xff"),
    "text": _fill(b"A"),
}
# While it runs: what its successor could not tell from the truth.
LIVE_DAMAGES = DAMAGES | {
    "free": lambda ledger, session, other: set_state(ledger, session, 0),
    "over": lambda ledger, session, other: set_state(ledger, session, 6),
    "counts for another service": lambda ledger, session, other: _set(ledger, session, 100, 7),
    "counts for no backend that there is": lambda ledger, session, other: _set(ledger, session, 104, -1),
    "another session's name": lambda ledger, session, other: struct.pack_into(
        "=Q", ledger, slot_at(ledger, session) + 8, int(session, 16) + (1 << 20)),
}

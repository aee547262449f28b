"""tcpchaos, and what may be true of its sessions: what two peers can see of each other, and what a log line may say of both.

Of each side a record is kept (tests/chaos/record.h). What matters of it:
  sent, received      bytes of its two streams, as its calls told
  kernel_acked        bytes that the next kernel acknowledged to it, when its socket was last looked at, just before it was gone
  kernel_received     bytes that its own kernel had then; a FIN counts as one
  fin, fin_acked      it ended its stream in order; that was acknowledged
  exact               nothing came to its kernel after that look (which takes root to make sure of)
  settled             all that its kernel had was acknowledged by then
  did                 what it did out of order: "reset", "close_unread" (close with bytes unread), "close" (both directions at once),
                      "vanish" (nothing reaches it any more, and nothing of it reaches anyone), "nothing"
  saw                 how the other's stream ended: "eof", "reset", or "nothing" where it was itself gone before"""
import json
import os

from load import Load
from peers import free_port


ERRNOS = {"closed": ("-",), "reset": ("ECONNRESET", "EPIPE"), "dead": ("ETIMEDOUT",)}


class Chaos(Load):
    program = os.path.join("tests", "chaos", "tcpchaos")

    def __init__(self, directory, role, *arguments):
        self.records_path = os.path.join(directory, f"records-{os.urandom(4).hex()}")
        super().__init__(directory, role, "--records", self.records_path, *arguments)

    def records(self):
        with open(self.records_path) as f:
            return [Record(json.loads(line)) for line in f]


class ChaosBackend(Chaos):
    def __init__(self, directory, seed, *options):
        self.address = f"127.0.0.1:{free_port()}"
        super().__init__(directory, "backend", "--listen", self.address, "--seed", seed, *options)
        self.wait_event("listening")

    stop = Load.stop_when_idle


class ChaosClient(Chaos):
    def __init__(self, directory, address, seed, sessions, first, parallel, *options):
        super().__init__(directory, "client", "--connect", address, "--seed", seed, "--sessions", sessions, "--first", first,
                         "--parallel", parallel, *options)


class Record:
    def __init__(self, fields):
        self.__dict__.update(fields)
        self.fields = fields

    @property
    def cut(self):
        """It ended out of order."""
        return self.did != "nothing"

    @property
    def orderly(self):
        """Its plan was to end in order, and nothing kept it from that."""
        return self.plan in ("fin", "late") and not self.cut and self.fin

    @property
    def stayed(self):
        """It read until it was told of an end."""
        return not self.cut and self.saw != "nothing"

    @property
    def was_reset(self):
        return not self.cut and (self.saw == "reset" or bool(self.send_errno))

    def has_of(self, other):
        """Bytes of the other's stream that were in its kernel, and so could be read."""
        return min(self.kernel_received, other.sent)

    def __repr__(self):
        return str(self.fields)


def pairs(clients, backends):
    """(client, backend) by the session's number; the backend is None if a client's first bytes did not reach it."""
    by_id = {b.id: b for b in backends if b.id is not None}
    assert len(by_id) == sum(b.id is not None for b in backends), "a client came to the backend twice"
    return [(c, by_id.get(c.id)) for c in clients]


def _stream(source, reader):
    """What is wrong with one of the two streams. All of it holds for a direct connection between the two, too.

    A FIN arrives after all bytes before it or not at all, and a reset behind it takes nothing of it back; so a clean end is seen
    exactly when the FIN had come, whatever its sender did later. What was acknowledged can be read, also after a reset."""
    has = reader.has_of(source)
    if reader.wrong:
        yield f"a wrong byte at {reader.wrong_at}"
    if reader.stuck:
        yield "never ended"
    if not reader.received <= has or reader.kernel_received > source.sent + source.fin:
        yield "more came than was sent"
    if reader.saw == "eof" and not source.fin:
        yield "a clean end, and there was none"
    if reader.saw == "eof" and reader.received != source.sent:
        yield f"a clean end after {reader.received} of {source.sent} bytes"
    if reader.stayed and reader.saw == "reset" and not source.cut:
        yield "a reset that nobody sent"
    if reader.stayed and source.fin_acked and reader.saw != "eof":
        yield f"no clean end, though it was acknowledged to its sender; {reader.received} of {source.sent} bytes"
    if reader.stayed and reader.received < source.kernel_acked:
        yield f"{reader.received} bytes, though {source.kernel_acked} were acknowledged to their sender"
    if reader.orderly and source.orderly and reader.saw != "eof":
        yield "both ended in order, and this is no clean end"


def wrong_with_peers(client, backend):
    """In words, for one session."""
    if backend is None:
        # It gave up before its first bytes had come through, or it was answered by someone who had not heard of it.
        return [] if client.cut and client.saw == "nothing" else [f"the client came to no backend: {client}"]
    return [f"{name}: {what}\n  {client}\n  {backend}"
            for name, source, reader in (("upload", client, backend), ("download", backend, client))
            for what in _stream(source, reader)]


def met_a_ghost(client, backend, end):
    return backend is None and end.reason == "backend.connect_timeout" and client.received == 0 and client.saw in ("reset", "nothing")


def possible_reasons(client, backend):
    """A reset or a death is named after whose it was; of two, either may have been heard first. An end in order needs both FINs, and
    who came first is certain only if the other one answered to it."""
    sides = (("client", client), ("backend", backend)) if backend else (("client", client),)
    reasons = {f"{name}.dead" if side.did == "vanish" else f"{name}.reset" for name, side in sides if side.cut}
    if backend is None:
        return reasons
    if client.fin and backend.fin:
        if not (client.saw == "eof" and client.saw_us < client.fin_us):
            reasons.add("client.closed")
        if not (backend.saw == "eof" and backend.saw_us < backend.fin_us):
            reasons.add("backend.closed")
    return reasons


class Account:
    """What the log says of one stream against both kernels.

    acknowledged to the source <= what our kernel had of it (in) <= sent; what the reader's kernel had <= given <= in;
    undelivered = in - what the reader's kernel had acknowledged, which is all that it had if it was given the time for that. Where
    the source's FIN was acknowledged, in = sent."""

    def __init__(self, source, reader, given, undelivered):
        self.has = reader.has_of(source) if reader else 0
        self.given, self.undelivered, self.source, self.reader = given, undelivered, source, reader
        most = self.has if reader and reader.exact else given
        acked = self.has if reader and reader.settled else 0
        self.least = source.sent if source.fin_acked else source.kernel_acked
        self.too_little = max(0, self.least - most - undelivered)
        self.too_much = max(0, undelivered - (source.sent - acked))

    def wrong(self):
        # Whom we reset is looked at first, and what comes to its socket between that look and the reset is acknowledged all the same.
        # An acknowledgement that waits for a timer may wait longer where the processors are busy. Both are rare.
        rare = (self.source.was_reset or not self.too_little) and (not self.too_much or (self.reader and self.reader.cut))
        if not rare or self.undelivered > self.source.sent:
            yield f"{self.undelivered} undelivered, though {self.least} were acknowledged and the reader's kernel had {self.has}"
        if not self.has <= self.given <= self.source.sent:
            yield f"{self.given} given, the reader's kernel had {self.has}"


def accounts(client, backend, end):
    """(to the backend, to the client)"""
    up = Account(client, backend, int(end.bytes_to_backend), int(end.undelivered_to_backend))
    return (up, Account(backend, client, int(end.bytes_to_client), int(end.undelivered_to_client))) if backend else (up,)


def wrong_with_log(client, backend, end):
    wrong = []
    reasons = possible_reasons(client, backend)
    if end.reason not in reasons:
        wrong.append(f"not one of {sorted(reasons)}")
    if end.errno not in ERRNOS[end.reason.split(".")[1]]:
        wrong.append("errno")
    for to, account in zip(("backend", "client"), accounts(client, backend, end)):
        wrong += [f"to {to}: {what}" for what in account.wrong()]
    if not backend and (int(end.bytes_to_client) or int(end.undelivered_to_client)):
        wrong.append("to client: bytes from no backend")
    return [f"{what}\n  {end}\n  {client}\n  {backend}" for what in wrong]

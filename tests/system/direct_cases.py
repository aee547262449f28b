"""What a client and a backend may do to each other (direct.py): scripts for both, and what the log must say of each."""
import collections
import socket
import threading

MB = 1 << 20

Case = collections.namedtuple("Case", "name script log settings comes tcp listens")
CASES = []


def case(log, settings=None, comes=True, tcp=False, listens=True):
    """log: what the line of the log must say of it: reason, operation, errno, state; several if it may be seen in several ways.
    comes: the backend's end is accepted before the script begins. tcp: it has no meaning for unix sockets. listens: a backend does, and
    has room; "full": it has none."""
    def note(script):
        CASES.append(Case(script.__name__, script, (log,) if isinstance(log, str) else log, settings or {}, comes, tcp, listens))
        return script
    return note


def at_once(*steps):
    threads = [threading.Thread(target=step) for step in steps]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


# Ends in order

@case("client.closed receive - relaying")
def client_ends_first(c, b):
    c.say(1000).finish()
    b.to_end().say(5000).finish()
    c.to_end()


@case("backend.closed receive - relaying")
def backend_ends_first(c, b):
    b.say(5000).finish()
    c.to_end().say(1000).finish()
    b.to_end()


@case("client.closed receive - relaying")
def client_half_closes_and_the_answer_is_late(c, b):
    at_once(lambda: c.say(MB).finish(), b.to_end)
    at_once(lambda: b.say(4 * MB).finish(), c.to_end)


@case("backend.closed receive - relaying")
def backend_half_closes_and_the_client_goes_on(c, b):
    at_once(lambda: b.say(MB).finish(), c.to_end)
    at_once(lambda: c.say(4 * MB).finish(), b.to_end)


@case(("client.closed receive - relaying", "backend.closed receive - relaying"))
def both_end_at_once(c, b):
    c.say(100)
    b.say(100)
    at_once(c.finish, b.finish)
    c.to_end()
    b.to_end()


@case("client.closed receive - relaying")
def not_a_byte(c, b):
    c.leave()
    b.to_end().leave()


@case("backend.closed receive - relaying")
def backend_closes_at_once(c, b):
    b.leave()
    c.to_end().leave()


@case(("client.closed receive - relaying", "backend.closed receive - relaying"))
def large_both_ways(c, b):
    at_once(lambda: c.say(8 * MB).finish(), lambda: b.say(8 * MB).finish(), c.to_end, b.to_end)


# Who closes over bytes that it would not read resets, even after its end.
@case(("client.closed receive - relaying", "client.reset receive EPIPE relaying", "client.reset send EPIPE relaying",
       "client.reset send EPIPE closing", "client.reset send ECONNRESET relaying", "client.reset send ECONNRESET closing"),
      tcp=True)
def client_shuts_its_reading(c, b):
    c.sock.shutdown(socket.SHUT_RD)
    b.say(1000)
    c.say(1000).finish()
    b.to_end().leave()


@case(("backend.closed receive - relaying", "backend.reset receive EPIPE relaying", "backend.reset send EPIPE relaying",
       "backend.reset send EPIPE closing", "backend.reset send ECONNRESET relaying", "backend.reset send ECONNRESET closing"),
      tcp=True)
def backend_shuts_its_reading(c, b):
    b.sock.shutdown(socket.SHUT_RD)
    c.say(1000)
    b.say(1000).finish()
    c.to_end().leave()


# What a peer that was left alone is told

@case("client.reset receive EPIPE relaying")
def client_is_gone_and_the_backend_says_more(c, b):
    c.say(10).leave()
    b.to_end().later()


@case("backend.reset receive EPIPE relaying")
def backend_is_gone_and_the_client_says_more(c, b):
    b.say(10).leave()
    c.to_end().later()


@case("backend.reset receive EPIPE relaying", {"client": {"linger_timeout": "300ms"}})
def backend_is_gone_and_the_client_says_more_than_linger_timeout(c, b):
    b.say(10).leave()
    c.to_end().later()


# Resets

@case("client.reset receive ECONNRESET relaying")
def client_resets_when_idle(c, b):
    c.say(10)
    b.has(10)
    c.reset()
    b.to_end().later()


@case("backend.reset receive ECONNRESET relaying")
def backend_resets_when_idle(c, b):
    b.say(10)
    c.has(10)
    b.reset()
    c.to_end().later()


@case("client.reset receive ECONNRESET relaying")
def client_resets_and_the_backend_sends_first(c, b):
    c.say(10)
    b.has(10)
    c.reset()
    b.sees_reset().later()


@case("backend.reset receive ECONNRESET relaying")
def backend_resets_and_the_client_sends_first(c, b):
    b.say(10)
    c.has(10)
    b.reset()
    c.sees_reset().later()


@case("client.reset receive ECONNRESET relaying")
def client_resets_before_any_byte(c, b):
    c.reset()
    b.to_end()


@case("backend.reset receive ECONNRESET relaying")
def backend_resets_before_any_byte(c, b):
    b.reset()
    c.to_end()


@case(("client.reset receive ECONNRESET connecting", "client.reset receive ECONNRESET relaying"), comes=False)
def client_resets_right_after_connect(c, b):
    c.reset()
    if b.accept(b.listener, 1.0):
        b.to_end()


@case("client.reset receive ECONNRESET relaying")
def client_resets_in_mid_upload(c, b):
    c.stuff()
    c.reset()
    b.to_end(c.acknowledged)


@case("backend.reset receive ECONNRESET relaying")
def backend_resets_in_mid_download(c, b):
    b.stuff()
    b.reset()
    c.to_end(b.acknowledged)


@case("client.reset receive ECONNRESET relaying")
def client_resets_in_mid_download(c, b):
    b.stuff()
    c.reset()
    b.sees_reset().later()


@case("backend.reset receive ECONNRESET relaying")
def backend_resets_in_mid_upload(c, b):
    c.stuff()
    b.reset()
    c.sees_reset().later()


@case("client.reset receive EPIPE relaying")
def client_resets_after_its_end(c, b):
    c.say(10).finish()
    b.has(10).sees_fin()
    c.reset()
    b.sees_reset().to_end().later()


# It is noticed by itself or when the client says more, whichever comes first.
@case(("backend.reset receive EPIPE relaying", "backend.reset send EPIPE relaying"))
def backend_resets_after_its_end(c, b):
    b.say(10).finish()
    c.has(10).sees_fin()
    b.reset()
    c.to_end().later()


@case("client.reset receive ECONNRESET relaying")
def client_resets_after_the_backend_ended(c, b):
    b.say(10).finish()
    c.to_end().reset()
    b.to_end()


@case("backend.reset receive ECONNRESET relaying")
def backend_resets_after_the_client_ended(c, b):
    c.say(10).finish()
    b.to_end().reset()
    c.to_end()


@case("client.reset receive ECONNRESET relaying")
def client_closes_over_unread_bytes(c, b):
    b.say(1000)
    c.has(1000).say(500)
    b.has(500)
    c.leave()
    b.to_end().later()


@case("backend.reset receive ECONNRESET relaying")
def backend_closes_over_unread_bytes(c, b):
    c.say(1000)
    b.has(1000).say(500)
    c.has(500)
    b.leave()
    c.to_end().later()


@case("client.closed receive - relaying")
def client_is_killed(c, b):
    c.say(1000)
    b.has(1000)
    c.die()
    b.to_end().leave()


@case("backend.closed receive - relaying")
def backend_is_killed(c, b):
    b.say(1000)
    c.has(1000)
    b.die()
    c.to_end().leave()


@case("client.reset receive ECONNRESET relaying")
def client_is_killed_over_unread_bytes(c, b):
    b.say(1000)
    c.has(1000).die()
    b.to_end()


@case("backend.reset receive ECONNRESET relaying")
def backend_is_killed_over_unread_bytes(c, b):
    c.say(1000)
    b.has(1000).die()
    c.to_end()


# Before there is a backend

@case("backend.refused connect ECONNREFUSED connecting", {"connect_retries": 0}, listens=False, tcp=True)
def backend_refuses(c, b):
    if not c.story:
        c.to_end()


@case("backend.connect_timeout connect ETIMEDOUT connecting", {"connect_retries": 0, "backend": {"connect_timeout": "500ms"}},
      listens="full", tcp=True)
def backend_does_not_answer(c, b):
    if not c.story:
        c.to_end()


# Whoever looks at the socket first is told: the relay, or the steward to which it is passed.
@case(("client.reset receive ECONNRESET acquiring", "client.reset accept ECONNRESET acquiring"),
      {"hooks": {"acquire": {"command": ["/bin/sleep", "1"]}, "release": {"command": ["/bin/true"]}}}, comes=False, tcp=True)
def client_resets_while_its_lease_is_acquired(c, b):
    c.say(10).reset()
    if b.accept(b.listener, 0.5):
        b.to_end()


@case("client.closed receive - relaying",
      {"hooks": {"acquire": {"command": ["/bin/sleep", "0.2"]}, "release": {"command": ["/bin/true"]}}}, comes=False)
def client_ends_while_its_lease_is_acquired(c, b):
    c.say(10).finish()
    b.accept(b.listener)
    b.to_end().say(10).finish()
    c.to_end()


# An answer to an upload that goes on

@case("backend.reset receive EPIPE relaying")
def backend_answers_ends_and_leaves_over_an_upload(c, b):
    c.stuff()
    b.say(30_000).finish()
    c.has(30_000).sees_fin()
    b.leave()
    c.to_end().later()


@case("backend.reset receive ECONNRESET relaying")
def backend_answers_and_leaves_over_an_upload(c, b):
    c.stuff()
    b.say(30_000)
    c.has(30_000)
    b.leave()
    c.to_end().later()


@case("backend.reset receive ECONNRESET relaying")
def backend_leaves_over_an_upload_and_nobody_reads(c, b):
    c.stuff()
    b.stuff().leave()
    c.to_end(b.acknowledged)


@case("client.reset receive ECONNRESET relaying")
def client_answers_and_leaves_over_a_download(c, b):
    b.stuff()
    c.say(30_000)
    b.has(30_000)
    c.leave()
    b.to_end().later()


@case("client.reset receive EPIPE relaying")
def client_answers_ends_and_leaves_over_a_download(c, b):
    b.stuff()
    c.say(30_000).finish()
    b.has(30_000).sees_fin()
    c.leave()
    b.sees_reset().to_end().later()


# Urgent bytes

def urgent(sender, reader, before, after, inline):
    reader.sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, inline)
    sender.sock.sendall(before)
    sender.urgent(b"!")
    sender.sock.sendall(after)
    sender.finish()
    reader.sees_fin().raw().leave()


for name, before, after in (("first", b"", b"abc"), ("in_the_middle", b"abc", b"def"), ("last", b"abc", b"")):
    for end, way in (("client.closed", lambda c, b: (c, b)), ("backend.closed", lambda c, b: (b, c))):
        for inline in (1, 0):
            def script(c, b, way=way, before=before, after=after, inline=inline):
                urgent(*way(c, b), before, after, inline)
            script.__name__ = f"{end.split('.')[0]}_sends_urgent_{name}{'' if inline else '_and_it_is_not_inline'}"
            case(f"{end} receive - relaying", tcp=True)(script)


# What settings ask for

for setting, mode in (("on_failure", "close"), ("on_failure", "reset_now")):
    def script(c, b):
        b.say(1000)
        c.has(1000)
        b.reset()
        c.to_end()
    script.__name__ = f"backend_resets_and_{setting}_is_{mode}"
    case("backend.reset receive ECONNRESET relaying", {setting: mode})(script)

for linger in ("background", "reset"):
    def script(c, b):
        c.say(1000).finish()
        b.to_end().say(30_000).finish()
        c.has(30_000).sees_fin().to_end()
    script.__name__ = f"client_ends_first_and_linger_is_{linger}"
    case("client.closed receive - relaying", {"client": {"linger": linger}, "backend": {"linger": linger}})(script)

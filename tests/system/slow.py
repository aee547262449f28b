"""What a session (dead.Scene) does while something happens to it. idle, busy and stalled begin it, and return what completes it and
checks it to the last byte."""
import threading

from peers import End

AMOUNT = 2 << 20   # bytes; more than all buffers on the way hold
PATIENCE_S = 60


def check(end, right):
    if end != right:
        raise AssertionError(f"the stream's end was {end}, not {right}")


def exchange(s, length=100):
    for one, other in ((s.client, s.server), (s.server, s.client)):
        one.send(length)
        other.read(length)


def part(s):
    for one, other in ((s.client, s.server), (s.server, s.client)):
        one.finish()
        check(other.read_to_end(), End("eof", 0))


def idle(s):
    def complete():
        exchange(s)
        part(s)
    return complete


def streaming(s, write):
    """alive writes in a thread, until it says that it is over."""
    failed = []

    def run():
        try:
            write()
            s.alive.finish()
        except OSError as e:
            failed.append(e)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def complete(read):
        end = read()
        thread.join(PATIENCE_S)
        for e in (*failed, end):
            if isinstance(e, Exception):
                raise e
        check((end.kind, s.dead.received), ("eof", s.alive.sent))
        s.dead.finish()
        check(s.alive.read_to_end(), End("eof", 0))
    return complete


def busy(s):
    """A little all the time, and read at once."""
    over, ends = threading.Event(), []

    def write():
        while not over.wait(0.02):
            s.alive.send(1000)
    complete = streaming(s, write)

    def read_all():
        try:
            ends.append(s.dead.read_to_end())
        except (OSError, AssertionError) as e:
            ends.append(e)
    reader = threading.Thread(target=read_all, daemon=True)
    reader.start()

    def read():
        over.set()
        reader.join(PATIENCE_S)
        return ends[0]
    return lambda: complete(read)


def stalled(s):
    """More than is taken, while nobody reads."""
    complete = streaming(s, lambda: s.alive.send(AMOUNT))
    return lambda: complete(s.dead.read_to_end)

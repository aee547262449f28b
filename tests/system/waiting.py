"""Waiting for a fact, never for luck."""
import time


def wait_for(predicate, what, deadline=15.0, pause=0.01):
    """Calls predicate until it gives something true, and returns that. `what` says in words what is waited for."""
    end = time.monotonic() + deadline
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what() if callable(what) else what} (last: {value!r})")
        time.sleep(pause)
        pause = min(pause * 1.2, 0.1)


def stays(predicate, what, seconds):
    """The predicate is true all the time for so long: for facts that are the absence of an event."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert predicate(), f"did not last {seconds} s: {what}"
        time.sleep(0.02)

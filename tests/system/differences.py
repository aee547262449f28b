"""Where a peer can tell that tcpwarden stands between: what it sees then, and under which head tcpwarden(8) says why (DIFFERENCES FROM A
DIRECT CONNECTION). Each is checked to be there still."""


class Difference:
    """client, backend: the stories that are right through tcpwarden, or None where there is no difference."""

    def __init__(self, because, client=None, backend=None):
        self.because, self.client, self.backend = because, client, backend


ANSWER = "A backend has ended and resets"
CONNECTING = "Connecting"
URGENT = "Urgent data"
SETTINGS = "Settings that ask for it"
UNIX = "Unix sockets"


def whole_answer(length):
    """Nothing that the client says later is answered by a reset."""
    return Difference(ANSWER, client=[[f"reads {length} eof", "later: send 1 then 1 recv 0"]])


def urgent(reader, text):
    return Difference(URGENT, **{reader: [[f"reads {text} eof"]]})


DIFFERENCES = {
    "backend_is_gone_and_the_client_says_more": whole_answer(10),
    "backend_resets_after_its_end": whole_answer(10),
    "backend_answers_ends_and_leaves_over_an_upload": whole_answer(30_000),
    "client_sends_urgent_first_and_it_is_not_inline": urgent("backend", "!abc"),
    "backend_sends_urgent_first_and_it_is_not_inline": urgent("client", "!abc"),
    "client_sends_urgent_in_the_middle_and_it_is_not_inline": urgent("backend", "abc!def"),
    "backend_sends_urgent_in_the_middle_and_it_is_not_inline": urgent("client", "abc!def"),
    "client_sends_urgent_last_and_it_is_not_inline": urgent("backend", "abc!"),
    "backend_sends_urgent_last_and_it_is_not_inline": urgent("client", "abc!"),
    "backend_refuses": Difference(CONNECTING, client=[["reads 0 ECONNRESET"], ["connect: ECONNRESET"]]),
    "backend_does_not_answer": Difference(CONNECTING, client=[["reads 0 ECONNRESET"]]),
    "client_resets_right_after_connect": Difference(CONNECTING, backend=[["nobody came"]]),
    "client_resets_while_its_lease_is_acquired": Difference(CONNECTING, backend=[["nobody came"]]),
    "backend_resets_and_on_failure_is_close": Difference(SETTINGS, client=[["reads 1000 eof"]]),
}

# A matter of chance: who is faster.
SOMETIMES = {"client_resets_right_after_connect", "client_answers_ends_and_leaves_over_a_download"}


def unix(client=None, backend=None):
    return Difference(UNIX, client and [client], backend and [backend])


# Its close is no reset unless bytes are left unread, and that word cannot be passed on; and who writes to a peer that is gone is told at once.
UNIX_DIFFERENCES = {
    **{name: known for name, known in DIFFERENCES.items() if known.because == ANSWER},
    "backend_is_gone_and_the_client_says_more_than_linger_timeout": unix(client=["reads 10 eof", "later: send 1 then EPIPE recv 0"]),
    "client_is_gone_and_the_backend_says_more": unix(backend=["reads 10 eof", "later: send 1 then EPIPE recv 0"]),
    "client_resets_when_idle": unix(backend=["reads 10 eof", "later: send 1 then EPIPE recv 0"]),
    "backend_resets_when_idle": whole_answer(10),
    "client_resets_and_the_backend_sends_first": unix(backend=["later: send 1 then EPIPE recv 1"]),
    "backend_resets_and_the_client_sends_first": unix(client=["later: send 1 then 1 recv 1"]),
    "client_resets_after_its_end": unix(backend=["reads 10 eof", "later: send 1 then EPIPE recv 0"]),
    "client_closes_over_unread_bytes": unix(backend=["reads 500 eof", "later: send EPIPE then EPIPE recv 0"]),
    "backend_closes_over_unread_bytes": unix(client=["reads 500 eof", "later: send EPIPE then EPIPE recv 0"]),
    "client_is_killed_over_unread_bytes": unix(backend=["reads 0 eof"]),
    "backend_is_killed_over_unread_bytes": unix(client=["reads 0 eof"]),
    "client_answers_ends_and_leaves_over_a_download":
        unix(backend=["reads 30000 eof", "later: send EPIPE then EPIPE recv ECONNRESET"]),
}

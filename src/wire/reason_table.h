/* Every word with which a session's end can be named, once: enum, text, and what the manual says.
 * Include with WHO, HOW and OPERATION defined; each that is not is empty. */
#ifndef WHO
#define WHO(NAME, word, meaning)
#endif
#ifndef HOW
#define HOW(NAME, word, meaning)
#endif
#ifndef OPERATION
#define OPERATION(NAME, word, meaning)
#endif

WHO(NONE, "-", "not ended")
WHO(CLIENT, "client", "the peer that connected")
WHO(BACKEND, "backend", "the server that was connected to")
WHO(HOOK, "hook", "a hook of the session")
WHO(POLICY, "policy", "a setting")
WHO(OPERATOR, "operator", "a person, by tcpwardenctl or a signal")
WHO(SYSTEM, "system", "tcpwarden itself, or this machine")

HOW(NONE, "-", "not ended")
HOW(CLOSED, "closed", "it ended its stream in order (FIN), and the other side followed")
HOW(RESET, "reset", "it reset the connection (RST)")
HOW(DEAD, "dead", "it did not answer any more")
HOW(UNREACHABLE, "unreachable", "the network said that it cannot be reached")
HOW(STALLED, "stalled", "it lived but took no bytes")
HOW(IDLE, "idle", "no byte moved either way for idle_timeout")
HOW(HALF_CLOSE, "half_close", "one direction had ended and nothing moved in the other for half_close_timeout")
HOW(LIFETIME, "lifetime", "the session reached its lifetime")
HOW(REFUSED, "refused", "it refused: a connection, or an acquire")
HOW(CONNECT_TIMEOUT, "connect_timeout", "it did not answer the connection within connect_timeout")
HOW(NO_BACKEND, "no_backend", "there was no address to connect to")
HOW(DENIED, "denied", "the client may not use this service")
HOW(FAILED, "failed", "something failed; operation and errno say what")
HOW(TIMEOUT, "timeout", "it took too long: a hook its timeout, a peer that was to take what was left its linger_timeout")
HOW(LIMIT, "limit", "a limit was reached")
HOW(KILLED, "killed", "the session was killed by name")
HOW(SHUTDOWN, "shutdown", "tcpwarden was stopped and shutdown_timeout had passed")
HOW(DRAINED, "drained", "its service or its backend was taken out of use: removed, resolved away, or drained")
HOW(LOST, "lost", "the processes that held its sockets died")

OPERATION(NONE, "-", "none")
OPERATION(ACCEPT, "accept", "taking the client's connection")
OPERATION(CONNECT, "connect", "connecting to a backend")
OPERATION(RECEIVE, "receive", "reading from the peer")
OPERATION(SEND, "send", "writing to the peer")
OPERATION(CLOSE, "close", "waiting for the peer to take what was left")

#undef WHO
#undef HOW
#undef OPERATION

/* The life of a lease, once: the states, which are what its row in the store says, and every move between them.
 * Include with LIFE_STATE, LIFE_EVENT and LIFE_MOVE defined; each that is not is empty.
 *
 *   NEW ─ ASKED ─► INTENT ─ ACQUIRED ─► HELD ─ OVER ─► RELEASING ─ RELEASED ─► GONE
 *    │               │  └── CUT_OFF ─► UNKNOWN ─ OVER ──►┘ ▲ └ KEEPS_FAILING ─► FAILED
 *    │               │                                      └─── RETRIED ───────────┘
 *    └─ WITHDRAWN ───┴─ WITHDRAWN, NOT_ACQUIRED ─► GONE
 *
 * A state has one effect, and that comes only after the row that says the state is on disk. Two moves in a row may be one write:
 * what counts is what is on disk when an effect comes. tests/model/lease.pml has the same states and moves, and a test compares. */
#ifndef LIFE_STATE
#define LIFE_STATE(STATE, word, EFFECT, meaning)
#endif
#ifndef LIFE_EVENT
#define LIFE_EVENT(EVENT, meaning)
#endif
#ifndef LIFE_MOVE
#define LIFE_MOVE(FROM, EVENT, TO)
#endif

/* The words are those of the store and of `tcpwardenctl leases`. */
LIFE_STATE(NEW, "new", NOTHING, "it has no row yet: it waits for its turn to run acquire, or for an earlier lease of its session")
LIFE_STATE(INTENT, "intent", ACQUIRE_RUNS, "it is being acquired")
LIFE_STATE(HELD, "held", SESSION_GOES_ON, "acquire has taken it, and its variables are on disk")
LIFE_STATE(UNKNOWN, "unknown", SESSION_GOES_ON, "acquire was cut off: it may have taken it or not")
LIFE_STATE(RELEASING, "releasing", RELEASE_RUNS, "it is to be given back: release runs, or waits for its turn or its next try")
LIFE_STATE(FAILED, "failed", NOTHING, "release has failed often; it is tried on, and a person may look")
LIFE_STATE(GONE, "gone", FORGOTTEN, "its row is removed")

LIFE_EVENT(ASKED, "its acquire may begin")
LIFE_EVENT(GRANTED, "there is no acquire hook: it is held from its beginning")
LIFE_EVENT(PUT_BACK, "the store was lost, and a living session says that it holds it")
LIFE_EVENT(ACQUIRED, "acquire ended with exit status 0")
LIFE_EVENT(NOT_ACQUIRED, "acquire ended with another exit status, or could not be run")
LIFE_EVENT(CUT_OFF, "acquire ended by a signal or its timeout, or the steward or the helper died meanwhile")
LIFE_EVENT(WITHDRAWN, "it is not wanted any more, and nothing ran for it")
LIFE_EVENT(OVER, "its session is over, or does not want it")
LIFE_EVENT(NOTHING_TO_GIVE, "its session is over, and there is no release hook")
LIFE_EVENT(RELEASED, "release ended with exit status 0")
LIFE_EVENT(RELEASE_FAILED, "release ended otherwise: it is tried again, later")
LIFE_EVENT(RELEASE_LOST, "its helper ended before it answered: release runs again")
LIFE_EVENT(KEEPS_FAILING, "release has failed LEASE_FAILED_AFTER times or more")
LIFE_EVENT(RETRIED, "the next try is due, or an operator or a start asks for it")

LIFE_MOVE(NEW, ASKED, INTENT)
LIFE_MOVE(NEW, GRANTED, HELD)
LIFE_MOVE(NEW, PUT_BACK, HELD)
LIFE_MOVE(NEW, WITHDRAWN, GONE)

LIFE_MOVE(INTENT, ACQUIRED, HELD)
LIFE_MOVE(INTENT, CUT_OFF, UNKNOWN)
LIFE_MOVE(INTENT, NOT_ACQUIRED, GONE)
LIFE_MOVE(INTENT, WITHDRAWN, GONE)

LIFE_MOVE(HELD, OVER, RELEASING)
LIFE_MOVE(HELD, NOTHING_TO_GIVE, GONE)
LIFE_MOVE(HELD, WITHDRAWN, GONE) /* GRANTED, and over before the session was told */

LIFE_MOVE(UNKNOWN, OVER, RELEASING)
LIFE_MOVE(UNKNOWN, NOTHING_TO_GIVE, GONE)

LIFE_MOVE(RELEASING, RELEASED, GONE)
LIFE_MOVE(RELEASING, RELEASE_FAILED, RELEASING)
LIFE_MOVE(RELEASING, RELEASE_LOST, RELEASING)
LIFE_MOVE(RELEASING, KEEPS_FAILING, FAILED)

LIFE_MOVE(FAILED, RETRIED, RELEASING)

#undef LIFE_STATE
#undef LIFE_EVENT
#undef LIFE_MOVE

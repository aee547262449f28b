/* The life of one lease, with the death of relay, steward, hook, machine and database at any step. For spin(1):
 *
 *   spin -a -o3 lease.pml && cc -DSAFETY -o pan pan.c && ./pan -m100000     no assertion fails, and no run gets stuck
 *   spin -a -o3 lease.pml && cc -DNP -o pan pan.c && ./pan -l -m100000      no run goes on for ever
 *
 * In every interleaving what acquire took is given back (`settled`), no acquire takes anything once a release has begun, and a release
 * begins after one that succeeded only if steward or machine died while that ran, or before its success was recorded.
 *
 * States, moves and effects are those of src/steward/lease/life_table.h; tests/system/test_model.py compares them, runs both checks, sees that
 * each move is made in some run, and that the model fails when it is broken in ways that it should notice.
 *
 * Where the database is lost, a session that dies before its lease is put back leaves it to be given back by hand, as
 * tcpwarden-hooks(7) says; so none does here.
 *
 * What is left out: a session whose client waits through the death of a steward or helper gets a lease of its own after this one, with a
 * life like this one. A release that is overdue at a helper has the next one wait as an overdue acquire does. Of
 * the hooks of a session that goes on (connected, renew) one runs once, which is enough to see it overlap. Hooks do what their exit status
 * says. Deaths and failures are bounded by the budgets below. */

#ifndef DEATHS
#define DEATHS 4
#endif
#ifndef FAILURES
#define FAILURES 3 /* of release */
#endif

mtype = { NEW, INTENT, HELD, UNKNOWN, RELEASING, FAILED, GONE }; /* a lease */
mtype = { WAITING, GOING, OVER, FREE };                          /* its session, as the ledger has it */
mtype = { NONE, GATED, RUNNING, DONE, EXITED_0, EXITED, KILLED } /* a hook; DONE: it has done what it is for, and has not ended yet */

bool has_acquire, has_release; /* of the service */
bool helped;                   /* by a helper, which is not ended at the timeout of one event */

/* the machine's disk: what survives everything but its own loss */
mtype row = NEW; /* GONE: removed */
bool wiped;      /* the database was lost with its row */

/* the ledger: survives relay and steward */
mtype session = WAITING;

/* messages under way, which die with either end */
bool asks = true; /* relay: this session wants its lease */
bool goes;  /* steward: it has it */
bool ended; /* relay: this session is over */

/* the steward's memory */
bool up = true;
bool judged = true;      /* it has dealt with what its predecessor left */
mtype lease = NEW;       /* what the row says or shall say */
bool over;               /* the session is over, or does not want it */
bool queued, busy;       /* a write waits; one is under way */
mtype to_write, written; /* what they say */
bool opening;            /* granted, and not on disk yet */
bool backing_off;

/* processes of hooks */
mtype acquire = NONE, renew = NONE, release = NONE;

/* the world: what the properties speak of */
bool took, gave;    /* something is taken; something was given back after that */
bool renewed;       /* renew has been run, or was not let to */
bool began_release; /* some release has passed its gate */
bool succeeded;     /* a release has ended with 0 */
bool unheard;       /* steward or machine died while it ran, or since then */
byte deaths, failures;

#define durable (!queued && !busy)
#define settled (up && judged && lease == GONE && durable && session == FREE && acquire == NONE && renew == NONE && release == NONE)
#define lost (wiped && row == NEW) /* only the session knows of its lease */
#define alive(hook) (hook == GATED || hook == RUNNING || hook == DONE)

#define renewal_heard (renew == NONE || (helped && renew == RUNNING)) /* or it is overdue at a helper */

#define MOVE(from, event, to) assert(lease == from); lease = to
#define PERMITS(state, effect) assert(lease == state && durable && (row == state || (state == GONE && row == NEW)))

inline save() { to_write = lease; queued = true }

/* SQLite, on a thread of its own: the newest that was asked for, one commit at a time. */
proctype disk()
{
	do
	:: atomic { queued && !busy -> written = to_write; queued = false; busy = true }
	:: atomic { busy -> row = written; busy = false }
	:: settled -> break
	od
}

/* Runs the acquire hook. */
proctype acquire_hook()
{
	do
	:: atomic { acquire == RUNNING -> assert(!began_release); took = true; acquire = DONE }
	:: atomic { acquire == RUNNING -> acquire = EXITED }
	:: atomic { acquire == DONE -> acquire = EXITED_0 }
	:: atomic { acquire == RUNNING || acquire == DONE -> acquire = KILLED } /* crash, timeout, or a new steward */
	:: settled -> break
	od
}

proctype renew_hook()
{
	do
	:: atomic { renew == RUNNING -> assert(!began_release); renew = EXITED }
	:: atomic { renew == RUNNING && up && !judged -> renew = KILLED } /* by a new steward */
	:: settled -> break
	od
}

proctype release_hook()
{
	do
	:: atomic { release == RUNNING -> assert(!alive(acquire)); gave = took; release = DONE }
	:: atomic { release == DONE -> release = EXITED_0; succeeded = true; unheard = !judged }
	:: atomic { (release == RUNNING || release == DONE) && failures < FAILURES -> failures++; release = EXITED }
	:: atomic { (release == RUNNING || release == DONE) && failures < FAILURES -> failures++; release = KILLED }
	:: atomic { (release == RUNNING || release == DONE) && up && !judged -> release = KILLED } /* by a new steward */
	:: settled -> break
	od
}

proctype relay()
{
	do
	:: atomic { goes && session == WAITING -> goes = false; session = GOING; took = took || !has_acquire }
	:: atomic { (session == WAITING || session == GOING) -> session = OVER; ended = true }
	:: settled -> break
	od
}

proctype steward()
{
	do
	/* acquire */
	:: atomic { up && judged && asks && lease == NEW && !over && has_acquire ->
		MOVE(NEW, ASKED, INTENT); acquire = GATED; save() }
	:: atomic { up && judged && asks && lease == NEW && !over && !has_acquire ->
		MOVE(NEW, GRANTED, HELD); opening = true; save() }
	:: atomic { up && judged && lease == NEW && (asks || over) -> /* it is over, or cannot be served */
		MOVE(NEW, WITHDRAWN, GONE); over = true }
	:: atomic { up && judged && lease == INTENT && acquire == GATED && durable && !over ->
		PERMITS(INTENT, ACQUIRE_RUNS); acquire = RUNNING }
	:: atomic { up && judged && lease == INTENT && acquire == GATED -> /* also: the write takes too long */
		acquire = NONE; MOVE(INTENT, WITHDRAWN, GONE); over = true; save() }
	:: atomic { up && judged && lease == INTENT && acquire == EXITED ->
		acquire = NONE; MOVE(INTENT, NOT_ACQUIRED, GONE); over = true; save() }
	:: atomic { up && judged && lease == INTENT && acquire == EXITED_0 ->
		acquire = NONE; MOVE(INTENT, ACQUIRED, HELD); save() }
	:: atomic { up && judged && lease == INTENT && acquire == KILLED ->
		acquire = NONE; MOVE(INTENT, CUT_OFF, UNKNOWN);
		if
		:: over = true /* refused */
		:: save()      /* on_error = "allow" */
		fi }
	:: atomic { up && judged && helped && lease == INTENT && (acquire == RUNNING || acquire == DONE) -> /* overdue */
		MOVE(INTENT, CUT_OFF, UNKNOWN);
		if
		:: over = true
		:: save()
		fi }
	:: atomic { up && judged && helped && lease != INTENT && acquire != NONE && !alive(acquire) -> acquire = NONE } /* late */

	/* the session goes on */
	:: atomic { up && judged && asks && lease == HELD && durable && !over ->
		PERMITS(HELD, SESSION_GOES_ON); asks = false; goes = true }
	:: atomic { up && judged && asks && lease == UNKNOWN && durable && !over ->
		PERMITS(UNKNOWN, SESSION_GOES_ON); asks = false; goes = true }

	:: atomic { up && judged && (lease == HELD || lease == UNKNOWN) && !over && !opening && !asks && durable && renew == NONE && !renewed ->
		renewed = true; renew = GATED; save() }
	:: atomic { up && judged && (lease == HELD || lease == UNKNOWN) && renew == GATED && durable && !over -> renew = RUNNING }
	:: atomic { up && judged && renew == EXITED -> renew = NONE; save() }
	:: atomic { up && judged && over && renew == GATED -> renew = NONE }

	/* its end, which waits for what runs */
	:: atomic { up && judged && ended && !over -> over = true }
	:: atomic { up && judged && over && session == WAITING -> asks = false; session = OVER } /* refused */
	:: atomic { up && judged && session == OVER && durable && lease != NEW ->
		asks = false; goes = false; ended = false; over = true; session = FREE }
	:: atomic { up && judged && opening && lease == HELD && !durable ->
		MOVE(HELD, WITHDRAWN, GONE); over = true; save() }
	:: atomic { up && judged && over && has_release && lease == HELD && renewal_heard -> MOVE(HELD, OVER, RELEASING) }
	:: atomic { up && judged && over && has_release && lease == UNKNOWN && renewal_heard -> MOVE(UNKNOWN, OVER, RELEASING) }
	:: atomic { up && judged && over && !has_release && lease == HELD && renewal_heard -> MOVE(HELD, NOTHING_TO_GIVE, GONE); save() }
	:: atomic { up && judged && over && !has_release && lease == UNKNOWN && renewal_heard -> MOVE(UNKNOWN, NOTHING_TO_GIVE, GONE); save() }

	/* release */
	:: atomic { up && judged && lease == RELEASING && release == NONE && !backing_off -> release = GATED; save() }
	:: atomic { up && judged && lease == RELEASING && release == GATED && durable && !(helped && (alive(acquire) || alive(renew))) ->
		PERMITS(RELEASING, RELEASE_RUNS);
		assert(!succeeded || unheard); /* a double follows a death only */
		began_release = true; release = RUNNING }
	:: atomic { up && judged && lease == RELEASING && release == EXITED_0 ->
		release = NONE; MOVE(RELEASING, RELEASED, GONE); save() }
	:: atomic { up && judged && lease == RELEASING && (release == EXITED || release == KILLED) ->
		release = NONE; backing_off = true;
		if
		:: MOVE(RELEASING, RELEASE_FAILED, RELEASING)
		:: MOVE(RELEASING, KEEPS_FAILING, FAILED)
		fi;
		save() }
	:: atomic { up && judged && helped && lease == RELEASING && release == KILLED ->
		release = NONE; MOVE(RELEASING, RELEASE_LOST, RELEASING) }
	:: atomic { up && judged && backing_off && lease == RELEASING -> backing_off = false }
	:: atomic { up && judged && lease == FAILED -> backing_off = false; MOVE(FAILED, RETRIED, RELEASING) }

	/* What a predecessor left, once its hooks have ended. What they did is not known. */
	:: atomic { up && !judged && !alive(acquire) && !alive(renew) && !alive(release) ->
		acquire = NONE; renew = NONE; release = NONE; lease = row;
		if
		:: lease == NEW && lost ->
			MOVE(NEW, PUT_BACK, HELD); save()
		:: lease == NEW && !lost && session == FREE -> lease = GONE
		:: lease == NEW && !lost && session == OVER -> lease = GONE
		:: lease == NEW && !lost && session == WAITING -> skip
		:: lease == INTENT ->
			MOVE(INTENT, CUT_OFF, UNKNOWN);
			if
			:: session == OVER || session == GOING -> save() /* its relay says how it ends */
			:: else -> over = true
			fi
		:: lease == HELD || lease == UNKNOWN -> over = (session == FREE)
		:: lease == RELEASING || lease == GONE || lease == FAILED -> over = true
		fi;
		judged = true;
		asks = (session == WAITING); /* relays say again what waits */
		ended = (session == OVER) }
	:: atomic { settled ->
		PERMITS(GONE, FORGOTTEN);
		assert(!took || !has_release || gave);
		break }
	od
}

inline steward_dies()
{
	up = false; judged = false; lease = NEW; over = false; opening = false; backing_off = false;
	asks = false; goes = false; ended = false;
	unheard = succeeded;
	queued = false; /* a commit under way may still come to its end, or not */
	if
	:: busy -> busy = false; row = written
	:: busy -> busy = false
	:: else
	fi;
	/* A gate that nobody opens any more lets nothing through. */
	if
	:: acquire == GATED -> acquire = NONE
	:: else
	fi;
	if
	:: renew == GATED -> renew = NONE
	:: else
	fi;
	if
	:: release == GATED -> release = NONE
	:: else
	fi
}

proctype death()
{
	do
	:: atomic { !settled && deaths < DEATHS -> deaths++; /* the relay: its successor says again what is so */
		goes = false; asks = up && judged && session == WAITING; ended = up && judged && (session == OVER || session == FREE) }
	:: atomic { !settled && deaths < DEATHS && !lost -> deaths++; /* relay and holder: the session is lost, and that is told */
		session = FREE; goes = false; asks = false; ended = up && judged }
	:: atomic { !settled && deaths < DEATHS && up -> deaths++; steward_dies() }
	:: atomic { !settled && deaths < DEATHS && up && durable && session == GOING && has_release &&
		    (row == HELD || row == UNKNOWN) -> deaths++; steward_dies(); row = NEW; wiped = true } /* and the database is lost with it */
	:: atomic { !settled && deaths < DEATHS && !lost -> deaths++; /* the machine, and with it all that runs */
		steward_dies(); session = FREE; acquire = NONE; renew = NONE; release = NONE }
	:: atomic { !up -> up = true }
	:: settled -> break
	od
}

init
{
	atomic {
		if
		:: has_acquire = true; has_release = true
		:: has_acquire = true
		:: has_release = true
		fi;
		if
		:: helped = false
		:: helped = true
		fi;
		run disk();
		run acquire_hook();
		run renew_hook();
		run release_hook();
		run relay();
		run steward();
		run death()
	}
}

"""What must hold at the end of every test, whatever it did."""
import glob
import os
import sqlite3

from waiting import wait_for


def grown(daemon):
    """Roles that hold more descriptors than when nothing had happened yet, in words. Pooled pipes may stay,
    and a file that is opened at its first use and kept (SQLite's log, /dev/null for hooks)."""
    wrong = []
    for title, p in {"supervisor": daemon.role("supervisor"), **daemon.roles()}.items():
        before, now = daemon.baseline.get(title), p.descriptors()
        if before is None or now is None:
            continue
        for kind in now:
            once = 1 if kind.startswith("/") else 0
            if kind != "pipe" and now[kind] > before.get(kind, 0) + once:
                wrong.append(f"{title}: {now[kind]} {kind}, at the start {before.get(kind, 0)}")
    return wrong


def leases_left(state):
    path = os.path.join(state, "leases.db")
    if not os.path.exists(path):
        return []
    with sqlite3.connect(path) as database:
        return database.execute("SELECT * FROM lease").fetchall()


def before_stop(daemon):
    daemon.wait_sessions(0, deadline=20)
    if daemon.check_descriptors:
        try:
            wait_for(lambda: not grown(daemon), "", 10)
        except AssertionError:
            raise AssertionError(f"descriptors leaked: {grown(daemon)}") from None


def after_stop(daemon):
    left = daemon.tree()
    wrong = [f"still runs: {p}" for p in left]
    if os.path.isdir(daemon.state):
        wrong += [f"lease left: {row}" for row in leases_left(daemon.state)]
        wrong += [f"set aside: {path}" for path in glob.glob(os.path.join(daemon.state, "*corrupt*"))]
    for hooks in daemon.hooks.values():
        wrong += hooks.imbalance(twice=daemon.release_twice, unknown=daemon.acquire_unknown)
    wrong += [f"log: {line}" for line in daemon.log.bad(daemon.expected_log)]
    assert not wrong, f"{len(wrong)} universal checks failed:\n" + "\n".join(wrong[:40])

"""Slow is not dead: what lives survives, with dead_after = 10 s on both sides, and every byte of it arrives. And each setting that
does end a session ends it when it is due, under its own name, and nothing else.

All cases run side by side, and each is a test that looks up what became of it."""
import collections
import signal
import socket
import threading
import time

import pytest

import lab as lab_module
from conftest import FULL
from dead import SIDES, Scene
from lab import Lab
from peers import End
from settings import merged
from slow import busy, check, exchange, idle, part, stalled
from stage import PACINGS, Stage, selected, side_by_side, stamp

pytestmark = [pytest.mark.xdist_group("slow"), pytest.mark.takes(50)]

MB = 1 << 20
READER_S = 180 if FULL else 45     # longer than anything that could take it for dead
LOSS_S = 60 if FULL else 20
SILENCE_S = 60 if FULL else 15
CUT_S = 7.0
AFTERWARDS_S = 5.0                 # a verdict that was on its way would come by then
STOPPED_S = 15.0
DUE_S = 4.0                        # the settings that end a session
DEADLINE_S = READER_S + 60


# What happens to it.

def stopped_reader(s):
    complete = stalled(s)
    time.sleep(READER_S)
    complete()


def cut_while(what, phase):
    """The kernel has asked more or less often when the cut begins, and when it is healed."""
    def act(s):
        complete = what(s)
        time.sleep(phase)
        began = time.monotonic()
        s.lab.cut(s.hosts[s.side])
        time.sleep(CUT_S)
        s.lab.heal(s.hosts[s.side])
        s.was_cut_s = time.monotonic() - began
        time.sleep(AFTERWARDS_S)
        complete()
    return act


def cut_and_written_to(phase):
    def act(s):
        began = time.monotonic()
        s.lab.cut(s.hosts[s.side])
        time.sleep(phase)
        s.alive.send(1000)
        time.sleep(max(0, began + CUT_S - time.monotonic()))
        s.lab.heal(s.hosts[s.side])
        s.was_cut_s = time.monotonic() - began
        s.dead.read(1000)
        time.sleep(AFTERWARDS_S)
        idle(s)()
    return act


def loss(what, direction):
    def act(s):
        complete = what(s)
        dropped = s.lab.lose(s.hosts[s.side], 20, direction)
        time.sleep(LOSS_S)
        if what is busy and not dropped():
            raise AssertionError("no packet was lost")
        s.lab.heal(s.hosts[s.side])
        complete()
    return act


def lost_probe(s):
    time.sleep(0.5)  # acknowledgements of what was said before are through
    dropped = s.lab.drop_one(s.hosts[s.side])
    time.sleep(14)
    if dropped() != 1:
        raise AssertionError("no probe was sent")
    idle(s)()


def written_to_after_silence(s):
    time.sleep(SILENCE_S)
    s.alive.send(1000)
    s.dead.read(1000)
    time.sleep(AFTERWARDS_S)
    idle(s)()


def half_open(s):
    """It says that it is done, and the answer takes its time."""
    s.dead.finish()
    check(s.alive.read_to_end(), End("eof", 0))
    time.sleep(25)
    answer = threading.Thread(target=lambda: s.alive.send(MB).finish(), daemon=True)
    answer.start()
    check(s.dead.read_to_end(), End("eof", MB))


def stopped_with(what):
    """All our processes are stopped for longer than dead_after and hang_after."""
    def act(s):
        complete = what(s)
        time.sleep(1)
        s.ready.set()
        if not s.continued.wait(60):
            raise AssertionError("the daemon was not stopped")
        time.sleep(12)
        complete()
    return act


# What is due.

def due(begin):
    """begin brings about what ends the session DUE_S after it; None: its own begin does."""
    def act(s):
        if begin:
            s.since = time.time()
            begin(s)
        s.cut_at = time.time()
        s.watch(DUE_S + 5)
    return act


def stall(s):
    s.alive.sock.settimeout(0)
    last = time.time()
    while time.time() < last + 0.3:
        try:
            s.alive.sent += s.alive.sock.send(bytes(4096))
            last = time.time()
        except BlockingIOError:
            time.sleep(0.005)


def half_close(s):
    s.dead.finish()
    s.end_of(s.alive)


def step_by_step(step, finish):
    """Something moves every second, for much longer than would be due without."""
    def act(s):
        for _ in range(10):
            step(s)
            time.sleep(1)
        finish(s)
    return act


def one_byte(s):
    s.alive.send(1)
    s.dead.read(1)


def half_closed_with_bytes(s):
    s.dead.finish()
    s.end_of(s.alive)
    for _ in range(10):
        one_byte(s)
        time.sleep(1)
    s.alive.finish()
    check(s.dead.read_to_end(), End("eof", 0))


def slow_reader(s):
    complete = stalled(s)
    for _ in range(12):
        s.dead.read(32768)
        time.sleep(1)
    complete()


def drained(s):
    """All of it is in our socket, and nobody says any more; it is taken bit by bit."""
    s.dead.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.alive.send(150000)
    while s.dead.received < s.alive.sent:
        s.dead.read(min(3000, s.alive.sent - s.dead.received))
        time.sleep(0.4)
    part(s)


# after: what ends the session, None: its peers do, in order. daemon: those that are stopped have one of their own.
Case = collections.namedtuple("Case", "name act settings sides after daemon tells", defaults=({}, SIDES, None, "steady", False))
ONCE = ("client",)
KINDS = {"idle": idle, "busy": busy, "stalled": stalled}


def ends(name, begin, settings, after, sides=SIDES):
    return Case(name, due(begin), settings, sides, after, tells=True)


CASES = [
    Case("stopped-reader", stopped_reader),
    *(Case(f"cut-{name}-{phase}", cut_while(what, phase)) for name, what in KINDS.items() for phase in range(5)),
    *(Case(f"cut-written-{phase}", cut_and_written_to(phase)) for phase in range(5)),
    *(Case(f"loss-{direction}-{name}", loss(what, direction)) for name, what in KINDS.items() for direction in ("from", "to")),
    Case("lost-probe", lost_probe),
    Case("keepalive-2h", written_to_after_silence, {"side": {"keepalive": {"idle": "2h"}}}),
    Case("half-open", half_open),
    *(Case(f"stop-{name}", stopped_with(what), daemon="stopped") for name, what in KINDS.items()),
    ends("stall-due", stall, {"side": {"stall_after": "4s"}}, "{side}.stalled"),
    ends("idle-due", exchange, {"idle_timeout": "4s"}, "policy.idle", ONCE),
    ends("half-close-due", half_close, {"half_close_timeout": "4s"}, "policy.half_close"),
    ends("lifetime-due", None, {"lifetime": "4s"}, "policy.lifetime", ONCE),
    Case("stall-not-due", slow_reader, {"side": {"stall_after": "4s"}}),
    Case("idle-not-due", step_by_step(one_byte, part), {"idle_timeout": "4s"}),
    Case("drained", drained, {"idle_timeout": "4s", "side": {"dead_after": "60s"}}),
    Case("half-close-not-due", half_closed_with_bytes, {"half_close_timeout": "4s"}),
]
NAMES = [f"{case.name}-{side}" for case in CASES for side in case.sides]


def scenes_for(lab, number, names):
    """IPv4 and IPv6 by turns, and the other way round for the other daemon."""
    made = []
    for i, case in enumerate(CASES):
        for side in case.sides:
            if f"{case.name}-{side}" in names:
                made.append(Slow(lab, f"{case.name}-{side}", side, (4, 6)[(i + number) % 2], 20000 + 1000 * number + len(made), case))
    return made


class Slow(Scene):
    ready = continued = line = was_cut_s = None

    def settings(self):
        more = dict(self.row.settings)
        sides = {side: {"dead_after": "10s"} for side in SIDES}
        sides[self.side] = merged(sides[self.side], more.pop("side", {}))
        return {"connect_retries": 0, **sides, **more}

    def run(self):
        self.since = time.time()
        try:
            self.open()
            for peer in (self.client, self.server):
                peer.sock.settimeout(DEADLINE_S)
            self.row.act(self)
        except Exception as e:
            self.error = e
        finally:
            if self.ready:
                self.ready.set()

    def check(self):
        if self.error:
            cut = f"; it was cut for {self.was_cut_s:.3f} s" if self.was_cut_s else ""
            raise AssertionError(f"{type(self.error).__name__}: {self.error}{cut}; log: {self.line}")
        if not self.line:
            pytest.fail(f"its end is not in the log; told: {self.told}")
        reasons = [self.row.after.format(side=self.side)] if self.row.after else ["client.closed", "backend.closed"]
        if self.line.reason not in reasons:
            pytest.fail(f"the reason is not {' or '.join(reasons)}; told: {self.told}: {self.line}")
        if not self.row.after:
            return
        early, late = stamp(self.line) - self.since, stamp(self.line) - self.cut_at
        if early < DUE_S - 0.001 or late > DUE_S + 1:
            pytest.fail(f"{DUE_S} s, and it took {late:.3f} to {early:.3f} s: {self.line}")
        if self.told != "RST":
            pytest.fail(f"the other side was told by {self.told}: {self.line}")


class Pause:
    """Stops all processes of a daemon once its scenes are under way."""

    def __init__(self, daemon, scenes):
        self.daemon, self.scenes = daemon, scenes
        self.continued = threading.Event()
        self.fault = None
        for s in scenes:
            s.ready, s.continued = threading.Event(), self.continued

    def run(self):
        for s in self.scenes:
            s.ready.wait(60)
        supervisor = self.daemon.role("supervisor")
        tree = [supervisor] + [p for p in self.daemon.tree() if p != supervisor]
        for p in tree:
            p.kill(signal.SIGSTOP)
        time.sleep(STOPPED_S)
        for p in tree:  # the one that judges the others comes first
            p.kill(signal.SIGCONT)
        self.continued.set()
        time.sleep(5)
        gone = [p for p in tree if not p.alive]
        if gone:
            self.fault = f"{len(gone)} of {len(tree)} processes were replaced; {self.daemon.log_tail(20)}"


@pytest.fixture(scope="module")
def stage(request):
    if lab_module.why_not():
        pytest.skip(lab_module.why_not())
    names, pacings = selected(request, "name"), selected(request, "pacing")
    with Lab() as lab, Stage(lab) as stage:
        stage.scenes, stage.pauses = {}, {}
        for i, pacing in enumerate(PACINGS):
            scenes = scenes_for(lab, i, names) if pacing in pacings else []
            for which in ("steady", "stopped"):
                part_of = [s for s in scenes if s.row.daemon == which]
                if part_of:
                    daemon = stage.start(f"{which}, {pacing}", pacing, part_of)
                    if which == "stopped":
                        stage.pauses[pacing] = Pause(daemon, part_of)
            stage.scenes.update({(pacing, s.name): s for s in scenes})
        side_by_side([s.run for s in stage.scenes.values()] + [p.run for p in stage.pauses.values()])
        for s in stage.scenes.values():
            s.close()
        stage.finish()
        for s in stage.scenes.values():
            s.line = next(iter(s.daemon.log.ends(s.name)), None)
        yield stage


@pytest.mark.parametrize("pacing", PACINGS)
@pytest.mark.parametrize("name", NAMES)
def test_lives_or_is_due(stage, name, pacing):
    stage.scenes[pacing, name].check()


@pytest.mark.parametrize("pacing", PACINGS)
def test_no_role_is_replaced_after_a_stop(stage, pacing):
    if pacing in stage.pauses and stage.pauses[pacing].fault:
        pytest.fail(stage.pauses[pacing].fault)


@pytest.mark.parametrize("pacing", PACINGS)
def test_nothing_is_left(stage, pacing):
    stage.check(pacing)

"""The books of a storm, and what is wrong in them. Pure: books in, words out."""
import collections
import dataclasses

GROWTH_KB = 6000  # own memory of a role, from before the faults to after them, under the same load; what waited for a dead one takes some
BAD_LOG = ("Sanitizer", "runtime error:", "Assertion", "assertion", "cannot be taken up", "and their sessions with them", "system.lost",
           "stands in no ledger", "out of memory")
LOST = ("reset", "reset_short", "short", "excess", "stuck", "odd")


@dataclasses.dataclass
class Books:
    subject: str = ""
    seed: int = 0
    seconds: float = 0
    sessions: int = 0
    faults: dict = dataclasses.field(default_factory=dict)        # kind: how many
    recovery_s: dict = dataclasses.field(default_factory=dict)    # kind: how long until whole again, each
    failures: list = dataclasses.field(default_factory=list)      # what was never whole again
    loads: dict = dataclasses.field(default_factory=dict)         # name: tcpload's result
    leases: dict = dataclasses.field(default_factory=dict)        # counts of the resource's journal
    leases_wrong: list = dataclasses.field(default_factory=list)
    left: list = dataclasses.field(default_factory=list)          # sessions, leases, processes that are there at the end
    idle: tuple = ({}, {})     # {role: (kB, {descriptors})}, when nothing happened yet, and when nothing happens any more
    loaded: tuple = ({}, {})   # the same under load, before and after the faults
    log: list = dataclasses.field(default_factory=list)           # lines
    judged_by_size: bool = True


def sums(loads):
    """Clients' connections by what became of them."""
    total = collections.Counter()
    for name, result in loads.items():
        if name.startswith("backend"):
            continue
        total["connections"] += result["opened"]
        for verdicts in result["kinds"].values():
            for verdict, count in verdicts.items():
                if verdict == "refused":
                    total["refused"] += count
                elif verdict == "wrong_byte":
                    total["wrong bytes"] += count
                elif verdict == "disguised":
                    total["disguised"] += count
                elif verdict in LOST:
                    total["lost"] += count
    return total


def descriptors(size):
    """{(word of the role, kind): count}, of all relays together: sockets go from one to another."""
    total = collections.Counter()
    for role, (_, kinds) in size.items():
        for kind, count in kinds.items():
            # A file's path is another one once the mounts are gone under which it was opened.
            total[role.split()[0], "file" if kind.startswith("/") else kind] += count
    return total


def grown(before, after):
    """Roles and descriptors that were not there. Pooled pipes may stay, and a file that is opened at its first use."""
    if set(before) != set(after):
        return [f"roles at the start {sorted(before)}, at the end {sorted(after)}"]
    had = descriptors(before)
    return [f"{role}: {count} descriptors of {kind}, at the start {had[role, kind]}" for (role, kind), count in descriptors(after).items()
            if kind != "pipe" and count > had[role, kind] + (kind == "file")]


def grown_memory(before, after):
    return [f"{role}: {kb} kB, before the faults {before[role][0]}" for role, (kb, _) in after.items()
            if role in before and kb > before[role][0] + GROWTH_KB]


def wrong(books):
    """Everything that must not be, in words."""
    said = list(books.failures)
    for name, result in books.loads.items():
        bad = {kind: verdicts for kind, verdicts in result["kinds"].items() if verdicts["all"] != verdicts.get("ok", 0)}
        if bad:
            said.append(f"{name}: {bad}\n    " + "\n    ".join(result["failures"]))
    opened = sum(result["opened"] for name, result in books.loads.items() if name.startswith(("sessions", "bulk")))
    if opened != books.sessions:
        said.append(f"{opened} sessions stayed, {books.sessions} were meant to")
    if not books.faults:
        said.append("no fault came")
    said += books.leases_wrong + [f"left: {thing}" for thing in books.left]
    if books.judged_by_size:
        said += grown(*books.idle) + grown_memory(*books.loaded)
    said += [f"log: {line}" for line in books.log if any(bad in line for bad in BAD_LOG)]
    return said


def told(books):
    """For people."""
    total = sums(books.loads)
    lines = [f"{books.subject}: {books.seconds:.0f} s, seed {books.seed}: {sum(books.faults.values())} faults"]
    for kind, count in sorted(books.faults.items()):
        times = sorted(books.recovery_s.get(kind.split(" (")[0], ()))
        whole = f"   whole again after {times[len(times) // 2]:.2f} s, at most {times[-1]:.2f} s" if times else ""
        lines.append(f"  {count:5} {kind}{whole}")
    lines.append(f"{total['connections']} connections of clients: {total['refused']} refused, {total['lost']} lost, {total['wrong bytes']} with "
                 f"wrong bytes, {total['disguised']} resets shown as clean ends")
    for name, result in books.loads.items():
        gap = result["gap_ms"]
        lines.append(f"  {name:16} {result['opened']:6} connections, {result['received'] / 1e6:8.1f} MB received, "
                     f"longest silence p50 {gap['p50']} ms, p99 {gap['p99']} ms, max {gap['max']} ms ({gap['whose'].split(':')[0]})")
    if books.leases:
        lines.append("leases: " + ", ".join(f"{name} {count}" for name, count in sorted(books.leases.items())))
    for role, (kb, kinds) in sorted(books.loaded[1].items()):
        was, after = books.loaded[0].get(role, (0, {})), books.idle[1].get(role, (0, {}))
        lines.append(f"  {role:10} under load {was[0]} kB, after the faults {kb} kB; idle descriptors "
                     f"{sum(books.idle[0].get(role, (0, {}))[1].values())}, at the end {sum(after[1].values())}")
    return "\n".join(lines)

"""One storm from beginning to end: the subject, its traffic, the faults, the books."""
import re

import process
from faults import Faults
from judge import Books
from others import HAProxy, Nginx
from traffic import Traffic
from warden import Warden

SUBJECTS = {subject.name: subject for subject in (Warden, HAProxy, Nginx)}


def storm(directory, subject, seconds, sessions, connects, seed, other_build=None, story=None):
    process.become_subreaper()
    books = Books(subject=subject, seed=seed, seconds=seconds, sessions=sessions)
    with SUBJECTS[subject](directory, other_build) as subject:
        traffic = Traffic(directory, subject.inside, subject.fronts, subject.backends, sessions, connects, seconds, seed)
        faults = Faults(subject.targets(), seed)
        try:
            subject.start()
            idle = subject.size()
            traffic.start_sessions()
            subject.wait_sessions(round(sessions * subject.fronts.get("held", (None, 0))[1]))
            traffic.start_connects()
            loaded = subject.size()
            faults.run(seconds, traffic.running)
            subject.calm()
            books.loaded, books.idle = (loaded, subject.size()), (idle, {})
            books.loads = traffic.finish()
            books.faults, books.recovery_s, books.failures = dict(faults.counts), dict(faults.recovery_s), faults.failures
            subject.end(books)
        finally:
            if story:
                tell(story, faults, books)
            traffic.close()
    return books


def tell(path, faults, books):
    """What was done and what the daemon said of it, in the order of the time."""
    lines = [(at, f"[{at:12.6f}] ---- {words}") for at, words in faults.story]
    lines += [(0, f"{name}: {result['gap_ms']}") for name, result in books.loads.items()]
    for line in books.log:
        if found := re.match(r"\[ *([\d.]+)\]", line):
            lines.append((float(found[1]), line))
    with open(path, "w") as f:
        f.writelines(line + "\n" for _, line in sorted(lines))

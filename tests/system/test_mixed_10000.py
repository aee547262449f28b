"""10,000 connections that end in every way: nothing leaks, nothing is disguised, the books balance."""
import collections

import pytest

from peers import connect, free_port
from settings import service
from waiting import wait_for

KINDS = "fin=30,ask=15,late=15,client_rst=12,backend_rst=12,abrupt=12,early_rst=4"
# What the log calls each kind, where there is but one right word.
REASONS = {"client_rst": "client.reset", "backend_rst": "backend.reset", "ask": "backend.closed", "late": "client.closed"}


@pytest.mark.takes(15)
def test_mixed_ends(tcpwarden, load):
    server = load.backend()
    warden = tcpwarden({"workers": 2}, start=False)
    fronts = {name: f"127.0.0.1:{free_port()}" for name in ("plain", "hooked", "refused", "limited")}
    message = "all seats are taken, please call later\r\n"
    warden.configure({"services": [
        service("plain", fronts["plain"], server.address),
        service("hooked", fronts["hooked"], server.address, hooks=warden.new_hooks().config()),
        service("refused", fronts["refused"], f"127.0.0.1:{free_port()}", connect_retries=0),
        service("limited", fronts["limited"], server.address, limits={"connections": 1, "reject_message": message}),
    ]})
    warden.start()
    seed = iter(range(1, 100))

    def run(name, count, parallel, **more):
        return load.client(fronts[name], **{"connections": count, "parallel": parallel, "kinds": KINDS, "up": "0:60000",
                                            "down": "0:60000", "seed": next(seed), "deadline": 240, **more})

    run("plain", 1000, 100).wait()
    run("hooked", 100, 20).wait()
    wait_for(lambda: len(warden.log.ends()) == 1100, "the log of the warm-up", 30)
    warden.wait_sessions(0)
    memory = {title: p.rss_kb for title, p in warden.roles().items()}

    with connect(fronts["limited"]) as seat:
        wait_for(lambda: any(s["service"] == "limited" and s["state"] == "relaying" for s in warden.sessions()), "the one seat")
        running = [run("plain", 6000, 100), run("hooked", 2000, 30), run("refused", 1000, 20, kinds="refused"),
                   run("limited", 1000, 20, kinds="message", up="0:20000", down=0, message=message)]
        results = [r.wait() for r in running]
        seat.reset()
    warden.log.wait_ends(11_101, deadline=60)
    warden.wait_sessions(0, deadline=60)
    wait_for(lambda: len(warden.hooks["hooks"].released()) == len([r for r in warden.hooks["hooks"].runs("acquire") if not r.status]),
             "releases", 60)

    ends = collections.Counter((end.service, end.reason) for end in warden.log.ends())
    assert ends["limited", "policy.limit"] == 1000 and ends["refused", "backend.refused"] == 1000
    for name, result in (("plain", results[0]), ("hooked", results[1])):
        for kind, reason in REASONS.items():
            assert ends[name, reason] >= result["kinds"][kind]["all"], (name, kind, ends)
    for title, p in warden.roles().items():
        if "relay" in title or "holder" in title:
            assert p.rss_kb - memory[title] < 1024, f"{title} grew from {memory[title]} to {p.rss_kb} kB"
    server.stop()  # its own verdict on every stream

"""The holder dies: its relay and all sessions live on, and go on living when the relay dies next."""
import signal

import pytest

import peers
from peers import End, connect
from waiting import wait_for


def test_sessions_outlive_the_holder_and_then_the_relay(through, backend):
    server = backend(peers.echo)
    warden = through(server.address, hooked=True)
    warden.expect_deaths("holder", "relay")
    clients = [connect(warden.address) for _ in range(20)]
    for client in clients:
        client.send(50_000).read(50_000)
    for _ in range(3):
        holder, relay = warden.role("holder 0"), warden.role("relay 0")
        holder.kill()
        wait_for(lambda: (h := warden.role("holder 0")) and h != holder and (r := warden.role("relay 0")) and r != relay,
                 "a holder and a relay")
        for client in clients:
            client.send(50_000).read(50_000)
        relay = warden.role("relay 0")
        relay.kill()
        warden.wait_role("relay 0", not_this=relay)
        for client in clients:
            client.send(50_000).read(50_000)
    with connect(warden.address) as newcomer:
        newcomer.send(10).read(10)
    for client in clients:
        client.finish()
        assert client.read_to_end() == End("eof", 0)
        client.close()
    ends = warden.log.wait_ends(21)
    assert {end.reason for end in ends} == {"client.closed"}
    wait_for(lambda: len(warden.hooks["hooks"].released()) == 21, "releases")
    warden.release_twice = warden.acquire_unknown = False
    warden.note_baseline()


def test_both_die_at_once(through, backend):
    """Then the sessions are gone: told as resets, released, and the pair begins anew."""
    server = backend(peers.collect)
    warden = through(server.address, hooked=True)
    warden.expect_deaths("holder", "relay")
    warden.expected_log += ["system.lost", "begins anew", "sessions"]
    clients = [connect(warden.address).send(10) for _ in range(5)]
    wait_for(lambda: server.accepted == 5, "the backend's connections")
    warden.wait_sessions(5)
    holder, relay = warden.role("holder 0"), warden.role("relay 0")
    # One after the other, the relay stopped first, so that it cannot take the holder's place in between.
    relay.kill(19)
    holder.kill()
    relay.kill()
    for client in clients:
        assert client.read_to_end() == End("reset", 0)
        client.close()
    assert {end.kind for end in server.wait(5)} == {"reset"}
    released = wait_for(lambda: len(r := warden.hooks["hooks"].released()) == 5 and r, "releases")
    assert {(run.reason, run.recovered) for run in released} == {("system.lost", "1")}
    assert warden.status()["ends"] == {"system.lost": 5}
    wait_for(lambda: (h := warden.role("holder 0")) and h != holder, "a new holder")

    def served():
        try:
            with connect(warden.address) as client:
                client.send(1)
                return wait_for(lambda: server.accepted > 5, "the backend", 2)
        except (OSError, AssertionError):
            return False
    wait_for(served, "service again")
    warden.check_descriptors = False


@pytest.mark.parametrize("role", ["steward", "holder 0", "relay 0"])
def test_a_crash_is_a_death_like_another(through, backend, role):
    # A build with AddressSanitizer would take our signal for a fault of its own finding.
    warden = through(backend(peers.echo).address, hooked=True, daemon={"environment": {"ASAN_OPTIONS": "detect_leaks=1:handle_segv=0"}})
    warden.expect_deaths(*(r for r in ("steward", "holder", "relay") if role.startswith(r)))
    with connect(warden.address) as client:
        client.send(10_000).read(10_000)
        before = warden.role(role)
        before.kill(signal.SIGSEGV)
        client.send(100_000).read(100_000)
        warden.wait_role(role, not_this=before)
        with connect(warden.address) as newcomer:
            newcomer.send(10).read(10).finish()
            assert newcomer.read_to_end() == End("eof", 0)
        client.send(10).read(10).finish()
        assert client.read_to_end() == End("eof", 0)
    wait_for(lambda: len(warden.hooks["hooks"].released()) == 2, "releases")
    warden.note_baseline()

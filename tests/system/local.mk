# Real processes, driven by pytest.
EXTRA_DIST += \
	tests/model/lease.pml \
	tests/system/chaos.py \
	tests/system/checks.py \
	tests/system/conftest.py \
	tests/system/crowd.py \
	tests/system/daemon.py \
	tests/system/dead.py \
	tests/system/differences.py \
	tests/system/direct.py \
	tests/system/direct_cases.py \
	tests/system/helper.py \
	tests/system/holders.py \
	tests/system/hooks.py \
	tests/system/installed.py \
	tests/system/hostile.py \
	tests/system/killer.py \
	tests/system/lab.py \
	tests/system/load.py \
	tests/system/log.py \
	tests/system/movers.py \
	tests/system/network.py \
	tests/system/nft.py \
	tests/system/peers.py \
	tests/system/process.py \
	tests/system/resource_journal.py \
	tests/system/scribble.py \
	tests/system/seats.py \
	tests/system/settings.py \
	tests/system/slow.py \
	tests/system/sockets.py \
	tests/system/stage.py \
	tests/system/store.py \
	tests/system/syscalls.py \
	tests/system/systemd_lab.py \
	tests/system/test_account.py \
	tests/system/test_apply.py \
	tests/system/test_bench.py \
	tests/system/test_chaos.py \
	tests/system/test_control.py \
	tests/system/test_control_abuse.py \
	tests/system/test_damaged_ledger.py \
	tests/system/test_dead.py \
	tests/system/test_direct.py \
	tests/system/test_disk.py \
	tests/system/test_drain.py \
	tests/system/test_ended_by_us.py \
	tests/system/test_ends.py \
	tests/system/test_exactly_once.py \
	tests/system/test_examples.py \
	tests/system/test_helper.py \
	tests/system/test_hook_abuse.py \
	tests/system/test_hook_surroundings.py \
	tests/system/test_hook_users.py \
	tests/system/test_hooks.py \
	tests/system/test_hostile.py \
	tests/system/test_kill_anything.py \
	tests/system/test_kill_holder.py \
	tests/system/test_kill_relay.py \
	tests/system/test_kill_steward.py \
	tests/system/test_kill_supervisor.py \
	tests/system/test_leases.py \
	tests/system/test_limits.py \
	tests/system/test_manual.py \
	tests/system/test_mixed_10000.py \
	tests/system/test_model.py \
	tests/system/test_move.py \
	tests/system/test_power_cut.py \
	tests/system/test_probe.py \
	tests/system/test_real.py \
	tests/system/test_relay.py \
	tests/system/test_reclaim.py \
	tests/system/test_reload.py \
	tests/system/test_reload_storm.py \
	tests/system/test_scribble.py \
	tests/system/test_second_start.py \
	tests/system/test_service_hooks.py \
	tests/system/test_shutdown.py \
	tests/system/test_slice.py \
	tests/system/test_slow.py \
	tests/system/test_stall.py \
	tests/system/test_storm.py \
	tests/system/test_succession.py \
	tests/system/test_supervisor.py \
	tests/system/test_systemd.py \
	tests/system/test_systemd_death.py \
	tests/system/test_systemd_upgrade.py \
	tests/system/test_tick.py \
	tests/system/test_upgrade.py tests/system/test_upgrade_death.py tests/system/test_upgrade_disturbed.py \
	tests/system/test_vanished.py \
	tests/system/test_waits.py \
	tests/system/test_workers.py \
	tests/system/versions.py tests/system/waiting.py

# Stand-ins for the other roles, for the tests of the supervisor.
noinst_PROGRAMS += tests/system/fake/heir tests/system/fake/faulty tests/system/fake/steward tests/system/fake/relay
tests_system_fake_faulty_SOURCES = tests/system/fake/faulty.c
tests_system_fake_heir_SOURCES = tests/system/fake/heir.c
tests_system_fake_heir_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS)
tests_system_fake_heir_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=relay_run
tests_system_fake_heir_LDADD = src/relay/librelay.a src/wire/libwire.a src/base/libbase.a $(UV_LIBS)
tests_system_fake_steward_SOURCES = tests/system/fake/fake.c tests/system/fake/fake.h tests/system/fake/steward.c
tests_system_fake_steward_LDADD = src/wire/libwire.a src/base/libbase.a
tests_system_fake_relay_SOURCES = tests/system/fake/fake.c tests/system/fake/fake.h tests/system/fake/relay.c
tests_system_fake_relay_LDADD = src/wire/libwire.a src/base/libbase.a

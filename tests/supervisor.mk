# The supervisor's tests: its modules, and the whole of it over stand-ins for the other roles.
noinst_PROGRAMS += tests/system/fake/steward tests/system/fake/relay
tests_system_fake_steward_SOURCES = tests/system/fake/fake.c tests/system/fake/fake.h tests/system/fake/steward.c
tests_system_fake_steward_LDADD = src/wire/libwire.a src/base/libbase.a
tests_system_fake_relay_SOURCES = tests/system/fake/fake.c tests/system/fake/fake.h tests/system/fake/relay.c
tests_system_fake_relay_LDADD = src/wire/libwire.a src/base/libbase.a
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_backoff tests/unit/test_capacity tests/unit/test_lock tests/unit/test_notify \
	tests/unit/test_options tests/unit/test_say
supervisor_test_libs = src/supervisor/libsupervisor.a src/wire/libwire.a src/base/libbase.a $(CMOCKA_LIBS)
tests_unit_test_backoff_SOURCES = tests/unit/test_backoff.c
tests_unit_test_backoff_LDADD = $(supervisor_test_libs)
tests_unit_test_capacity_SOURCES = tests/unit/test_capacity.c
tests_unit_test_capacity_LDADD = $(supervisor_test_libs)
tests_unit_test_lock_SOURCES = tests/unit/test_lock.c
tests_unit_test_lock_LDADD = $(supervisor_test_libs)
tests_unit_test_notify_SOURCES = tests/unit/test_notify.c
tests_unit_test_notify_LDADD = $(supervisor_test_libs)
tests_unit_test_options_SOURCES = tests/unit/test_options.c
tests_unit_test_options_LDADD = $(supervisor_test_libs)
tests_unit_test_say_SOURCES = tests/unit/test_say.c
tests_unit_test_say_LDADD = $(supervisor_test_libs)
endif

EXTRA_DIST += tests/system/systemd_lab.py tests/system/test_supervisor.py tests/system/test_systemd.py \
	tools/build tools/check tools/demo tools/demo.py tools/depends

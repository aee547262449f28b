# The tests of hooks, leases and their store. Their log is tests/unit/quiet_log.c.
if HAVE_CMOCKA
lease_test_cflags = $(steward_cflags) $(CMOCKA_CFLAGS)
lease_test_libs = src/steward/liblease.a src/wire/libwire.a src/base/libbase.a $(CMOCKA_LIBS) $(UV_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS)

check_PROGRAMS += tests/unit/test_hook tests/unit/test_store tests/unit/test_lease tests/unit/test_lease_crash
tests_unit_test_hook_SOURCES = tests/unit/test_hook.c tests/unit/quiet_log.c tests/unit/quiet_log.h
tests_unit_test_hook_CFLAGS = $(lease_test_cflags)
tests_unit_test_hook_LDADD = $(lease_test_libs)
tests_unit_test_store_SOURCES = tests/unit/test_store.c tests/unit/quiet_log.c tests/unit/quiet_log.h
tests_unit_test_store_CFLAGS = $(lease_test_cflags)
tests_unit_test_store_LDADD = $(lease_test_libs)
tests_unit_test_lease_SOURCES = tests/unit/test_lease.c tests/unit/lease_fixture.c tests/unit/lease_fixture.h \
	tests/unit/quiet_log.c tests/unit/quiet_log.h
tests_unit_test_lease_CFLAGS = $(lease_test_cflags)
tests_unit_test_lease_LDADD = $(lease_test_libs)

# One process of leases and sessions, and the test that kills it.
noinst_PROGRAMS += tests/unit/lease_driver
tests_unit_lease_driver_SOURCES = tests/unit/lease_driver.c tests/unit/quiet_log.c tests/unit/quiet_log.h
tests_unit_lease_driver_CFLAGS = $(lease_test_cflags)
tests_unit_lease_driver_LDADD = $(lease_test_libs)
tests_unit_test_lease_crash_SOURCES = tests/unit/test_lease_crash.c
tests_unit_test_lease_crash_CFLAGS = $(lease_test_cflags)
tests_unit_test_lease_crash_LDADD = $(CMOCKA_LIBS)
EXTRA_tests_unit_test_lease_crash_DEPENDENCIES = tests/unit/lease_driver$(EXEEXT)
endif

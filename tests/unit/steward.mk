# Unit tests of the steward's frame.
if HAVE_CMOCKA
STEWARD_TEST_LIBS = src/steward/libsteward.a src/steward/liblease.a src/steward/libsteward.a src/steward/libconf.a src/wire/libwire.a src/base/libbase.a \
	$(steward_libs) $(CMOCKA_LIBS)
STEWARD_TEST_CFLAGS = $(steward_cflags) $(CMOCKA_CFLAGS)

check_PROGRAMS += tests/unit/test_control tests/unit/test_listeners tests/unit/test_log tests/unit/test_roster

tests_unit_test_control_SOURCES = tests/unit/test_control.c tests/unit/loop.h
tests_unit_test_control_CFLAGS = $(STEWARD_TEST_CFLAGS)
tests_unit_test_control_LDADD = $(STEWARD_TEST_LIBS)

tests_unit_test_listeners_SOURCES = tests/unit/test_listeners.c tests/unit/loop.h
tests_unit_test_listeners_CFLAGS = $(STEWARD_TEST_CFLAGS)
tests_unit_test_listeners_LDADD = $(STEWARD_TEST_LIBS)

tests_unit_test_log_SOURCES = tests/unit/test_log.c
tests_unit_test_log_CFLAGS = $(STEWARD_TEST_CFLAGS)
tests_unit_test_log_LDADD = $(STEWARD_TEST_LIBS)

tests_unit_test_roster_SOURCES = tests/unit/test_roster.c tests/unit/loop.h
tests_unit_test_roster_CFLAGS = $(STEWARD_TEST_CFLAGS)
tests_unit_test_roster_LDADD = $(STEWARD_TEST_LIBS)
endif

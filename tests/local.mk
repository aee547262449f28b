# Unit tests, cases of configs, tests of whole programs, and the program that loads these.
include tests/unit/local.mk
include tests/config/local.mk

# Unit tests: one block for each module.
UNIT_LIBS = src/wire/libwire.a src/base/libbase.a $(CMOCKA_LIBS)
if HAVE_CMOCKA

check_PROGRAMS += tests/unit/test_reason
tests_unit_test_reason_SOURCES = tests/unit/test_reason.c
tests_unit_test_reason_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_reason_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_census
tests_unit_test_census_SOURCES = tests/unit/test_census.c
tests_unit_test_census_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_census_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_ledger
tests_unit_test_ledger_SOURCES = tests/unit/test_ledger.c
tests_unit_test_ledger_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_ledger_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_message
tests_unit_test_message_SOURCES = tests/unit/test_message.c
tests_unit_test_message_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_message_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_plan
tests_unit_test_plan_SOURCES = tests/unit/test_plan.c
tests_unit_test_plan_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_plan_LDADD = $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_slot
tests_unit_test_slot_SOURCES = tests/unit/test_slot.c
tests_unit_test_slot_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_slot_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_wheel
tests_unit_test_wheel_SOURCES = tests/unit/test_wheel.c
tests_unit_test_wheel_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(UV_CFLAGS)
tests_unit_test_wheel_LDADD = src/relay/librelay.a $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_books
tests_unit_test_books_SOURCES = tests/unit/test_books.c
tests_unit_test_books_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(UV_CFLAGS)
tests_unit_test_books_LDADD = src/relay/librelay.a $(UNIT_LIBS)
endif

# The load program of the system tests: many checked connections, as client or backend.
noinst_PROGRAMS += tests/load/tcpload
tests_load_tcpload_SOURCES = \
	tests/load/address.c tests/load/address.h \
	tests/load/conn.c tests/load/conn.h \
	tests/load/pattern.c tests/load/pattern.h \
	tests/load/request.h \
	tests/load/tally.c tests/load/tally.h \
	tests/load/tcpload.c

EXTRA_DIST += \
	tests/system/checks.py tests/system/conftest.py tests/system/daemon.py tests/system/hooks.py tests/system/load.py \
	tests/system/log.py tests/system/peers.py tests/system/process.py tests/system/settings.py tests/system/waiting.py \
	tests/system/test_bench.py
include tests/unit/steward.mk
EXTRA_DIST += \
	tests/system/killer.py tests/system/test_control.py tests/system/test_ends.py tests/system/test_hooks.py \
	tests/system/test_kill_holder.py tests/system/test_kill_relay.py tests/system/test_kill_steward.py \
	tests/system/test_kill_supervisor.py tests/system/test_mixed_10000.py tests/system/test_real.py \
	tests/system/test_reload.py tests/system/test_second_start.py tests/system/test_shutdown.py tests/system/test_slice.py \
	tests/system/test_stall.py

# Fuzz targets: tests of a few seconds with a driver of their own, or, with --enable-fuzzer, programs for libFuzzer.
fuzz_sources = tests/fuzz/fuzz.c tests/fuzz/fuzz.h
if FUZZER
fuzz_ldflags = $(AM_LDFLAGS) -fsanitize=fuzzer
else
fuzz_ldflags = $(AM_LDFLAGS)
fuzz_sources += tests/fuzz/driver.c
endif

check_PROGRAMS += tests/fuzz/fuzz_message
tests_fuzz_fuzz_message_SOURCES = tests/fuzz/fuzz_message.c $(fuzz_sources)
tests_fuzz_fuzz_message_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_message_LDADD = src/wire/libwire.a src/base/libbase.a

check_PROGRAMS += tests/fuzz/fuzz_ledger
tests_fuzz_fuzz_ledger_SOURCES = tests/fuzz/fuzz_ledger.c tests/fuzz/overlay.c tests/fuzz/overlay.h tests/fuzz/quiet_say.c $(fuzz_sources)
tests_fuzz_fuzz_ledger_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS)
tests_fuzz_fuzz_ledger_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_ledger_LDADD = src/relay/librelay.a src/wire/libwire.a src/base/libbase.a $(UV_LIBS)

fuzz_steward_sources = tests/fuzz/steward_world.c tests/fuzz/steward_world.h tests/fuzz/overlay.c tests/fuzz/overlay.h tests/fuzz/checked_log.c \
	$(fuzz_sources)
fuzz_steward_libs = src/steward/libsteward.a src/steward/liblease.a src/steward/libsteward.a src/steward/libconf.a src/wire/libwire.a \
	src/base/libbase.a $(steward_libs)

check_PROGRAMS += tests/fuzz/fuzz_reading
tests_fuzz_fuzz_reading_SOURCES = tests/fuzz/fuzz_reading.c $(fuzz_steward_sources)
tests_fuzz_fuzz_reading_CFLAGS = $(steward_cflags)
tests_fuzz_fuzz_reading_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_reading_LDADD = $(fuzz_steward_libs)

check_PROGRAMS += tests/fuzz/fuzz_roster
tests_fuzz_fuzz_roster_SOURCES = tests/fuzz/fuzz_roster.c $(fuzz_steward_sources)
tests_fuzz_fuzz_roster_CFLAGS = $(steward_cflags)
tests_fuzz_fuzz_roster_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_roster_LDADD = $(fuzz_steward_libs)

check_PROGRAMS += tests/fuzz/fuzz_control
tests_fuzz_fuzz_control_SOURCES = tests/fuzz/fuzz_control.c $(fuzz_steward_sources)
tests_fuzz_fuzz_control_CFLAGS = $(steward_cflags)
tests_fuzz_fuzz_control_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_control_LDADD = $(fuzz_steward_libs)

check_PROGRAMS += tests/fuzz/fuzz_hook_answer
tests_fuzz_fuzz_hook_answer_SOURCES = tests/fuzz/fuzz_hook_answer.c tests/fuzz/checked_log.c $(fuzz_sources)
tests_fuzz_fuzz_hook_answer_CFLAGS = $(steward_cflags)
tests_fuzz_fuzz_hook_answer_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_hook_answer_LDADD = $(fuzz_steward_libs)

check_PROGRAMS += tests/fuzz/fuzz_config
tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz_config.c $(fuzz_sources)
tests_fuzz_fuzz_config_CFLAGS = $(steward_cflags)
tests_fuzz_fuzz_config_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_config_LDADD = src/steward/libconf.a src/wire/libwire.a src/base/libbase.a $(CONFIG_LIBS) $(UV_LIBS)

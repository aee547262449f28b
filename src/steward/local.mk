# The steward: a library of all but main, so that unit tests can take parts of it.
STEWARD_LIBRARIES_CFLAGS = $(UV_CFLAGS) $(CONFIG_CFLAGS) $(SQLITE_CFLAGS) $(JANSSON_CFLAGS)
STEWARD_LIBRARIES_LIBS = $(UV_LIBS) $(CONFIG_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS)

include src/steward/conf.mk
include src/steward/lease.mk

noinst_LIBRARIES += src/steward/libsteward.a
src_steward_libsteward_a_SOURCES = \
	src/steward/bind.c src/steward/bind.h \
	src/steward/control.c src/steward/control.h \
	src/steward/control_client.h src/steward/control_requests.c \
	src/steward/journal.c src/steward/journal.h \
	src/steward/listeners.c src/steward/listeners.h \
	src/steward/log.c src/steward/log.h \
	src/steward/log_record.c src/steward/log_record.h \
	src/steward/pair.c src/steward/pair.h src/steward/pair_requests.c \
	src/steward/reload.c \
	src/steward/report.c src/steward/report.h \
	src/steward/roster.c src/steward/roster.h \
	src/steward/status.c \
	src/steward/steward.c src/steward/steward.h \
	src/steward/stop.c \
	src/steward/upstream.c src/steward/upstream.h
src_steward_libsteward_a_CFLAGS = $(AM_CFLAGS) $(STEWARD_LIBRARIES_CFLAGS)

pkglibexec_PROGRAMS += src/steward/steward
src_steward_steward_SOURCES = src/steward/main.c
src_steward_steward_CFLAGS = $(AM_CFLAGS) $(STEWARD_LIBRARIES_CFLAGS)
src_steward_steward_LDADD = src/steward/libsteward.a src/steward/liblease.a src/steward/libconf.a src/wire/libwire.a src/base/libbase.a \
	$(STEWARD_LIBRARIES_LIBS)

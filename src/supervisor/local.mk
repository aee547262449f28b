# The supervisor: libc and libuv only; no config parser, no database.
noinst_LIBRARIES += src/supervisor/libsupervisor.a
src_supervisor_libsupervisor_a_SOURCES = \
	src/supervisor/ask.c src/supervisor/ask.h \
	src/supervisor/backoff.c src/supervisor/backoff.h \
	src/supervisor/bridge.c src/supervisor/bridge.h \
	src/supervisor/capacity.c src/supervisor/capacity.h \
	src/supervisor/crossing.c src/supervisor/crossing.h \
	src/supervisor/end_tree.c src/supervisor/end_tree.h \
	src/supervisor/estate.c src/supervisor/estate.h \
	src/supervisor/hand_over.c src/supervisor/hand_over.h \
	src/supervisor/heart.c src/supervisor/heart.h \
	src/supervisor/incarnation.c src/supervisor/incarnation.h \
	src/supervisor/inherited.c src/supervisor/inherited.h \
	src/supervisor/lock.c src/supervisor/lock.h \
	src/supervisor/member.c src/supervisor/member.h \
	src/supervisor/notify.c src/supervisor/notify.h \
	src/supervisor/options.c src/supervisor/options.h \
	src/supervisor/passage.c src/supervisor/passage.h \
	src/supervisor/pair.c src/supervisor/pair.h \
	src/supervisor/privilege.c src/supervisor/privilege.h \
	src/supervisor/proc.c src/supervisor/proc.h \
	src/supervisor/process.c src/supervisor/process.h \
	src/supervisor/program.c src/supervisor/program.h \
	src/supervisor/resume.c src/supervisor/resume.h \
	src/supervisor/settings.c src/supervisor/settings.h \
	src/supervisor/steward.c src/supervisor/steward.h src/supervisor/steward_say.c \
	src/supervisor/stop.c \
	src/supervisor/store.c src/supervisor/store.h \
	src/supervisor/succession.c src/supervisor/succession.h \
	src/supervisor/tree.c src/supervisor/tree.h \
	src/supervisor/upgrade.c src/supervisor/upgrade.h \
	src/supervisor/watch.c src/supervisor/watch.h \
	src/supervisor/workers.c src/supervisor/workers.h
src_supervisor_libsupervisor_a_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS)

sbin_PROGRAMS += src/supervisor/tcpwarden
src_supervisor_tcpwarden_SOURCES = src/supervisor/main.c
src_supervisor_tcpwarden_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS)
src_supervisor_tcpwarden_LDADD = src/supervisor/libsupervisor.a src/wire/libwire.a src/base/libbase.a $(UV_LIBS)

# Holder and relay: one program, libc and libuv only.
noinst_LIBRARIES += src/relay/librelay.a
src_relay_librelay_a_SOURCES = \
	src/relay/adopt.c src/relay/adopt.h \
	src/relay/arrive.c src/relay/arrive.h \
	src/relay/books.c src/relay/books.h \
	src/relay/bridge.c src/relay/bridge.h \
	src/relay/cause.c src/relay/cause.h \
	src/relay/closing.c src/relay/closing.h \
	src/relay/connect.c src/relay/connect.h \
	src/relay/deadline.c src/relay/deadline.h \
	src/relay/door.c src/relay/door.h \
	src/relay/ending.c src/relay/ending.h \
	src/relay/flow.c src/relay/flow.h \
	src/relay/give.c src/relay/give.h \
	src/relay/gone.c src/relay/gone.h \
	src/relay/hand_over.c src/relay/hand_over.h \
	src/relay/holder.c src/relay/holder.h \
	src/relay/kill_point.c src/relay/kill_point.h \
	src/relay/link.c src/relay/link.h \
	src/relay/own.c src/relay/own.h \
	src/relay/pace.c src/relay/pace.h \
	src/relay/parent.c src/relay/parent.h \
	src/relay/pipes.c src/relay/pipes.h \
	src/relay/place.c src/relay/place.h \
	src/relay/probe.c src/relay/probe.h \
	src/relay/question.c src/relay/question.h \
	src/relay/reclaim.c src/relay/reclaim.h \
	src/relay/relay.c src/relay/relay.h \
	src/relay/retire.c src/relay/retire.h \
	src/relay/review.c src/relay/review.h \
	src/relay/ring.c src/relay/ring.h \
	src/relay/session.c src/relay/session.h src/relay/slot.h \
	src/relay/settle.c src/relay/settle.h \
	src/relay/silence.c src/relay/silence.h \
	src/relay/socket.c src/relay/socket.h \
	src/relay/standing.c src/relay/standing.h \
	src/relay/table.c src/relay/table.h \
	src/relay/take_over.c src/relay/take_over.h \
	src/relay/tally.c src/relay/tally.h \
	src/relay/terms.c src/relay/terms.h \
	src/relay/vacancies.c src/relay/vacancies.h \
	src/relay/verify.c src/relay/verify.h \
	src/relay/wheel.c src/relay/wheel.h
src_relay_librelay_a_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS)

pkglibexec_PROGRAMS += src/relay/relay
src_relay_relay_SOURCES = src/relay/main.c
src_relay_relay_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS)
src_relay_relay_LDADD = src/relay/librelay.a src/wire/libwire.a src/base/libbase.a $(UV_LIBS)

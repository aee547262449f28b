# What the roles share: layouts of shared memory, messages, and the words for ends.
noinst_LIBRARIES += src/wire/libwire.a
src_wire_libwire_a_SOURCES = \
	src/wire/census.c src/wire/census.h \
	src/wire/census_clients.c src/wire/census_clients.h \
	src/wire/inherit.h \
	src/wire/ledger.c src/wire/ledger.h \
	src/wire/liveness.c src/wire/liveness.h \
	src/wire/message.c src/wire/message.h \
	src/wire/plan.c src/wire/plan.h \
	src/wire/policy.h \
	src/wire/programs.c src/wire/programs.h \
	src/wire/reason.c src/wire/reason.h src/wire/reason_table.h \
	src/wire/say.c src/wire/say.h \
	src/wire/shared.c src/wire/shared.h \
	src/wire/slot_check.c src/wire/slot_check.h \
	src/wire/versions.c src/wire/versions.h

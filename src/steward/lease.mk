# Leases and hooks, a library of their own: their tests bring their own log.
noinst_LIBRARIES += src/steward/liblease.a
src_steward_liblease_a_SOURCES = \
	src/steward/hook.c src/steward/hook.h \
	src/steward/hook_answer.c src/steward/hook_answer.h \
	src/steward/hook_child.c src/steward/hook_child.h \
	src/steward/hook_environment.c src/steward/hook_environment.h \
	src/steward/hook_line.c src/steward/hook_line.h \
	src/steward/hook_order.c src/steward/hook_order.h \
	src/steward/lease.c src/steward/lease.h \
	src/steward/lease_acquire.c \
	src/steward/lease_machine.c src/steward/lease_machine.h \
	src/steward/lease_record.c src/steward/lease_record.h \
	src/steward/lease_recovery.c \
	src/steward/lease_release.c \
	src/steward/lease_set.h \
	src/steward/leftover_groups.c src/steward/leftover_groups.h \
	src/steward/process_group.c src/steward/process_group.h \
	src/steward/store.c src/steward/store.h \
	src/steward/store_database.c src/steward/store_database.h
src_steward_liblease_a_CFLAGS = $(AM_CFLAGS) $(STEWARD_LIBRARIES_CFLAGS)

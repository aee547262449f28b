# The steward: libraries of all but main, so that unit tests can take parts of it.
steward_cflags = $(AM_CFLAGS) $(UV_CFLAGS) $(CONFIG_CFLAGS) $(SQLITE_CFLAGS) $(JANSSON_CFLAGS)
steward_libs = $(UV_LIBS) $(CONFIG_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS)

# Config, names and plans: what runs without the role, too, in `--check`.
noinst_LIBRARIES += src/steward/libconf.a
src_steward_libconf_a_CFLAGS = $(steward_cflags)
src_steward_libconf_a_SOURCES = \
	src/steward/config/address.c src/steward/config/address.h \
	src/steward/config/bounds.c src/steward/config/bounds.h \
	src/steward/config/check.c src/steward/config/check.h \
	src/steward/config/command.c \
	src/steward/config/config.c src/steward/config/config.h \
	src/steward/config/explain.c src/steward/config/explain.h \
	src/steward/config/fixed.c src/steward/config/fixed.h \
	src/steward/config/hook_user.c src/steward/config/hook_user.h \
	src/steward/config/hooks.c \
	src/steward/config/kernel.c src/steward/config/kernel.h \
	src/steward/config/list.c src/steward/config/list.h \
	src/steward/config/parse.c \
	src/steward/config/reader.c src/steward/config/reader.h \
	src/steward/config/service.c \
	src/steward/config/settings.c src/steward/config/settings.h \
	src/steward/config/syntax.c src/steward/config/syntax.h \
	src/steward/config/users.c \
	src/steward/config/token.c src/steward/config/token.h \
	src/steward/config/value.c src/steward/config/value.h \
	src/steward/config/warn_times.c \
	src/steward/config/warnings.c src/steward/config/warnings.h \
	src/steward/names/name.c src/steward/names/name.h \
	src/steward/names/resolver.c src/steward/names/resolver.h \
	src/steward/plan/build.c src/steward/plan/build.h \
	src/steward/plan/drains.c src/steward/plan/drains.h \
	src/steward/plan/ids.c src/steward/plan/ids.h

# Leases and hooks: their tests bring their own log.
noinst_LIBRARIES += src/steward/liblease.a
src_steward_liblease_a_CFLAGS = $(steward_cflags)
src_steward_liblease_a_SOURCES = \
	src/steward/config/hook_user.c src/steward/config/hook_user.h \
	src/steward/config/hooks.c \
	src/steward/helper/book.c src/steward/helper/book.h \
	src/steward/helper/call.c src/steward/helper/call.h \
	src/steward/helper/helper.c src/steward/helper/helper.h \
	src/steward/helper/helpers.c src/steward/helper/helpers.h \
	src/steward/helper/process.c src/steward/helper/process.h \
	src/steward/helper/protocol.c src/steward/helper/protocol.h \
	src/steward/hook/answer.c src/steward/hook/answer.h \
	src/steward/hook/child.c src/steward/hook/child.h \
	src/steward/hook/cooldown.c src/steward/hook/cooldown.h \
	src/steward/hook/environment.c src/steward/hook/environment.h \
	src/steward/hook/gate.h \
	src/steward/hook/hook.c src/steward/hook/hook.h \
	src/steward/hook/leftover_groups.c src/steward/hook/leftover_groups.h \
	src/steward/hook/line.c src/steward/hook/line.h \
	src/steward/hook/order.c src/steward/hook/order.h \
	src/steward/hook/process_group.c src/steward/hook/process_group.h \
	src/steward/hook/service_hooks.c src/steward/hook/service_hooks.h \
	src/steward/lease/acquire.c \
	src/steward/lease/answers.c src/steward/lease/answers.h \
	src/steward/lease/database.c src/steward/lease/database.h \
	src/steward/lease/held.c \
	src/steward/lease/lease.c src/steward/lease/lease.h \
	src/steward/lease/ended.c src/steward/lease/ended.h \
	src/steward/lease/history.c src/steward/lease/history.h \
	src/steward/lease/leases.c src/steward/lease/leases.h \
	src/steward/lease/list.c \
	src/steward/lease/moved.c \
	src/steward/lease/life.c src/steward/lease/life.h src/steward/lease/life_table.h \
	src/steward/lease/record.c src/steward/lease/record.h \
	src/steward/lease/recovery.c \
	src/steward/lease/release.c \
	src/steward/lease/requests.c \
	src/steward/lease/row.c src/steward/lease/row.h \
	src/steward/lease/service_lines.c src/steward/lease/service_lines.h \
	src/steward/lease/set.h \
	src/steward/lease/store.c src/steward/lease/store.h \
	src/steward/lease/work.c

# The role itself, and what it has to do with relays and people.
noinst_LIBRARIES += src/steward/libsteward.a
src_steward_libsteward_a_CFLAGS = $(steward_cflags)
src_steward_libsteward_a_SOURCES = \
	src/steward/control/client.c src/steward/control/client.h \
	src/steward/control/control.c src/steward/control/control.h \
	src/steward/control/describe.c src/steward/control/describe.h \
	src/steward/control/lease_requests.c src/steward/control/lease_requests.h \
	src/steward/control/probe.c src/steward/control/probe.h \
	src/steward/control/requests.c \
	src/steward/control/tcp_view.c src/steward/control/tcp_view.h \
	src/steward/control/waits.c src/steward/control/waits.h \
	src/steward/listen/bind.c src/steward/listen/bind.h \
	src/steward/listen/gifts.c src/steward/listen/gifts.h \
	src/steward/listen/listener.c src/steward/listen/listener.h \
	src/steward/listen/listeners.c src/steward/listen/listeners.h \
	src/steward/listen/place.c src/steward/listen/place.h \
	src/steward/log/journal.c src/steward/log/journal.h \
	src/steward/log/line.c src/steward/log/log.c src/steward/log/log.h src/steward/log/write.h \
	src/steward/log/record.c src/steward/log/record.h \
	src/steward/plan/number_use.c src/steward/plan/number_use.h \
	src/steward/reclaim/reclaims.c src/steward/reclaim/reclaims.h \
	src/steward/reclaim/round.c src/steward/reclaim/round.h \
	src/steward/roster/client_socket.c src/steward/roster/client_socket.h \
	src/steward/roster/end_counts.c src/steward/roster/end_counts.h \
	src/steward/roster/pair.c src/steward/roster/pair.h \
	src/steward/roster/moves.c \
	src/steward/roster/pair_death.c src/steward/roster/pair_requests.c \
	src/steward/roster/roster.c src/steward/roster/roster.h \
	src/steward/drain.c \
	src/steward/full.c \
	src/steward/plans.c \
	src/steward/prepare.c \
	src/steward/privileges.c \
	src/steward/reload.c \
	src/steward/report.c src/steward/report.h \
	src/steward/start.c \
	src/steward/status.c \
	src/steward/steward.c src/steward/steward.h \
	src/steward/stop.c \
	src/steward/upstream.c src/steward/upstream.h

# Static where that can be: it is run twice for each session.
pkglibexec_PROGRAMS += src/steward/gate
src_steward_gate_SOURCES = src/steward/hook/gate.c src/steward/hook/gate.h
src_steward_gate_LDADD = src/base/libbase.a
src_steward_gate_LDFLAGS = $(GATE_LDFLAGS)

pkglibexec_PROGRAMS += src/steward/steward
src_steward_steward_SOURCES = src/steward/main.c
src_steward_steward_CFLAGS = $(steward_cflags)
src_steward_steward_LDADD = src/steward/libsteward.a src/steward/liblease.a src/steward/libconf.a src/wire/libwire.a src/base/libbase.a \
	$(steward_libs)

# Unit tests, by the room that they test. Each links what its room may, and no more.
if HAVE_CMOCKA

# src/base
unit_base_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
unit_base_libs = src/base/libbase.a $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_duration
tests_unit_test_duration_SOURCES = tests/unit/test_duration.c
tests_unit_test_duration_CFLAGS = $(unit_base_cflags)
tests_unit_test_duration_LDADD = $(unit_base_libs)

check_PROGRAMS += tests/unit/test_nearest
tests_unit_test_nearest_SOURCES = tests/unit/test_nearest.c
tests_unit_test_nearest_CFLAGS = $(unit_base_cflags)
tests_unit_test_nearest_LDADD = $(unit_base_libs)

check_PROGRAMS += tests/unit/test_siphash
tests_unit_test_siphash_SOURCES = tests/unit/test_siphash.c
tests_unit_test_siphash_CFLAGS = $(unit_base_cflags)
tests_unit_test_siphash_LDADD = $(unit_base_libs)

# src/wire
unit_wire_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
unit_wire_libs = src/wire/libwire.a $(unit_base_libs)

check_PROGRAMS += tests/unit/test_census
tests_unit_test_census_SOURCES = tests/unit/test_census.c
tests_unit_test_census_CFLAGS = $(unit_wire_cflags)
tests_unit_test_census_LDADD = $(unit_wire_libs)

check_PROGRAMS += tests/unit/test_census_clients
tests_unit_test_census_clients_SOURCES = tests/unit/test_census_clients.c
tests_unit_test_census_clients_CFLAGS = $(unit_wire_cflags)
tests_unit_test_census_clients_LDADD = $(unit_wire_libs)

check_PROGRAMS += tests/unit/test_ledger
tests_unit_test_ledger_SOURCES = tests/unit/test_ledger.c
tests_unit_test_ledger_CFLAGS = $(unit_wire_cflags)
tests_unit_test_ledger_LDADD = $(unit_wire_libs)

check_PROGRAMS += tests/unit/test_liveness
tests_unit_test_liveness_SOURCES = tests/unit/test_liveness.c
tests_unit_test_liveness_CFLAGS = $(unit_wire_cflags)
tests_unit_test_liveness_LDADD = $(unit_wire_libs)

check_PROGRAMS += tests/unit/test_message
tests_unit_test_message_SOURCES = tests/unit/test_message.c
tests_unit_test_message_CFLAGS = $(unit_wire_cflags)
tests_unit_test_message_LDADD = $(unit_wire_libs)

check_PROGRAMS += tests/unit/test_versions
tests_unit_test_versions_SOURCES = tests/unit/test_versions.c
tests_unit_test_versions_CFLAGS = $(unit_wire_cflags)
tests_unit_test_versions_LDADD = $(unit_wire_libs)

check_PROGRAMS += tests/unit/test_plan
tests_unit_test_plan_SOURCES = tests/unit/test_plan.c
tests_unit_test_plan_CFLAGS = $(unit_wire_cflags)
tests_unit_test_plan_LDADD = $(unit_wire_libs)

check_PROGRAMS += tests/unit/test_reason
tests_unit_test_reason_SOURCES = tests/unit/test_reason.c
tests_unit_test_reason_CFLAGS = $(unit_wire_cflags)
tests_unit_test_reason_LDADD = $(unit_wire_libs)

check_PROGRAMS += tests/unit/test_say
tests_unit_test_say_SOURCES = tests/unit/test_say.c
tests_unit_test_say_CFLAGS = $(unit_wire_cflags)
tests_unit_test_say_LDADD = $(unit_wire_libs)

# src/relay
unit_relay_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(UV_CFLAGS)
unit_relay_libs = src/relay/librelay.a $(unit_wire_libs) $(UV_LIBS)

check_PROGRAMS += tests/unit/test_question
tests_unit_test_question_SOURCES = tests/unit/test_question.c
tests_unit_test_question_CFLAGS = $(unit_relay_cflags)
tests_unit_test_question_LDADD = $(unit_relay_libs)

check_PROGRAMS += tests/unit/test_silence
tests_unit_test_silence_SOURCES = tests/unit/test_silence.c
tests_unit_test_silence_CFLAGS = $(unit_relay_cflags)
tests_unit_test_silence_LDADD = $(unit_relay_libs)

check_PROGRAMS += tests/unit/test_slot
tests_unit_test_slot_SOURCES = tests/unit/test_slot.c
tests_unit_test_slot_CFLAGS = $(unit_relay_cflags)
tests_unit_test_slot_LDADD = $(unit_relay_libs)

check_PROGRAMS += tests/unit/test_table
tests_unit_test_table_SOURCES = tests/unit/test_table.c
tests_unit_test_table_CFLAGS = $(unit_relay_cflags)
tests_unit_test_table_LDADD = $(unit_relay_libs)

check_PROGRAMS += tests/unit/test_take_over
tests_unit_test_take_over_SOURCES = tests/unit/test_take_over.c
tests_unit_test_take_over_CFLAGS = $(unit_relay_cflags)
tests_unit_test_take_over_LDADD = $(unit_relay_libs)

check_PROGRAMS += tests/unit/test_books
tests_unit_test_books_SOURCES = tests/unit/test_books.c
tests_unit_test_books_CFLAGS = $(unit_relay_cflags)
tests_unit_test_books_LDADD = $(unit_relay_libs)

check_PROGRAMS += tests/unit/test_standing
tests_unit_test_standing_SOURCES = tests/unit/test_standing.c
tests_unit_test_standing_CFLAGS = $(unit_relay_cflags)
tests_unit_test_standing_LDADD = $(unit_relay_libs)

check_PROGRAMS += tests/unit/test_vacancies
tests_unit_test_vacancies_SOURCES = tests/unit/test_vacancies.c
tests_unit_test_vacancies_CFLAGS = $(unit_relay_cflags)
tests_unit_test_vacancies_LDADD = $(unit_relay_libs)

check_PROGRAMS += tests/unit/test_wheel
tests_unit_test_wheel_SOURCES = tests/unit/test_wheel.c
tests_unit_test_wheel_CFLAGS = $(unit_relay_cflags)
tests_unit_test_wheel_LDADD = $(unit_relay_libs)

# src/supervisor
unit_supervisor_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(UV_CFLAGS)
unit_supervisor_libs = src/supervisor/libsupervisor.a $(unit_wire_libs) $(UV_LIBS)

check_PROGRAMS += tests/unit/test_backoff
tests_unit_test_backoff_SOURCES = tests/unit/test_backoff.c
tests_unit_test_backoff_CFLAGS = $(unit_supervisor_cflags)
tests_unit_test_backoff_LDADD = $(unit_supervisor_libs)

check_PROGRAMS += tests/unit/test_capacity
tests_unit_test_capacity_SOURCES = tests/unit/test_capacity.c
tests_unit_test_capacity_CFLAGS = $(unit_supervisor_cflags)
tests_unit_test_capacity_LDADD = $(unit_supervisor_libs)

check_PROGRAMS += tests/unit/test_estate
tests_unit_test_estate_SOURCES = tests/unit/test_estate.c
tests_unit_test_estate_CFLAGS = $(unit_supervisor_cflags)
tests_unit_test_estate_LDADD = $(unit_supervisor_libs)

check_PROGRAMS += tests/unit/test_lock
tests_unit_test_lock_SOURCES = tests/unit/test_lock.c
tests_unit_test_lock_CFLAGS = $(unit_supervisor_cflags)
tests_unit_test_lock_LDADD = $(unit_supervisor_libs)

check_PROGRAMS += tests/unit/test_notify
tests_unit_test_notify_SOURCES = tests/unit/test_notify.c
tests_unit_test_notify_CFLAGS = $(unit_supervisor_cflags)
tests_unit_test_notify_LDADD = $(unit_supervisor_libs)

check_PROGRAMS += tests/unit/test_passage
tests_unit_test_passage_SOURCES = tests/unit/test_passage.c
tests_unit_test_passage_CFLAGS = $(unit_supervisor_cflags)
tests_unit_test_passage_LDADD = $(unit_supervisor_libs)

check_PROGRAMS += tests/unit/test_program
tests_unit_test_program_SOURCES = tests/unit/test_program.c
tests_unit_test_program_CFLAGS = $(unit_supervisor_cflags)
tests_unit_test_program_LDADD = $(unit_supervisor_libs)

check_PROGRAMS += tests/unit/test_options
tests_unit_test_options_SOURCES = tests/unit/test_options.c
tests_unit_test_options_CFLAGS = $(unit_supervisor_cflags)
tests_unit_test_options_LDADD = $(unit_supervisor_libs)

# src/steward: config, names, plan
unit_conf_cflags = $(steward_cflags) $(CMOCKA_CFLAGS)
unit_conf_libs = src/steward/libconf.a $(unit_wire_libs) $(CONFIG_LIBS) $(UV_LIBS)

check_PROGRAMS += tests/unit/test_address
tests_unit_test_address_SOURCES = tests/unit/test_address.c
tests_unit_test_address_CFLAGS = $(unit_conf_cflags)
tests_unit_test_address_LDADD = $(unit_conf_libs)

check_PROGRAMS += tests/unit/test_bounds
tests_unit_test_bounds_SOURCES = tests/unit/test_bounds.c
tests_unit_test_bounds_CFLAGS = $(unit_conf_cflags)
tests_unit_test_bounds_LDADD = $(unit_conf_libs)

check_PROGRAMS += tests/unit/test_config
tests_unit_test_config_SOURCES = tests/unit/test_config.c
tests_unit_test_config_CFLAGS = $(unit_conf_cflags)
tests_unit_test_config_LDADD = $(unit_conf_libs)

check_PROGRAMS += tests/unit/test_config_cases
tests_unit_test_config_cases_SOURCES = tests/unit/test_config_cases.c
tests_unit_test_config_cases_CFLAGS = $(unit_conf_cflags)
tests_unit_test_config_cases_CPPFLAGS = $(AM_CPPFLAGS) -DTESTS_CONFIG='"$(abs_top_srcdir)/tests/config"'
tests_unit_test_config_cases_LDADD = $(unit_conf_libs)

check_PROGRAMS += tests/unit/test_plan_build
tests_unit_test_plan_build_SOURCES = tests/unit/test_plan_build.c
tests_unit_test_plan_build_CFLAGS = $(unit_conf_cflags)
tests_unit_test_plan_build_LDADD = $(unit_conf_libs)

check_PROGRAMS += tests/unit/test_resolver
tests_unit_test_resolver_SOURCES = tests/unit/test_resolver.c
tests_unit_test_resolver_CFLAGS = $(unit_conf_cflags)
tests_unit_test_resolver_LDADD = $(unit_conf_libs)

check_PROGRAMS += tests/unit/test_settings
tests_unit_test_settings_SOURCES = tests/unit/test_settings.c
tests_unit_test_settings_CFLAGS = $(unit_conf_cflags)
tests_unit_test_settings_CPPFLAGS = $(AM_CPPFLAGS) -DDOC_DIR='"$(abs_top_srcdir)/doc"' -DCONF_DIR='"$(abs_top_srcdir)/conf"'
tests_unit_test_settings_LDADD = $(unit_conf_libs)

# src/steward: hook, lease. Their log is quiet_log.c.
unit_lease_cflags = $(steward_cflags) $(CMOCKA_CFLAGS)
unit_lease_libs = src/steward/liblease.a $(unit_wire_libs) $(UV_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS)

check_PROGRAMS += tests/unit/test_hook
tests_unit_test_hook_SOURCES = tests/unit/test_hook.c tests/unit/quiet_log.c tests/unit/quiet_log.h
tests_unit_test_hook_CFLAGS = $(unit_lease_cflags)
tests_unit_test_hook_LDADD = $(unit_lease_libs)

check_PROGRAMS += tests/unit/test_helper_book
tests_unit_test_helper_book_SOURCES = tests/unit/test_helper_book.c tests/unit/quiet_log.c tests/unit/quiet_log.h
tests_unit_test_helper_book_CFLAGS = $(unit_lease_cflags)
tests_unit_test_helper_book_LDADD = $(unit_lease_libs)

check_PROGRAMS += tests/unit/test_helper_protocol
tests_unit_test_helper_protocol_SOURCES = tests/unit/test_helper_protocol.c tests/unit/quiet_log.c tests/unit/quiet_log.h
tests_unit_test_helper_protocol_CFLAGS = $(unit_lease_cflags)
tests_unit_test_helper_protocol_LDADD = $(unit_lease_libs)

check_PROGRAMS += tests/unit/test_lease
tests_unit_test_lease_SOURCES = tests/unit/test_lease.c tests/unit/lease_fixture.c tests/unit/lease_fixture.h tests/unit/quiet_log.c tests/unit/quiet_log.h
tests_unit_test_lease_CFLAGS = $(unit_lease_cflags)
tests_unit_test_lease_LDADD = $(unit_lease_libs)

check_PROGRAMS += tests/unit/test_life
tests_unit_test_life_SOURCES = tests/unit/test_life.c tests/unit/quiet_log.c tests/unit/quiet_log.h
tests_unit_test_life_CFLAGS = $(unit_lease_cflags)
tests_unit_test_life_LDADD = $(unit_lease_libs)

check_PROGRAMS += tests/unit/test_store
tests_unit_test_store_SOURCES = tests/unit/test_store.c tests/unit/quiet_log.c tests/unit/quiet_log.h
tests_unit_test_store_CFLAGS = $(unit_lease_cflags)
tests_unit_test_store_LDADD = $(unit_lease_libs)

# A process of leases and sessions, and the test that kills it.
noinst_PROGRAMS += tests/unit/lease_driver
tests_unit_lease_driver_SOURCES = tests/unit/lease_driver.c tests/unit/quiet_log.c tests/unit/quiet_log.h
tests_unit_lease_driver_CFLAGS = $(unit_lease_cflags)
tests_unit_lease_driver_LDADD = $(unit_lease_libs)

check_PROGRAMS += tests/unit/test_lease_crash
tests_unit_test_lease_crash_SOURCES = tests/unit/test_lease_crash.c
tests_unit_test_lease_crash_CFLAGS = $(unit_lease_cflags)
tests_unit_test_lease_crash_LDADD = $(CMOCKA_LIBS)
EXTRA_tests_unit_test_lease_crash_DEPENDENCIES = tests/unit/lease_driver$(EXEEXT)

# src/steward: control, listen, log, roster
unit_steward_cflags = $(steward_cflags) $(CMOCKA_CFLAGS)
unit_steward_libs = src/steward/libsteward.a src/steward/liblease.a src/steward/libsteward.a src/steward/libconf.a $(unit_wire_libs) $(steward_libs)

check_PROGRAMS += tests/unit/test_control
tests_unit_test_control_SOURCES = tests/unit/test_control.c tests/unit/loop.h
tests_unit_test_control_CFLAGS = $(unit_steward_cflags)
tests_unit_test_control_LDADD = $(unit_steward_libs)

check_PROGRAMS += tests/unit/test_listeners
tests_unit_test_listeners_SOURCES = tests/unit/test_listeners.c tests/unit/loop.h
tests_unit_test_listeners_CFLAGS = $(unit_steward_cflags)
tests_unit_test_listeners_LDADD = $(unit_steward_libs)

check_PROGRAMS += tests/unit/test_log
tests_unit_test_log_SOURCES = tests/unit/test_log.c
tests_unit_test_log_CFLAGS = $(unit_steward_cflags)
tests_unit_test_log_LDADD = $(unit_steward_libs)

check_PROGRAMS += tests/unit/test_number_use
tests_unit_test_number_use_SOURCES = tests/unit/test_number_use.c
tests_unit_test_number_use_CFLAGS = $(unit_steward_cflags)
tests_unit_test_number_use_LDADD = $(unit_steward_libs)

check_PROGRAMS += tests/unit/test_reclaims
tests_unit_test_reclaims_SOURCES = tests/unit/test_reclaims.c tests/unit/loop.h
tests_unit_test_reclaims_CFLAGS = $(unit_steward_cflags)
tests_unit_test_reclaims_LDADD = $(unit_steward_libs)

check_PROGRAMS += tests/unit/test_moves
tests_unit_test_moves_SOURCES = tests/unit/test_moves.c tests/unit/loop.h
tests_unit_test_moves_CFLAGS = $(unit_steward_cflags)
tests_unit_test_moves_LDADD = $(unit_steward_libs)

check_PROGRAMS += tests/unit/test_roster
tests_unit_test_roster_SOURCES = tests/unit/test_roster.c tests/unit/loop.h
tests_unit_test_roster_CFLAGS = $(unit_steward_cflags)
tests_unit_test_roster_LDADD = $(unit_steward_libs)

check_PROGRAMS += tests/unit/test_tcp_view
tests_unit_test_tcp_view_SOURCES = tests/unit/test_tcp_view.c
tests_unit_test_tcp_view_CFLAGS = $(unit_steward_cflags)
tests_unit_test_tcp_view_LDADD = $(unit_steward_libs)

check_PROGRAMS += tests/unit/test_waits
tests_unit_test_waits_SOURCES = tests/unit/test_waits.c
tests_unit_test_waits_CFLAGS = $(unit_steward_cflags)
tests_unit_test_waits_LDADD = $(unit_steward_libs)
endif

# Config, names and plans: cases with their exact words, and what the units are made of.
EXTRA_DIST += tests/config
if HAVE_CMOCKA
check_PROGRAMS += \
	tests/unit/test_address \
	tests/unit/test_config \
	tests/unit/test_config_cases \
	tests/unit/test_duration \
	tests/unit/test_nearest \
	tests/unit/test_plan_build \
	tests/unit/test_resolver \
	tests/unit/test_settings

conf_cppflags = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(UV_CFLAGS)
conf_ldadd = src/steward/libconf.a src/wire/libwire.a src/base/libbase.a $(CMOCKA_LIBS) $(CONFIG_LIBS) $(UV_LIBS)

tests_unit_test_address_SOURCES = tests/unit/test_address.c
tests_unit_test_address_CPPFLAGS = $(conf_cppflags)
tests_unit_test_address_LDADD = $(conf_ldadd)
tests_unit_test_config_SOURCES = tests/unit/test_config.c
tests_unit_test_config_CPPFLAGS = $(conf_cppflags)
tests_unit_test_config_LDADD = $(conf_ldadd)
tests_unit_test_config_cases_SOURCES = tests/unit/test_config_cases.c
tests_unit_test_config_cases_CPPFLAGS = $(conf_cppflags) -DTESTS_CONFIG='"$(abs_top_srcdir)/tests/config"'
tests_unit_test_config_cases_LDADD = $(conf_ldadd)
tests_unit_test_duration_SOURCES = tests/unit/test_duration.c
tests_unit_test_duration_CPPFLAGS = $(conf_cppflags)
tests_unit_test_duration_LDADD = src/base/libbase.a $(CMOCKA_LIBS)
tests_unit_test_nearest_SOURCES = tests/unit/test_nearest.c
tests_unit_test_nearest_CPPFLAGS = $(conf_cppflags)
tests_unit_test_nearest_LDADD = src/base/libbase.a $(CMOCKA_LIBS)
tests_unit_test_plan_build_SOURCES = tests/unit/test_plan_build.c
tests_unit_test_plan_build_CPPFLAGS = $(conf_cppflags)
tests_unit_test_plan_build_LDADD = $(conf_ldadd)
tests_unit_test_resolver_SOURCES = tests/unit/test_resolver.c
tests_unit_test_resolver_CPPFLAGS = $(conf_cppflags)
tests_unit_test_resolver_LDADD = $(conf_ldadd) -lpthread
tests_unit_test_settings_SOURCES = tests/unit/test_settings.c
tests_unit_test_settings_CPPFLAGS = $(conf_cppflags) $(CONFIG_CFLAGS) \
	-DDOC_DIR='"$(abs_top_srcdir)/doc"' -DCONF_DIR='"$(abs_top_srcdir)/conf"'
tests_unit_test_settings_LDADD = $(conf_ldadd)
endif

EXTRA_DIST += $(conf_cases)

conf_cases = \
	tests/config/addresses.conf \
	tests/config/addresses.expected \
	tests/config/defaults-a-list.conf \
	tests/config/defaults-a-list.expected \
	tests/config/duplicates.conf \
	tests/config/duplicates.expected \
	tests/config/empty-services.conf \
	tests/config/empty-services.expected \
	tests/config/errors-everywhere.conf \
	tests/config/errors-everywhere.expected \
	tests/config/include.conf \
	tests/config/include.expected \
	tests/config/later-settings.conf \
	tests/config/later-settings.expected \
	tests/config/no-services.conf \
	tests/config/no-services.expected \
	tests/config/number-too-large.conf \
	tests/config/number-too-large.expected \
	tests/config/ok-design.conf \
	tests/config/ok-design.expected \
	tests/config/ok-minimal.conf \
	tests/config/ok-minimal.expected \
	tests/config/ok-shorthand.conf \
	tests/config/ok-shorthand.expected \
	tests/config/services-a-group.conf \
	tests/config/services-a-group.expected \
	tests/config/syntax-comma-at-end.conf \
	tests/config/syntax-comma-at-end.expected \
	tests/config/syntax-duplicate-in-service.conf \
	tests/config/syntax-duplicate-in-service.expected \
	tests/config/syntax-duplicate.conf \
	tests/config/syntax-duplicate.expected \
	tests/config/syntax-end-in-group.conf \
	tests/config/syntax-end-in-group.expected \
	tests/config/syntax-extra-brace.conf \
	tests/config/syntax-extra-brace.expected \
	tests/config/syntax-group-in-array.conf \
	tests/config/syntax-group-in-array.expected \
	tests/config/syntax-loose-text.conf \
	tests/config/syntax-loose-text.expected \
	tests/config/syntax-loose-value.conf \
	tests/config/syntax-loose-value.expected \
	tests/config/syntax-missing-quote.conf \
	tests/config/syntax-missing-quote.expected \
	tests/config/syntax-mixed-array-2.conf \
	tests/config/syntax-mixed-array-2.expected \
	tests/config/syntax-mixed-array.conf \
	tests/config/syntax-mixed-array.expected \
	tests/config/syntax-no-comma.conf \
	tests/config/syntax-no-comma.expected \
	tests/config/syntax-no-equals.conf \
	tests/config/syntax-no-equals.expected \
	tests/config/syntax-no-value.conf \
	tests/config/syntax-no-value.expected \
	tests/config/syntax-no.conf \
	tests/config/syntax-no.expected \
	tests/config/syntax-semicolon-in-list.conf \
	tests/config/syntax-semicolon-in-list.expected \
	tests/config/syntax-single-quotes.conf \
	tests/config/syntax-single-quotes.expected \
	tests/config/syntax-two-semicolons.conf \
	tests/config/syntax-two-semicolons.expected \
	tests/config/syntax-unclosed-brace.conf \
	tests/config/syntax-unclosed-brace.expected \
	tests/config/syntax-unclosed-comment.conf \
	tests/config/syntax-unclosed-comment.expected \
	tests/config/syntax-unclosed-list.conf \
	tests/config/syntax-unclosed-list.expected \
	tests/config/syntax-unclosed-text.conf \
	tests/config/syntax-unclosed-text.expected \
	tests/config/syntax-unquoted-address.conf \
	tests/config/syntax-unquoted-address.expected \
	tests/config/syntax-unquoted-duration.conf \
	tests/config/syntax-unquoted-duration.expected \
	tests/config/syntax-unquoted-path.conf \
	tests/config/syntax-unquoted-path.expected \
	tests/config/syntax-unquoted-word.conf \
	tests/config/syntax-unquoted-word.expected \
	tests/config/syntax-yes.conf \
	tests/config/syntax-yes.expected \
	tests/config/warnings.conf \
	tests/config/warnings.expected

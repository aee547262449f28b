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
	tests/unit/test_resolver

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
endif

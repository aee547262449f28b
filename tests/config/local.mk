# Config, names and plans: cases with their exact words, and what the units are made of.
EXTRA_DIST += tests/config
if HAVE_CMOCKA
conf_tests = \
	tests/unit/test_config_cases
check_PROGRAMS += $(conf_tests)

conf_cppflags = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(UV_CFLAGS) -DTESTS_CONFIG='"$(abs_top_srcdir)/tests/config"'
conf_ldadd = src/steward/libconf.a src/wire/libwire.a src/base/libbase.a $(CMOCKA_LIBS) $(CONFIG_LIBS) $(UV_LIBS)

tests_unit_test_config_cases_SOURCES = tests/unit/test_config_cases.c
tests_unit_test_config_cases_CPPFLAGS = $(conf_cppflags)
tests_unit_test_config_cases_LDADD = $(conf_ldadd)
endif

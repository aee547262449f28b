# Config, names and plans: what of the steward runs without its role, in `--check` and in unit tests.
noinst_LIBRARIES += src/steward/libconf.a
src_steward_libconf_a_CPPFLAGS = $(AM_CPPFLAGS) $(CONFIG_CFLAGS) $(UV_CFLAGS)
src_steward_libconf_a_SOURCES = \
	src/steward/address.c src/steward/address.h \
	src/steward/check.c src/steward/check.h \
	src/steward/config.c src/steward/config.h \
	src/steward/config_parse.c \
	src/steward/config_reader.c src/steward/config_reader.h \
	src/steward/config_service.c \
	src/steward/config_syntax.c src/steward/config_syntax.h \
	src/steward/config_token.c src/steward/config_token.h \
	src/steward/config_value.c src/steward/config_value.h \
	src/steward/plan_build.c src/steward/plan_build.h \
	src/steward/plan_ids.c src/steward/plan_ids.h \
	src/steward/resolver.c src/steward/resolver.h \
	src/steward/settings.c src/steward/settings.h

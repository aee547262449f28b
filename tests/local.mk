# tests

# The supervisor alone, over stand-ins for the other roles.
noinst_PROGRAMS += tests/system/fake/steward tests/system/fake/relay
tests_system_fake_steward_SOURCES = tests/system/fake/fake.c tests/system/fake/fake.h tests/system/fake/steward.c
tests_system_fake_steward_LDADD = src/wire/libwire.a src/base/libbase.a
tests_system_fake_relay_SOURCES = tests/system/fake/fake.c tests/system/fake/fake.h tests/system/fake/relay.c
tests_system_fake_relay_LDADD = src/wire/libwire.a src/base/libbase.a

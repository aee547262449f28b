# The load program of the system tests: many checked connections, as client or backend.
noinst_PROGRAMS += tests/load/tcpload
tests_load_tcpload_SOURCES = \
	tests/load/address.c tests/load/address.h \
	tests/load/conn.c tests/load/conn.h \
	tests/load/pattern.c tests/load/pattern.h \
	tests/load/request.h \
	tests/load/script.c tests/load/script.h \
	tests/load/tally.c tests/load/tally.h \
	tests/load/tool.c tests/load/tool.h \
	tests/load/tcpload.c

# The chaos program of the system tests: sessions whose two sides do what a seed says, and tell what became of them.
noinst_PROGRAMS += tests/chaos/tcpchaos
tests_chaos_tcpchaos_SOURCES = \
	tests/chaos/books.c tests/chaos/books.h \
	tests/chaos/cut.c tests/chaos/cut.h \
	tests/chaos/peer.c tests/chaos/peer.h \
	tests/chaos/plan.c tests/chaos/plan.h \
	tests/chaos/record.c tests/chaos/record.h \
	tests/chaos/tcpchaos.c \
	tests/load/address.c tests/load/address.h \
	tests/load/pattern.c tests/load/pattern.h \
	tests/load/tool.c tests/load/tool.h

# Leaf helpers: libc only; they never log and never know this program.
noinst_LIBRARIES += src/base/libbase.a
src_base_libbase_a_SOURCES = \
	src/base/capability.c src/base/capability.h \
	src/base/clock.c src/base/clock.h \
	src/base/duration.c src/base/duration.h \
	src/base/endpoint.c src/base/endpoint.h \
	src/base/escape.c src/base/escape.h \
	src/base/nearest.c src/base/nearest.h \
	src/base/siphash.c src/base/siphash.h

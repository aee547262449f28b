# tcpwardenctl: a client of the control socket; libc and jansson, and nothing of the roles.
bin_PROGRAMS += src/ctl/tcpwardenctl
src_ctl_tcpwardenctl_SOURCES = \
	src/ctl/channel.c src/ctl/channel.h \
	src/ctl/leases.c src/ctl/leases.h \
	src/ctl/main.c \
	src/ctl/print.c src/ctl/print.h \
	src/ctl/upgrade.c src/ctl/upgrade.h
src_ctl_tcpwardenctl_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
src_ctl_tcpwardenctl_LDADD = src/base/libbase.a $(JANSSON_LIBS)

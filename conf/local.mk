# An administrator's config is never written over: where there is one, the new example stands beside it.
EXTRA_DIST += conf/tcpwarden.conf
examplesdir = $(docdir)/examples
dist_examples_SCRIPTS = conf/examples/firewall-hole conf/examples/seat conf/examples/seat-helper conf/examples/unit
dist_examples_DATA = conf/examples/firewall-hole.conf conf/examples/seat.conf conf/examples/unit.conf
confdir = $(sysconfdir)/tcpwarden
install-data-local: install-conf
uninstall-local: uninstall-conf
install-conf:
	$(MKDIR_P) '$(DESTDIR)$(confdir)'
	if test -e '$(DESTDIR)$(confdir)/tcpwarden.conf'; then to=tcpwarden.conf.new; else to=tcpwarden.conf; fi; \
	if ! cmp -s '$(srcdir)/conf/tcpwarden.conf' '$(DESTDIR)$(confdir)/tcpwarden.conf'; then \
		$(INSTALL_DATA) '$(srcdir)/conf/tcpwarden.conf' "$(DESTDIR)$(confdir)/$$to"; fi
# What was changed stays, as it does with packages.
uninstall-conf:
	rm -f '$(DESTDIR)$(confdir)/tcpwarden.conf.new'
	if cmp -s '$(srcdir)/conf/tcpwarden.conf' '$(DESTDIR)$(confdir)/tcpwarden.conf'; then \
		rm -f '$(DESTDIR)$(confdir)/tcpwarden.conf'; fi
.PHONY: install-conf uninstall-conf

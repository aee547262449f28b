# The unit and the users, with the paths of this build.
unit_edit = $(SED) -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@bindir[@]|$(bindir)|g' -e 's|@sysconfdir[@]|$(sysconfdir)|g' \
	-e 's|@localstatedir[@]|$(localstatedir)|g'

systemdsystemunit_DATA = systemd/tcpwarden.service
sysusers_DATA = systemd/sysusers.d/tcpwarden.conf
EXTRA_DIST += systemd/tcpwarden.service.in systemd/tcpwarden.sysusers.in
CLEANFILES += $(systemdsystemunit_DATA) $(sysusers_DATA)

systemd/tcpwarden.service: $(srcdir)/systemd/tcpwarden.service.in Makefile
	@$(MKDIR_P) systemd
	$(AM_V_GEN)$(unit_edit) $(srcdir)/systemd/tcpwarden.service.in >$@.new && mv -f $@.new $@

systemd/sysusers.d/tcpwarden.conf: $(srcdir)/systemd/tcpwarden.sysusers.in Makefile
	@$(MKDIR_P) systemd/sysusers.d
	$(AM_V_GEN)$(unit_edit) $(srcdir)/systemd/tcpwarden.sysusers.in >$@.new && mv -f $@.new $@

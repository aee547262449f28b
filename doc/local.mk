# doc
dist_man_MANS += doc/tcpwardenctl.1
dist_man_MANS += doc/tcpwarden.8
dist_man_MANS += doc/tcpwarden.conf.5
dist_man_MANS += doc/tcpwarden-hooks.7

# doc
dist_man_MANS += doc/tcpwardenctl.1

# NAME.conf, and in NAME.expected what `tcpwarden --check` says of it to the letter: run by tests/unit/test_config_cases.
# NAME.explained: what `--explain` says of it. NAME.sysctl: of a kernel with these sysctls.
EXTRA_DIST += tests/config

# NAME.conf, and in NAME.expected what `tcpwarden --check` says of it to the letter: run by tests/unit/test_config_cases.
EXTRA_DIST += tests/config

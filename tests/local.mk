# tests
include tests/config/local.mk

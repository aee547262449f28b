# Unit tests, cases of configs, tests of whole programs, and the programs that load these.
include tests/unit/local.mk
include tests/config/local.mk
include tests/system/local.mk
include tests/load/local.mk
include tests/chaos/local.mk

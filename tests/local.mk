# Unit tests, cases of configs, tests of whole programs, the programs that load these, and fuzz targets.
include tests/unit/local.mk
include tests/config/local.mk
include tests/system/local.mk
include tests/load/local.mk
include tests/chaos/local.mk
include tests/storm/local.mk
include tests/fuzz/local.mk

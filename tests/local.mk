# Unit tests, cases of configs, tests of whole programs, and the program that loads these.
include tests/unit/local.mk
include tests/config/local.mk
include tests/system/local.mk
include tests/load/local.mk

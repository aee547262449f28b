# The storm: tests/storm/storm, and what tests/system/test_storm.py takes of it.
EXTRA_DIST += \
	tests/storm/faults.py \
	tests/storm/judge.py \
	tests/storm/others.py \
	tests/storm/roles.py \
	tests/storm/run.py \
	tests/storm/storm \
	tests/storm/traffic.py \
	tests/storm/warden.py

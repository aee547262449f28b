/* What the gate of a hook (gate.c) finds open when it begins, beside 0 to 2, which are the hook's. */
#ifndef STEWARD_HOOK_GATE_H
#define STEWARD_HOOK_GATE_H

enum {
	GATE_IN = 3,     /* one byte: go on; its end: end */
	GATE_REPORT = 4, /* an errno (int), if the hook could not be run */
	GATE_FDS = 5,
};

#endif

/* Answers as people read them. Programs take --json. */
#ifndef CTL_PRINT_H
#define CTL_PRINT_H
#include <jansson.h>
#include <stdbool.h>

void print_status(json_t *answer);
void print_session_head(void);
void print_session(json_t *session);
void print_fields(json_t *object); /* one a line: show, leases */
void print_probe(json_t *answer);

/* All peers that were asked have answered, and at least one was. */
bool probe_is_answered(json_t *answer);

#endif

/* Answers as people read them. Programs take --json. */
#ifndef CTL_PRINT_H
#define CTL_PRINT_H
#include <jansson.h>

void print_status(json_t *answer);
void print_session_head(void);
void print_session(json_t *session);
void print_fields(json_t *object); /* one a line: show, leases */

#endif

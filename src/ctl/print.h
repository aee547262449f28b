/* Answers as people read them. Programs take --json. */
#ifndef CTL_PRINT_H
#define CTL_PRINT_H
#include <jansson.h>
#include <stdbool.h>

void print_status(json_t *answer);
void print_session_head(void);
void print_session(json_t *session);
void print_fields(json_t *object); /* one a line: show, and the totals of leases */
void print_probe(json_t *answer);

/* "-" if it is no string; and a member of an object; and a duration: "12.3s", "4m05s". They give the buffer. */
const char *print_text(json_t *string, char buffer[256]);
const char *print_member(json_t *object, const char *key, char buffer[256]);
const char *print_age(json_int_t ms, char buffer[16]);

/* All peers that were asked have answered, and at least one was. */
bool probe_is_answered(json_t *answer);

#endif

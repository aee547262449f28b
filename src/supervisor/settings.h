/* What the steward tells of the config (struct message_settings), as the supervisor keeps it. */
#ifndef SUPERVISOR_SETTINGS_H
#define SUPERVISOR_SETTINGS_H
#include "wire/message.h"

/* A copy in which every text ends. */
void settings_take(struct message_settings *ret, const struct message_settings *told);

/* What a running tree cannot change is said, and put back to what it was. */
void settings_keep_fixed(struct message_settings *settings, const struct message_settings *old);

#endif

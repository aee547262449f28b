#include "supervisor/settings.h"

#include "wire/census.h"
#include "wire/say.h"

#include <string.h>

void settings_take(struct message_settings *ret, const struct message_settings *told)
{
	if (ret != told)
		*ret = *told;
	ret->state_directory[sizeof ret->state_directory - 1] = '\0';
	ret->user_relay[sizeof ret->user_relay - 1] = '\0';
	ret->user_status[sizeof ret->user_status - 1] = '\0';
}

void settings_keep_fixed(struct message_settings *settings, const struct message_settings *old)
{
	if (settings->workers < 1 || settings->workers > CENSUS_RELAYS)
		settings->workers = old->workers;
	if (strcmp(old->state_directory, settings->state_directory) != 0)
		say(LOG_WARNING, "state_directory = \"%s\" takes effect at the next start", settings->state_directory);
	if (strcmp(old->user_relay, settings->user_relay) != 0)
		say(LOG_WARNING, "users.relay = \"%s\" takes effect at the next start", settings->user_relay);
	memcpy(settings->state_directory, old->state_directory, sizeof old->state_directory);
	memcpy(settings->user_relay, old->user_relay, sizeof old->user_relay);
}

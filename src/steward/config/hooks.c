/* Which hooks a service has. Beside the rest of config since leases ask this without the parser. */
#include "steward/config/config.h"

const char *hook_event_word(enum hook_event event)
{
	static const char *const words[HOOK_EVENTS] = {
		[HOOK_ACQUIRE] = "acquire",
		[HOOK_CONNECTED] = "connected",
		[HOOK_RENEW] = "renew",
		[HOOK_RELEASE] = "release",
		[HOOK_PREPARE_LISTEN] = "prepare_listen",
		[HOOK_SHUTDOWN] = "shutdown",
	};

	return words[event];
}

const struct hook_config *service_hook(const struct service_config *service, enum hook_event event)
{
	switch (event) {
	case HOOK_ACQUIRE:
		return &service->acquire;
	case HOOK_CONNECTED:
		return &service->connected;
	case HOOK_RENEW:
		return &service->renew;
	case HOOK_PREPARE_LISTEN:
		return &service->prepare_listen;
	case HOOK_SHUTDOWN:
		return &service->shutdown;
	case HOOK_RELEASE:
	case HOOK_EVENTS:
		break;
	}
	return &service->release;
}

bool service_has_lease(const struct service_config *service)
{
	return service->acquire.command || service->connected.command || service->renew.command || service->release.command;
}

/* What a helper answers, and what an acquire hook prints: variables of one line each, an address that is one, or a reason why
 * not. */
#include "fuzz.h"

#include "steward/helper/protocol.h"
#include "steward/hook/answer.h"

#include <errno.h>
#include <string.h>

static const struct fuzz_seed seeds[] = {
	FUZZ_SEED("{\"id\":1,\"ok\":true,\"backend\":\"[2001:db8::1]:80\",\"variables\":{\"SEAT\":\"7\"}}"),
	FUZZ_SEED("{\"id\":9007199254740993,\"ok\":false,\"busy\":true,\"error\":\"full\"}"),
	FUZZ_SEED("SEAT=7\r\nbackend=192.0.2.1:80\nSEAT=8\n\nrubbish\n"),
	FUZZ_SEED("backend=]:80\n"),
	{0},
};
const struct fuzz_target fuzz_target = {.runs = 60000, .size_max = 600, .seeds = seeds};

static void check_hook_answer(const char *text, size_t size)
{
	struct hook_answer answer;
	char *bad;
	int r = hook_answer_parse(&answer, text, size, &bad);

	FUZZ_MUST((r == 0 && !bad) || (r == -EINVAL && bad));
	FUZZ_MUST(answer.count <= HOOK_VARIABLES_MAX && !answer.variables[answer.count]);
	for (size_t i = 0; i < answer.count; i++)
		FUZZ_MUST(strchr(answer.variables[i], '=') && !strchr(answer.variables[i], '\n'));
	FUZZ_MUST(answer.route.family == AF_UNSPEC ||
		  ((answer.route.family == AF_INET || answer.route.family == AF_INET6) && answer.route.port));
	FUZZ_MUST(memchr(answer.ignored_line, '\0', sizeof answer.ignored_line));
	free(bad);
	hook_answer_fini(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct helper_answer answer;
	char why[HELPER_WHY] = "";
	int r = helper_answer_parse(&answer, (const char *)bytes, size, why);

	FUZZ_MUST(r == 0 || (r == -EINVAL && why[0] && memchr(why, '\0', sizeof why)));
	if (r == 0) {
		FUZZ_MUST(answer.id > 0 && answer.output);
		check_hook_answer(answer.output, strlen(answer.output));
	}
	helper_answer_fini(&answer);
	check_hook_answer((const char *)bytes, size);
	return 0;
}

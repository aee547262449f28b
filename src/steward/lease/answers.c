#include "steward/lease/answers.h"

#include "steward/log/log.h"

#include <stdlib.h>
#include <syslog.h>

struct answer {
	bool durable; /* on_end_durable, else on_verdict */
	struct session_key key;
	struct message_verdict verdict;
	struct answer *next;
};

void answers_init(struct answers *answers)
{
	answers->first = NULL;
	answers->end = &answers->first;
}

static struct answer *take(struct answers *answers)
{
	struct answer *answer = answers->first;
	if (!answer)
		return NULL;
	answers->first = answer->next;
	if (!answers->first)
		answers->end = &answers->first;
	return answer;
}

void answers_fini(struct answers *answers)
{
	struct answer *answer;
	while ((answer = take(answers)))
		free(answer);
}

void answers_owe(struct answers *answers, const struct session_key *key, const struct message_verdict *verdict)
{
	struct answer *answer = calloc(1, sizeof *answer);
	if (!answer) {
		/* Its asker says it again after a while, or when we have started anew. */
		log_line(LOG_ERR, "out of memory: an answer to a relay is lost");
		return;
	}
	answer->key = *key;
	if (verdict)
		answer->verdict = *verdict;
	else
		answer->durable = true;
	*answers->end = answer;
	answers->end = &answer->next;
}

void answers_give(struct answers *answers, const struct lease_callbacks *callbacks, void *context)
{
	struct answer *answer;
	while ((answer = take(answers))) {
		if (answer->durable)
			callbacks->on_end_durable(context, &answer->key);
		else
			callbacks->on_verdict(context, &answer->key, &answer->verdict);
		free(answer);
	}
}

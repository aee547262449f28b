#include "ctl/leases.h"

#include "ctl/print.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char *when(json_t *object, const char *key, char buffer[32])
{
	time_t s = (time_t)(json_integer_value(json_object_get(object, key)) / 1000000);
	struct tm local;

	if (s <= 0 || !localtime_r(&s, &local) || strftime(buffer, 32, "%Y-%m-%d %H:%M:%S", &local) == 0)
		snprintf(buffer, 32, "-");
	return buffer;
}

static void print_variables(json_t *lease)
{
	json_t *variables = json_object_get(lease, "variables");

	for (size_t i = 0; i < json_array_size(variables); i++) {
		char text[256];

		printf("%s%s", i > 0 ? " " : "", print_text(json_array_get(variables, i), text));
	}
	printf("%s\n", json_array_size(variables) > 0 ? "" : "-");
}

static void print_ended(json_t *o)
{
	char lease[256], service[256], client[256], reason[256], a[32], b[32], c[32];

	printf("%-16s %-16s %-24s %-19s %-19s %-19s %-20s ", print_member(o, "lease", lease), print_member(o, "service", service),
		print_member(o, "client", client), when(o, "acquired_us", a), when(o, "ended_us", b), when(o, "released_us", c),
		print_member(o, "reason", reason));
	print_variables(o);
}

static void print_living(json_t *o)
{
	json_t *next = json_object_get(o, "next_try_ms");
	char lease[256], service[256], client[256], state[256], why[256], old[16], due[16];

	printf("%-16s %-16s %-24s %-10s %8s %8" JSON_INTEGER_FORMAT " %8s  %s\n", print_member(o, "lease", lease),
		print_member(o, "service", service), print_member(o, "client", client), print_member(o, "state", state),
		print_age(json_integer_value(json_object_get(o, "age_ms")), old),
		json_integer_value(json_object_get(o, "attempts")), next ? print_age(json_integer_value(next), due) : "-",
		print_member(o, "why", why));
}

void leases_take(json_t *all, json_t *lease, bool history)
{
	if (!history) {
		json_array_append(all, lease);
		return;
	}
	if (json_array_size(all) == 0) {
		json_array_append_new(all, json_true()); /* the head is printed */
		printf("%-16s %-16s %-24s %-19s %-19s %-19s %-20s %s\n", "LEASE", "SERVICE", "CLIENT", "ACQUIRED", "ENDED",
			"RELEASED", "REASON", "VARIABLES");
	}
	print_ended(lease);
}

static json_int_t fence(const void *lease)
{
	return json_integer_value(json_object_get(*(json_t *const *)lease, "fence"));
}

static int by_fence(const void *a, const void *b)
{
	return (fence(a) > fence(b)) - (fence(a) < fence(b));
}

void leases_print(json_t *all, json_t *totals, bool history)
{
	size_t count = json_array_size(all);
	json_t **sorted = history || count == 0 ? NULL : calloc(count, sizeof *sorted);

	if (sorted)
		printf("%-16s %-16s %-24s %-10s %8s %8s %8s  %s\n", "LEASE", "SERVICE", "CLIENT", "STATE", "AGE", "ATTEMPTS",
			"NEXT", "WHY");
	for (size_t i = 0; sorted && i < count; i++)
		sorted[i] = json_array_get(all, i);
	if (sorted)
		qsort(sorted, count, sizeof *sorted, by_fence);
	for (size_t i = 0; sorted && i < count; i++)
		print_living(sorted[i]);
	if (!history) {
		printf("%s", sorted ? "\n" : "");
		print_fields(totals);
	}
	free(sorted);
}

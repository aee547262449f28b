/* Any text as a config: errors that name a line, or an object; never a crash, never both, and nothing leaks. */
#include "fuzz.h"

#include "steward/config/config.h"

#include <errno.h>
#include <string.h>

static const struct fuzz_seed seeds[] = {
	FUZZ_SEED("services: ( { name = \"plc\"; listen = [ \"0.0.0.0:5020\", \"[::]:5020\" ]; backends = ( { address = "
		  "\"a.lan:502\"; } ); } );"),
	FUZZ_SEED(
		"workers = 2; hang_after = \"1s\"; control: { socket = \"/run/x.sock\"; mode = \"0660\"; };\n"
		"defaults: { client: { dead_after = \"60s\"; linger = \"reset\"; }; };\n"
		"services: ( { name = \"a\"; listen = \"unix:/run/a\"; backends = [ \"unix:/run/b\" ]; idle_timeout = \"15m\";\n"
		"limits: { connections = 64; reject_message = \"busy\\r\\n\"; }; } );"),
	FUZZ_SEED("services: ( { name = \"h\"; listen = [ \"*:80\" ]; backends = ( { address = \"127.0.0.1:81\"; } ); balance = "
		  "\"failover\";\n"
		  "hooks: { acquire: { command = [ \"/bin/a\", \"b\" ]; timeout = \"5s\"; environment: { A = \"b\"; }; };\n"
		  "release: { command = [ \"/bin/b\" ]; mode = \"helper\"; }; }; } );"),
	FUZZ_SEED("/* no end"),
	FUZZ_SEED("a = \"no end"),
	FUZZ_SEED("@include \"/etc/passwd\"\n"),
	FUZZ_SEED("a = 99999999999999999999L; b = [ 1, \"x\" ]; c = ( { ( } );"),
	{0},
};
const struct fuzz_target fuzz_target = {.runs = 100000, .size_max = 2000, .seeds = seeds};

/* libconfig's own: it forgets the text at which it finds an error of syntax. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so";
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct config_errors errors = {0};
	struct config *config = NULL;
	int r = config_parse("conf", (const char *)bytes, size, &config, &errors);

	FUZZ_MUST(r == 0 || r == -EINVAL);
	FUZZ_MUST((r == 0) == (config != NULL) && (r == 0) == (errors.count == 0));
	for (size_t i = 0; i < errors.count; i++)
		FUZZ_MUST(strncmp(errors.lines[i], "conf:", 5) == 0);
	if (config)
		FUZZ_MUST(config->service_count > 0 && config->text_length == size && memcmp(config->text, bytes, size) == 0);
	config_errors_free(&errors);
	if (config)
		config_free(config);
	return 0;
}

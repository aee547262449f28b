#include "steward/config/check.h"

#include "steward/config/settings.h"
#include "steward/config/warnings.h"

#include <errno.h>
#include <sysexits.h>

int check_load(const char *path, struct config **ret, FILE *err)
{
	struct config_errors errors = {NULL, 0};
	int r = config_load(path, ret, &errors);

	if (r == -ENOMEM) {
		fprintf(err, "%s: out of memory\n", path);
		return EX_OSERR;
	}
	if (r < 0) {
		for (size_t i = 0; i < errors.count; i++)
			fprintf(err, "%s\n", errors.lines[i]);
		if (r == -EINVAL)
			fprintf(err, "%s: %zu error%s\n", path, errors.count, errors.count == 1 ? "" : "s");
		config_errors_free(&errors);
		return EX_CONFIG;
	}
	return 0;
}

static void print_line(void *context, const char *line)
{
	fprintf(context, "%s\n", line);
}

int check_report(const char *path, const struct kernel *kernel, FILE *out, FILE *err)
{
	struct config *config = NULL;
	size_t listeners = 0, backends = 0;
	int r = check_load(path, &config, err);

	if (r)
		return r;
	warnings_tell(&(struct warnings){config, kernel, print_line, err});
	for (size_t i = 0; i < config->service_count; i++) {
		listeners += config->services[i].listen_count;
		backends += config->services[i].backend_count;
	}
	fprintf(out, "%s: ok: %zu service%s, %zu listener%s, %zu backend%s\n", path, config->service_count,
		config->service_count == 1 ? "" : "s", listeners, listeners == 1 ? "" : "s", backends, backends == 1 ? "" : "s");
	config_free(config);
	return 0;
}

int check_main(const char *path)
{
	struct kernel kernel;

	kernel_read(&kernel, KERNEL_SYSCTLS);
	return check_report(path, &kernel, stdout, stderr);
}

int settings_main(void)
{
	settings_print(stdout);
	return fflush(stdout) == 0 ? 0 : EX_IOERR;
}

#include "steward/config/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

static struct address parsed(const char *text, enum address_use use)
{
	struct address a;
	char why[ADDRESS_WHY];

	if (address_parse(text, use, &a, why) < 0)
		fail_msg("%s: %s", text, why);
	assert_string_equal(a.text, text);
	return a;
}

static void takes_hosts_apart(void **state)
{
	struct address a;

	(void)state;
	a = parsed("plc-a.lan:502", ADDRESS_BACKEND);
	assert_int_equal(a.kind, ADDRESS_HOST);
	assert_string_equal(a.host, "plc-a.lan");
	assert_int_equal(a.port, 502);
	a = parsed("[fe80::1%lo]:65535", ADDRESS_BACKEND);
	assert_string_equal(a.host, "fe80::1%lo");
	assert_int_equal(a.port, 65535);
	assert_false(a.any_family);
	a = parsed("*:1", ADDRESS_LISTEN);
	assert_true(a.any_family);
	a = parsed("systemd:plc", ADDRESS_LISTEN);
	assert_int_equal(a.kind, ADDRESS_SYSTEMD);
	assert_string_equal(a.host, "plc");
}

static void makes_socket_addresses(void **state)
{
	struct address a;
	struct sockaddr_storage to;
	const struct sockaddr_in *in = (const void *)&to;
	const struct sockaddr_in6 *in6 = (const void *)&to;
	const struct sockaddr_un *un = (const void *)&to;
	socklen_t length;

	(void)state;
	a = parsed("127.0.0.1:80", ADDRESS_LISTEN);
	assert_int_equal(address_to_sockaddr(&a, &to, &length), 0);
	assert_int_equal(length, sizeof *in);
	assert_int_equal(in->sin_family, AF_INET);
	assert_int_equal(ntohs(in->sin_port), 80);
	assert_int_equal(ntohl(in->sin_addr.s_addr), INADDR_LOOPBACK);
	a = parsed("[fe80::1%lo]:81", ADDRESS_LISTEN);
	assert_int_equal(address_to_sockaddr(&a, &to, &length), 0);
	assert_int_equal(length, sizeof *in6);
	assert_int_equal(in6->sin6_scope_id, 1);
	a = parsed("[fe80::1%nosuchif]:81", ADDRESS_LISTEN);
	assert_int_equal(address_to_sockaddr(&a, &to, &length), -ENODEV);
	a = parsed("*:82", ADDRESS_LISTEN);
	assert_int_equal(address_to_sockaddr(&a, &to, &length), 0);
	assert_int_equal(in6->sin6_family, AF_INET6);
	assert_true(IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr));
	a = parsed("unix:/run/a.sock", ADDRESS_BACKEND);
	assert_int_equal(address_to_sockaddr(&a, &to, &length), 0);
	assert_int_equal(length, offsetof(struct sockaddr_un, sun_path) + sizeof "/run/a.sock");
	assert_string_equal(un->sun_path, "/run/a.sock");
	a = parsed("plc:80", ADDRESS_BACKEND);
	assert_int_equal(address_to_sockaddr(&a, &to, &length), -ENOENT);
	a = parsed("systemd:plc", ADDRESS_LISTEN);
	assert_int_equal(address_to_sockaddr(&a, &to, &length), -ENOENT);
}

static void the_longest_path_fits(void **state)
{
	char text[200], why[ADDRESS_WHY];
	struct address a;
	struct sockaddr_storage to;
	socklen_t length;

	(void)state;
	snprintf(text, sizeof text, "unix:/%0106d", 0);
	a = parsed(text, ADDRESS_LISTEN);
	assert_int_equal(address_to_sockaddr(&a, &to, &length), 0);
	assert_int_equal(length, sizeof(struct sockaddr_un));
	snprintf(text, sizeof text, "unix:/%0107d", 0);
	assert_int_equal(address_parse(text, ADDRESS_LISTEN, &a, why), -EINVAL);
	snprintf(text, sizeof text, "a%0150d:80", 0);
	assert_int_equal(address_parse(text, ADDRESS_BACKEND, &a, why), -EINVAL);
}

static bool clash(const char *a, const char *b)
{
	struct address x = parsed(a, ADDRESS_LISTEN), y = parsed(b, ADDRESS_LISTEN);

	assert_int_equal(address_clashes(&x, &y), address_clashes(&y, &x));
	return address_clashes(&x, &y);
}

static void knows_the_same_socket(void **state)
{
	(void)state;
	assert_true(clash("127.0.0.1:80", "127.0.0.1:80"));
	assert_true(clash("127.0.0.1:80", "127.0.0.1:080"));
	assert_true(clash("[::1]:80", "[0::1]:80"));
	assert_true(clash("*:80", "*:80"));
	assert_true(clash("*:80", "0.0.0.0:80"));
	assert_true(clash("*:80", "[::]:80"));
	assert_true(clash("unix:/a", "unix:/a"));
	assert_true(clash("systemd:a", "systemd:a"));
	assert_false(clash("127.0.0.1:80", "127.0.0.1:81"));
	assert_false(clash("127.0.0.1:80", "127.0.0.2:80"));
	assert_false(clash("127.0.0.1:80", "[::1]:80"));
	assert_false(clash("0.0.0.0:80", "[::]:80"));
	assert_false(clash("*:80", "127.0.0.1:80"));
	assert_false(clash("[fe80::1%lo]:80", "[fe80::1%eth0]:80"));
	assert_false(clash("unix:/a", "unix:/b"));
	assert_false(clash("unix:/a", "systemd:a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_hosts_apart),
		cmocka_unit_test(makes_socket_addresses),
		cmocka_unit_test(the_longest_path_fits),
		cmocka_unit_test(knows_the_same_socket),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "wire/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int shared_create(const char *name, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0) {
		int error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

static int seals(bool constant)
{
	return F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | (constant ? F_SEAL_WRITE : 0);
}

int shared_seal(int fd, bool constant)
{
	return fcntl(fd, F_ADD_SEALS, seals(constant)) < 0 ? -errno : 0;
}

int shared_map(int fd, bool writable, bool constant, size_t least, void **ret, size_t *ret_size)
{
	struct stat st;
	void *at;
	int have = fcntl(fd, F_GET_SEALS);

	/* Without the seals another holder of the descriptor could truncate it, and every reader would die of SIGBUS. */
	if (have < 0 || (have & seals(constant)) != seals(constant))
		return -EPERM;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)least)
		return -EINVAL;
	at = mmap(NULL, (size_t)st.st_size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	*ret = at;
	*ret_size = (size_t)st.st_size;
	return 0;
}

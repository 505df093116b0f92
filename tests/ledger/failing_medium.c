/*
 * A medium that fails when it is told to, below a program that knows nothing of it: LD_PRELOAD it.
 *
 * The file named by FAILING_MEDIUM holds the orders and is shared with the test (tests/ledger/failing.py). What a
 * failed sync leaves is what Linux may leave: the pages count as clean, so the next sync of them succeeds, and once
 * they are evicted the file is as it was before (`loses`).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define UNSYNCED_MOST 4096

struct orders {
    int32_t syncs_fail;  /* so many more syncs fail */
    int32_t writes_fail; /* so many more writes fail */
    int32_t error;       /* with this errno */
    int32_t loses;       /* a failed sync takes back what was written to the file since the last good one */
    int32_t at_most;     /* bytes that a write takes; 0: all */
    int32_t failed;      /* told by us: how often something failed */
};

struct unsynced {
    int fd;
    off_t offset;
    size_t size;
    char *before;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct orders *orders;
static struct unsynced unsynced[UNSYNCED_MOST];
static int unsynced_count;

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);
static int (*real_close)(int);

__attribute__((constructor)) static void prepare(void)
{
    const char *name = getenv("FAILING_MEDIUM");
    int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;

    *(void **)&real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    *(void **)&real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    *(void **)&real_fsync = dlsym(RTLD_NEXT, "fsync");
    *(void **)&real_close = dlsym(RTLD_NEXT, "close");
    if (fd < 0)
        abort(); /* a test that runs without its fault proves nothing */
    orders = mmap(NULL, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (orders == MAP_FAILED)
        abort();
    real_close(fd);
}

/* Remember what a write is about to replace. */
static void remember(int fd, off_t offset, size_t size)
{
    struct unsynced *each = &unsynced[unsynced_count];
    ssize_t had;

    if (unsynced_count == UNSYNCED_MOST || !(each->before = calloc(1, size)))
        abort();
    had = pread(fd, each->before, size, offset);
    each->fd = fd;
    each->offset = offset;
    each->size = had < 0 ? 0 : (size_t)had;
    unsynced_count++;
}

/* Forget what was written to a file, the newest first, after putting it back as it was if `undo` says so. */
static void forget(int fd, int undo)
{
    int kept = 0;

    for (int at = unsynced_count - 1; at >= 0; at--) {
        struct unsynced *each = &unsynced[at];
        if (each->fd != fd)
            continue;
        if (undo && real_pwrite(fd, each->before, each->size, each->offset) != (ssize_t)each->size)
            abort();
        free(each->before);
        each->before = NULL;
    }
    for (int at = 0; at < unsynced_count; at++)
        if (unsynced[at].before)
            unsynced[kept++] = unsynced[at];
    unsynced_count = kept;
}

static int fails(int32_t *left)
{
    if (*left <= 0)
        return 0;
    --*left;
    ++orders->failed;
    errno = orders->error;
    return 1;
}

static int sync_with(int (*real)(int), int fd)
{
    int result = -1;

    pthread_mutex_lock(&lock);
    if (!fails(&orders->syncs_fail))
        result = real(fd);
    int error = errno;
    forget(fd, result < 0 && orders->loses);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int fdatasync(int fd)
{
    return sync_with(real_fdatasync, fd);
}

int fsync(int fd)
{
    return sync_with(real_fsync, fd);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset)
{
    ssize_t taken = -1;

    pthread_mutex_lock(&lock);
    if (!fails(&orders->writes_fail)) {
        if (orders->at_most > 0 && size > (size_t)orders->at_most)
            size = (size_t)orders->at_most;
        remember(fd, offset, size);
        taken = real_pwrite(fd, data, size, offset);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return taken;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return pwrite64(fd, data, size, offset);
}

int close(int fd)
{
    pthread_mutex_lock(&lock);
    forget(fd, 0);
    pthread_mutex_unlock(&lock);
    return real_close(fd);
}

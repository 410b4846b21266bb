/* Preloaded into a program: a kernel that takes and gives one byte of a stream a call.
 *
 * Every send, recv, read, write, writev, readv, sendmsg and sendfile on a TCP socket moves ONE_BYTE_IO bytes at most (1 if unset), and
 * none is lost. A short count tells the user of an edge-triggered epoll that there is no more, and it waits for the next
 * edge; so there has to be one, as there is when the bytes really come one by one. EPOLL_CTL_MOD makes it.
 *
 * With ONE_BYTE_IO_EINTR=N every Nth of these calls fails with EINTR before it does anything.
 * At the end the number of calls that were cut short goes to the file ONE_BYTE_IO_REPORT.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS 4096

/* Where a descriptor is watched, and for what; poller is 0 where it is not. */
static struct watch {
    int poller;
    struct epoll_event event;
} watched[DESCRIPTORS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static size_t most = 1;
static unsigned long interrupts, calls, cuts;

static ssize_t (*real_send)(int, const void *, size_t, int);
static ssize_t (*real_recv)(int, void *, size_t, int);
static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_readv)(int, const struct iovec *, int);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_sendfile)(int, int, off_t *, size_t);
static ssize_t (*real_sendfile64)(int, int, off64_t *, size_t);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);
static int (*real_close)(int);
static int (*real_epoll_ctl)(int, int, int, struct epoll_event *);

static unsigned long number(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);
    return text ? strtoul(text, NULL, 10) : otherwise;
}

/* By need, for other constructors may come first. */
static void prepare(void)
{
    if (real_epoll_ctl)
        return;
    real_send = dlsym(RTLD_NEXT, "send");
    real_recv = dlsym(RTLD_NEXT, "recv");
    real_read = dlsym(RTLD_NEXT, "read");
    real_write = dlsym(RTLD_NEXT, "write");
    real_readv = dlsym(RTLD_NEXT, "readv");
    real_writev = dlsym(RTLD_NEXT, "writev");
    real_sendfile = dlsym(RTLD_NEXT, "sendfile");
    real_sendfile64 = dlsym(RTLD_NEXT, "sendfile64");
    real_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
    real_close = dlsym(RTLD_NEXT, "close");
    most = number("ONE_BYTE_IO", 1);
    interrupts = number("ONE_BYTE_IO_EINTR", 0);
    real_epoll_ctl = dlsym(RTLD_NEXT, "epoll_ctl");
}

__attribute__((constructor)) static void begin(void)
{
    prepare();
}

__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("ONE_BYTE_IO_REPORT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) {
        fprintf(file, "%lu\n", cuts);
        fclose(file);
    }
}

/* TCP only: the pieces of a datagram would be lost, and files and pipes are not what this is about. */
static int is_tcp(int fd)
{
    int kind = 0, saved = errno;
    socklen_t length = sizeof kind;
    int tcp = getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &kind, &length) == 0 && kind == 6;
    errno = saved;
    return tcp;
}

static int interrupted(void)
{
    if (!interrupts || __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) % interrupts)
        return 0;
    errno = EINTR;
    return 1;
}

/* The edge that belongs to the rest. */
static void cut(int fd)
{
    int saved = errno;
    __atomic_add_fetch(&cuts, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&lock);
    if (fd < DESCRIPTORS && watched[fd].poller) {
        struct epoll_event event = watched[fd].event;
        real_epoll_ctl(watched[fd].poller - 1, EPOLL_CTL_MOD, fd, &event);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
}

/* `part` moves `limit` bytes at most, of the `n` that the caller would have moved. */
#define SHORTLY(fd, n, limit, whole, part) \
    do { \
        prepare(); \
        if ((n) <= most || !is_tcp(fd)) \
            return whole; \
        if (interrupted()) \
            return -1; \
        ssize_t moved = part; \
        if (moved > 0 && (size_t)moved == (limit)) \
            cut(fd); \
        return moved; \
    } while (0)

ssize_t send(int fd, const void *data, size_t n, int flags)
{
    SHORTLY(fd, n, most, real_send(fd, data, n, flags), real_send(fd, data, most, flags));
}

ssize_t recv(int fd, void *data, size_t n, int flags)
{
    SHORTLY(fd, n, most, real_recv(fd, data, n, flags), real_recv(fd, data, most, flags));
}

ssize_t write(int fd, const void *data, size_t n)
{
    SHORTLY(fd, n, most, real_write(fd, data, n), real_write(fd, data, most));
}

ssize_t read(int fd, void *data, size_t n)
{
    SHORTLY(fd, n, most, real_read(fd, data, n), real_read(fd, data, most));
}

static size_t length(const struct iovec *pieces, int count)
{
    size_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += pieces[i].iov_len;
    return sum;
}

/* The first that is not empty, cut to size. */
static struct iovec first(const struct iovec *pieces, int count)
{
    struct iovec piece = { NULL, 0 };
    for (int i = 0; i < count && !piece.iov_len; i++)
        piece = pieces[i];
    if (piece.iov_len > most)
        piece.iov_len = most;
    return piece;
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    struct iovec piece = first(pieces, count);
    SHORTLY(fd, length(pieces, count), piece.iov_len, real_writev(fd, pieces, count), real_writev(fd, &piece, 1));
}

ssize_t sendfile(int fd, int from, off_t *offset, size_t n)
{
    SHORTLY(fd, n, most, real_sendfile(fd, from, offset, n), real_sendfile(fd, from, offset, most));
}

ssize_t sendfile64(int fd, int from, off64_t *offset, size_t n)
{
    SHORTLY(fd, n, most, real_sendfile64(fd, from, offset, n), real_sendfile64(fd, from, offset, most));
}

static ssize_t sendmsg_first(int fd, const struct msghdr *message, struct iovec *piece, int flags)
{
    struct msghdr shorter = *message;
    shorter.msg_iov = piece;
    shorter.msg_iovlen = 1;
    return real_sendmsg(fd, &shorter, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct iovec piece = first(message->msg_iov, (int)message->msg_iovlen);
    SHORTLY(fd, length(message->msg_iov, (int)message->msg_iovlen), piece.iov_len,
            real_sendmsg(fd, message, flags), sendmsg_first(fd, message, &piece, flags));
}

ssize_t readv(int fd, const struct iovec *pieces, int count)
{
    struct iovec piece = first(pieces, count);
    SHORTLY(fd, length(pieces, count), piece.iov_len, real_readv(fd, pieces, count), real_readv(fd, &piece, 1));
}

int epoll_ctl(int poller, int what, int fd, struct epoll_event *event)
{
    prepare();
    int outcome = real_epoll_ctl(poller, what, fd, event);
    if (outcome == 0 && fd >= 0 && fd < DESCRIPTORS) {
        pthread_mutex_lock(&lock);
        memset(&watched[fd], 0, sizeof watched[fd]);
        if (what != EPOLL_CTL_DEL) {
            watched[fd].poller = poller + 1;
            watched[fd].event = *event;
        }
        pthread_mutex_unlock(&lock);
    }
    return outcome;
}

int close(int fd)
{
    prepare();
    if (fd >= 0 && fd < DESCRIPTORS) {
        pthread_mutex_lock(&lock);
        memset(&watched[fd], 0, sizeof watched[fd]);
        pthread_mutex_unlock(&lock);
    }
    return real_close(fd);
}

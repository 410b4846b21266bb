/* The seven modes written by hand on epoll: the limit of the machine.
 *
 * epoll MODE PORT [ROOT]          cc -O2 -Wall -Wextra -Werror -o epoll epoll.c
 *
 * Connections are edge-triggered and registered once for both directions. A short read counts as
 * an empty socket and a short write as a full one, which spares the call that would say EAGAIN;
 * only where the end of the stream may stand behind the data does reading go on to it. The
 * listener is level-triggered: one accept for each time it is reported, and none in vain.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define READ 65536
#define SINK_READ 262144
#define SOURCE_READ 4096
#define BLOCK 524288
#define LONGEST_LINE 65536
#define LONGEST_HEAD 16384
#define LONGEST_GIVE 32
/* Up to here one copy costs less than the calls that spare it. */
#define SMALL_FILE 16384
#define EVENTS 1024
/* Reads or writes a connection may do before the others get their turn. */
#define BUDGET 16

enum verdict { WAIT, AGAIN, CLOSE };

struct conn {
    int fd;
    bool closed; /* the end of the stream, or an error, has been reported */
    bool done;   /* no request is taken any more */
    bool queued; /* stands in the list of those whose budget ran out */
    char *held;  /* what a full socket refused */
    uint32_t held_len, held_sent;
    char *begun; /* what was read and is not yet answered */
    uint32_t begun_len, begun_cap;
    uint64_t left; /* of the answer under way: bytes still to go */
    union {
        int file;    /* where they come from, while some are left */
        uint32_t at; /* how many went, counted within the block */
    };
};

typedef enum verdict visit_fn(struct conn *, uint32_t events);

static char buffer[SINK_READ];
static char *out;
static size_t out_len, out_cap;
static char block[BLOCK];
static char date[32];
static char answer_keep[256], answer_close[256];
static size_t answer_keep_len, answer_close_len;
static int root_fd;

static void *grown(void *old, size_t size)
{
    void *new = realloc(old, size);
    if (!new) {
        fputs("epoll: out of memory\n", stderr);
        exit(1);
    }
    return new;
}

static void out_reserve(size_t more)
{
    if (out_cap - out_len < more) {
        out_cap = 2 * (out_len + more);
        out = grown(out, out_cap);
    }
}

static inline void out_put(const void *bytes, size_t len)
{
    memcpy(out + out_len, bytes, len);
    out_len += len;
}

static void begun_add(struct conn *c, const char *bytes, size_t len)
{
    if (c->begun_cap - c->begun_len < len) {
        c->begun_cap = 2 * (c->begun_len + len);
        c->begun = grown(c->begun, c->begun_cap);
    }
    memcpy(c->begun + c->begun_len, bytes, len);
    c->begun_len += len;
}

static void begun_drop(struct conn *c, size_t len)
{
    c->begun_len -= len;
    if (c->begun_len)
        memmove(c->begun, c->begun + len, c->begun_len);
}

/* ---- the socket ------------------------------------------------------------------------- */

#define EMPTY (-1)
#define BROKEN (-2)

/* Bytes read, 0 at the end of the stream, EMPTY or BROKEN. */
static inline ssize_t take(int fd, void *into, size_t len)
{
    for (;;) {
        ssize_t got = recv(fd, into, len, 0);
        if (got >= 0)
            return got;
        if (errno == EAGAIN)
            return EMPTY;
        if (errno != EINTR)
            return BROKEN;
    }
}

/* Bytes written, 0 where the socket is full, or BROKEN. */
static inline ssize_t put(int fd, const void *from, size_t len, int flags)
{
    for (;;) {
        ssize_t sent = send(fd, from, len, MSG_NOSIGNAL | flags);
        if (sent >= 0)
            return sent;
        if (errno == EAGAIN)
            return 0;
        if (errno != EINTR)
            return BROKEN;
    }
}

static void hold(struct conn *c, const char *rest, size_t len)
{
    c->held = grown(NULL, len);
    memcpy(c->held, rest, len);
    c->held_len = len;
    c->held_sent = 0;
}

/* Sends what nothing is held before; AGAIN where all of it went. */
static inline enum verdict deliver(struct conn *c, const char *bytes, size_t len, int flags)
{
    ssize_t sent = put(c->fd, bytes, len, flags);
    if (sent == (ssize_t)len)
        return AGAIN;
    if (sent == BROKEN)
        return CLOSE;
    hold(c, bytes + sent, len - sent);
    return WAIT;
}

static enum verdict flush(struct conn *c)
{
    ssize_t sent = put(c->fd, c->held + c->held_sent, c->held_len - c->held_sent, 0);
    if (sent == BROKEN)
        return CLOSE;
    c->held_sent += sent;
    if (c->held_sent < c->held_len)
        return WAIT;
    free(c->held);
    c->held = NULL;
    return AGAIN;
}

/* The start of every visit: what is held goes first. AGAIN means read on. */
static inline enum verdict begin(struct conn *c, uint32_t events)
{
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        c->closed = true;
    if (c->held)
        return flush(c);
    return events & ~EPOLLOUT ? AGAIN : WAIT;
}

/* ---- echo ------------------------------------------------------------------------------- */

static enum verdict visit_echo(struct conn *c, uint32_t events)
{
    enum verdict verdict = begin(c, events);
    for (int turn = 0; verdict == AGAIN && turn < BUDGET; turn++) {
        ssize_t got = take(c->fd, buffer, READ);
        if (got <= 0)
            return got == EMPTY ? WAIT : CLOSE;
        verdict = deliver(c, buffer, got, 0);
        if (verdict == AGAIN && got < READ && !c->closed)
            return WAIT;
    }
    return verdict;
}

/* ---- lines ------------------------------------------------------------------------------ */

static inline void found_line(const char *line, size_t len)
{
    out_put(line, len);
    out_put("\r\n", 2);
}

/* The answer happens to be a prefix of what was read. That is not made use of: each line is found
 * and answered on its own, as any protocol of lines has to. */
static inline void take_lines(struct conn *c, const char *data, size_t len)
{
    const char *start = data, *end = data + len, *from = data, *lf;

    out_len = 0;
    out_reserve(c->begun_len + len);
    while ((lf = memchr(from, '\n', end - from))) {
        from = lf + 1;
        if (lf > start && lf[-1] == '\r') {
            if (c->begun_len) {
                out_put(c->begun, c->begun_len);
                c->begun_len = 0;
            }
            found_line(start, lf - 1 - start);
        } else if (lf == data && c->begun_len && c->begun[c->begun_len - 1] == '\r') {
            found_line(c->begun, c->begun_len - 1);
            c->begun_len = 0;
        } else {
            continue;
        }
        start = from;
    }
    if (start < end)
        begun_add(c, start, end - start);
}

static enum verdict visit_lines(struct conn *c, uint32_t events)
{
    enum verdict verdict = begin(c, events);
    for (int turn = 0; verdict == AGAIN && turn < BUDGET; turn++) {
        ssize_t got = take(c->fd, buffer, READ);
        if (got <= 0)
            return got == EMPTY ? WAIT : CLOSE;
        take_lines(c, buffer, got);
        if (c->begun_len > LONGEST_LINE)
            return CLOSE;
        if (out_len)
            verdict = deliver(c, out, out_len, 0);
        if (verdict == AGAIN && got < READ && !c->closed)
            return WAIT;
    }
    return verdict;
}

/* ---- sink ------------------------------------------------------------------------------- */

static enum verdict visit_sink(struct conn *c, uint32_t events)
{
    enum verdict verdict = begin(c, events);
    for (int turn = 0; verdict == AGAIN && turn < BUDGET; turn++) {
        ssize_t got = take(c->fd, buffer, SINK_READ);
        if (got <= 0)
            return got == EMPTY ? WAIT : CLOSE;
        if (got < SINK_READ && !c->closed)
            return WAIT;
    }
    return verdict;
}

/* ---- source ----------------------------------------------------------------------------- */

/* Begins the answer to the next request: 1, 0 where none is whole, -1 where it is no request. */
static int next_give(struct conn *c)
{
    const char *end = c->begun_len ? memmem(c->begun, c->begun_len, "\r\n", 2) : NULL;
    uint64_t n = 0;

    if (!end)
        return c->begun_len > LONGEST_GIVE ? -1 : 0;
    if (end - c->begun < 6 || end - c->begun > LONGEST_GIVE || memcmp(c->begun, "GIVE ", 5))
        return -1;
    for (const char *digit = c->begun + 5; digit < end; digit++) {
        if (*digit < '0' || *digit > '9' || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, *digit - '0', &n))
            return -1;
    }
    begun_drop(c, end + 2 - c->begun);
    c->left = n;
    c->at = 0;
    return 1;
}

static enum verdict visit_source(struct conn *c, uint32_t events)
{
    enum verdict verdict = begin(c, events);
    bool drained = false;

    if (verdict == WAIT && !c->left)
        return WAIT;
    for (int turn = 0; turn < BUDGET; turn++) {
        if (c->left) {
            size_t part = BLOCK - c->at;
            if (part > c->left)
                part = c->left;
            ssize_t sent = put(c->fd, block + c->at, part, 0);
            if (sent == BROKEN)
                return CLOSE;
            c->left -= sent;
            c->at = (c->at + sent) % BLOCK;
            if (sent < (ssize_t)part)
                return WAIT;
            continue;
        }
        int next = next_give(c);
        if (next < 0)
            return CLOSE;
        if (next > 0)
            continue;
        if (drained)
            return WAIT;
        ssize_t got = take(c->fd, buffer, SOURCE_READ);
        if (got <= 0)
            return got == EMPTY ? WAIT : CLOSE;
        begun_add(c, buffer, got);
        drained = got < SOURCE_READ && !c->closed;
    }
    return AGAIN;
}

/* ---- requests --------------------------------------------------------------------------- */

struct head {
    const char *line;
    size_t line_len; /* without its line end */
    size_t len;      /* with the empty line; 0 where the head is not all there */
    bool close;
};

static bool asks_to_close(const char *field, const char *end)
{
    static const char name[] = "connection:";
    size_t len = sizeof name - 1;

    if ((size_t)(end - field) < len || strncasecmp(field, name, len))
        return false;
    for (const char *at = field + len; at < end;) {
        const char *comma = memchr(at, ',', end - at);
        const char *stop = comma ? comma : end;
        const char *last = stop;
        while (at < last && (*at == ' ' || *at == '\t'))
            at++;
        while (last > at && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        if (last - at == 5 && !strncasecmp(at, "close", 5))
            return true;
        at = stop + 1;
    }
    return false;
}

static inline struct head next_head(const char *data, size_t len)
{
    struct head head = {.line = data};
    const char *end = data + len, *lf = memchr(data, '\n', len);

    if (!lf)
        return head;
    const char *last = lf > data && lf[-1] == '\r' ? lf - 1 : lf;
    head.line_len = last - data;
    if (head.line_len >= 9 && !memcmp(last - 9, " HTTP/1.0", 9))
        head.close = true;
    for (const char *field = lf + 1; (lf = memchr(field, '\n', end - field)); field = lf + 1) {
        last = lf > field && lf[-1] == '\r' ? lf - 1 : lf;
        if (last == field) {
            head.len = lf + 1 - data;
            return head;
        }
        if ((*field | 0x20) == 'c' && asks_to_close(field, last))
            head.close = true;
    }
    return head;
}

static void renew_date(void)
{
    static time_t second;
    struct timespec now;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec == second)
        return;
    second = now.tv_sec;
    gmtime_r(&second, &tm);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
#define ANSWER(extra)                                                                              \
    "HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n" extra      \
    "\r\nHello, world!"
    answer_keep_len = snprintf(answer_keep, sizeof answer_keep, ANSWER(""), date);
    answer_close_len =
        snprintf(answer_close, sizeof answer_close, ANSWER("Connection: close\r\n"), date);
}

/* ---- http ------------------------------------------------------------------------------- */

/* Answers the whole heads in data: how many bytes they were. */
static inline size_t answer_hello(struct conn *c, const char *data, size_t len)
{
    size_t taken = 0;

    while (!c->done) {
        struct head head = next_head(data + taken, len - taken);
        if (!head.len)
            break;
        taken += head.len;
        c->done = head.close;
        out_reserve(sizeof answer_keep);
        if (head.close)
            out_put(answer_close, answer_close_len);
        else
            out_put(answer_keep, answer_keep_len);
    }
    return taken;
}

static enum verdict visit_http(struct conn *c, uint32_t events)
{
    enum verdict verdict = begin(c, events);
    for (int turn = 0; verdict == AGAIN && turn < BUDGET; turn++) {
        if (c->done)
            return CLOSE;
        ssize_t got = take(c->fd, buffer, READ);
        if (got <= 0)
            return got == EMPTY ? WAIT : CLOSE;
        out_len = 0;
        if (!c->begun_len) {
            size_t taken = answer_hello(c, buffer, got);
            if (taken < (size_t)got)
                begun_add(c, buffer + taken, got - taken);
        } else {
            begun_add(c, buffer, got);
            begun_drop(c, answer_hello(c, c->begun, c->begun_len));
        }
        if (out_len)
            verdict = deliver(c, out, out_len, 0);
        if (verdict != AGAIN)
            return verdict;
        if (c->done || c->begun_len > LONGEST_HEAD)
            return CLOSE;
        if (got < READ && !c->closed)
            return WAIT;
    }
    return verdict;
}

/* ---- files ------------------------------------------------------------------------------ */

/* The regular file below the root that a request line asks for: its descriptor, -1 where there is
 * none, BROKEN where that cannot be said. Paths are taken as they are, without percent-decoding;
 * one with a ".." in it names nothing. */
static int open_asked(const struct head *head, uint64_t *size)
{
    char path[4096];
    const char *from = head->line + 5, *end = head->line + head->line_len, *stop = from;
    struct stat stat;

    if (head->line_len < 5 || memcmp(head->line, "GET /", 5))
        return -1;
    while (from < end && *from == '/')
        from++;
    for (stop = from; stop < end && *stop != ' ' && *stop != '?'; stop++)
        ;
    size_t len = stop - from;
    if (stop == end || !len || len >= sizeof path || memchr(from, 0, len))
        return -1;
    memcpy(path, from, len);
    path[len] = 0;
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (part[0] == '.' && part[1] == '.' && (!part[2] || part[2] == '/'))
            return -1;
    }
    /* Without O_NONBLOCK the open of a FIFO would wait for its writer. */
    int file = openat(root_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? BROKEN : -1;
    if (fstat(file, &stat) || !S_ISREG(stat.st_mode)) {
        close(file);
        return -1;
    }
    *size = stat.st_size;
    return file;
}

/* Whether the whole file stands behind its header now. */
static bool copy_file(int file, size_t size)
{
    size_t end = out_len + size;

    while (out_len < end) {
        ssize_t got = read(file, out + out_len, end - out_len);
        if (got <= 0)
            return false;
        out_len += got;
    }
    return true;
}

static void put_text(const char *text)
{
    out_put(text, strlen(text));
}

static void put_header(const char *status, uint64_t size, bool close)
{
    char digits[20];
    size_t first = sizeof digits;

    do
        digits[--first] = '0' + size % 10;
    while (size /= 10);
    put_text("HTTP/1.1 ");
    put_text(status);
    put_text("\r\nDate: ");
    put_text(date);
    put_text("\r\nContent-Length: ");
    out_put(digits + first, sizeof digits - first);
    put_text(close ? "\r\nConnection: close\r\n\r\n" : "\r\n\r\n");
}

/* Answers whole requests until one of them needs the socket: how many bytes they were, or BROKEN. */
static ssize_t answer_files(struct conn *c)
{
    size_t taken = 0;

    while (taken < c->begun_len && !c->done && !c->left && out_len < READ) {
        struct head head = next_head(c->begun + taken, c->begun_len - taken);
        uint64_t size = 0;
        if (!head.len)
            break;
        taken += head.len;
        c->done = head.close;
        int file = open_asked(&head, &size);
        if (file == BROKEN)
            return BROKEN;
        out_reserve(256 + SMALL_FILE);
        put_header(file < 0 ? "404 Not Found" : "200 OK", size, head.close);
        if (file < 0)
            continue;
        if (size > SMALL_FILE) {
            c->file = file;
            c->left = size;
            continue;
        }
        bool whole = copy_file(file, size);
        close(file);
        if (!whole)
            return BROKEN;
    }
    return taken;
}

static enum verdict send_file(struct conn *c)
{
    /* sendfile stops short for more reasons than a full socket, and only that brings an event. */
    while (c->left) {
        ssize_t sent = sendfile(c->fd, c->file, NULL, c->left);
        if (sent > 0)
            c->left -= sent;
        else if (sent < 0 && errno == EAGAIN)
            return WAIT;
        else if (sent == 0 || errno != EINTR)
            return CLOSE;
    }
    close(c->file);
    return AGAIN;
}

static enum verdict visit_files(struct conn *c, uint32_t events)
{
    enum verdict verdict = begin(c, events);
    bool drained = false;

    if (c->left && !c->held && verdict != CLOSE)
        verdict = send_file(c);
    for (int turn = 0; verdict == AGAIN && turn < BUDGET; turn++) {
        if (c->done)
            return CLOSE;
        out_len = 0;
        ssize_t taken = answer_files(c);
        if (taken == BROKEN)
            return CLOSE;
        if (taken) {
            begun_drop(c, taken);
            /* A header waits for the first bytes of its body and shares their segment. */
            verdict = deliver(c, out, out_len, c->left ? MSG_MORE : 0);
            if (verdict == AGAIN && c->left)
                verdict = send_file(c);
            continue;
        }
        if (c->begun_len > LONGEST_HEAD)
            return CLOSE;
        if (drained)
            return WAIT;
        ssize_t got = take(c->fd, buffer, READ);
        if (got <= 0)
            return got == EMPTY ? WAIT : CLOSE;
        begun_add(c, buffer, got);
        drained = got < READ && !c->closed;
    }
    return verdict;
}

/* ---- the loop --------------------------------------------------------------------------- */

static void die(const char *what)
{
    fprintf(stderr, "epoll: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct conn **again;
static size_t again_len, again_cap;

static void drop(struct conn *c, bool is_files)
{
    /* The last descriptor of a socket takes it out of the epoll set. */
    close(c->fd);
    if (is_files && c->left)
        close(c->file);
    free(c->held);
    free(c->begun);
    c->fd = -1;
    if (!c->queued)
        free(c);
}

static void queue(struct conn *c)
{
    if (c->queued)
        return;
    if (again_len == again_cap) {
        again_cap = again_cap ? 2 * again_cap : 16;
        again = grown(again, again_cap * sizeof *again);
    }
    c->queued = true;
    again[again_len++] = c;
}

/* Whether a connection was taken. */
static bool admit(int epoll, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS;
    struct conn *c = calloc(1, sizeof *c);
    struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.ptr = c}};
    if (!c || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) {
        close(fd);
        free(c);
        return true;
    }
    c->fd = fd;
    return true;
}

static bool serve_time(int epoll, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    (void)epoll;
    if (fd < 0)
        return errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS;
    /* Seconds since 1900; the count wraps in 2036, by the protocol. */
    uint32_t now = htonl((uint32_t)((uint64_t)time(NULL) + 2208988800u));
    put(fd, &now, sizeof now, 0);
    close(fd);
    return true;
}

static int listen_at(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    if (listener < 0)
        die("socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* Accepted sockets inherit it on Linux, which spares a call for each of them. */
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096))
        die("listen");
    return listener;
}

/* Inlined for each mode, so that the loop calls the visit directly. */
static inline __attribute__((always_inline)) void
run(int port, visit_fn *visit, bool (*arrived)(int, int), bool dated)
{
    static struct epoll_event events[EVENTS];
    int listener = listen_at(port), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event listening = {EPOLLIN, {.ptr = NULL}};
    bool paused = false; /* no descriptor was left for the last connection */

    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &listening))
        die("epoll");
    puts("ready");
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, again_len ? 0 : paused ? 50 : -1);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        if (dated)
            renew_date();
        if (paused) {
            paused = false;
            listening.events = EPOLLIN;
            epoll_ctl(epoll, EPOLL_CTL_MOD, listener, &listening);
        }
        size_t held_over = again_len;
        for (int i = 0; i < count; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c) {
                if (!arrived(epoll, listener)) {
                    paused = true;
                    listening.events = 0;
                    epoll_ctl(epoll, EPOLL_CTL_MOD, listener, &listening);
                }
                continue;
            }
            switch (visit(c, events[i].events)) {
            case WAIT:
                break;
            case AGAIN:
                queue(c);
                break;
            case CLOSE:
                drop(c, visit == visit_files);
            }
        }
        if (!held_over)
            continue;
        for (size_t i = 0; i < held_over; i++) {
            struct conn *c = again[i];
            c->queued = false;
            if (c->fd < 0) {
                free(c);
                continue;
            }
            switch (visit(c, EPOLLIN)) {
            case WAIT:
                break;
            case AGAIN:
                queue(c);
                break;
            case CLOSE:
                drop(c, visit == visit_files);
            }
        }
        again_len -= held_over;
        memmove(again, again + held_over, again_len * sizeof *again);
    }
}

static void end(int signal)
{
    (void)signal;
    _exit(0);
}

static enum verdict visit_none(struct conn *c, uint32_t events)
{
    (void)c;
    (void)events;
    return CLOSE;
}

static int usage(void)
{
    fputs("usage: epoll echo|lines|sink|source|time|http|files PORT [ROOT]\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    struct rlimit limit;

    if (argc != 3 && argc != 4)
        return usage();
    const char *mode = argv[1], *root = argc == 4 ? argv[3] : ".";
    int port = atoi(argv[2]);
    if (port <= 0 || port > 65535)
        return usage();
    signal(SIGTERM, end);
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (!strcmp(mode, "echo")) {
        run(port, visit_echo, admit, false);
    } else if (!strcmp(mode, "lines")) {
        run(port, visit_lines, admit, false);
    } else if (!strcmp(mode, "sink")) {
        run(port, visit_sink, admit, false);
    } else if (!strcmp(mode, "source")) {
        for (size_t i = 0; i < BLOCK; i++)
            block[i] = (char)(i % 251);
        run(port, visit_source, admit, false);
    } else if (!strcmp(mode, "time")) {
        run(port, visit_none, serve_time, false);
    } else if (!strcmp(mode, "http")) {
        run(port, visit_http, admit, true);
    } else if (!strcmp(mode, "files")) {
        root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root_fd < 0)
            die(root);
        run(port, visit_files, admit, true);
    }
    return usage();
}

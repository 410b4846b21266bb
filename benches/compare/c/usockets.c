/* The peer on uSockets: one read into the loop's 512 KiB, then one us_socket_write of all answers; a socket that does not
 * take them is not read until it has.
 *
 * With its flags, S being the folder src of uSockets:
 * cc -O3 -flto -DLIBUS_NO_SSL -I$S -o usockets usockets.c $S/bsd.c $S/context.c $S/loop.c $S/socket.c $S/udp.c \
 *     $S/eventing/epoll_kqueue.c
 * usage: usockets MODE PORT
 */
#define _GNU_SOURCE
#include <libusockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "http.h"

#define LONGEST_FRAME (64 * 1024)
#define LONGEST_HTTP_ANSWER 256

/* What lies behind a socket. */
struct connection {
	/* The start of a frame whose end has not come; none between frames. */
	char *partial;
	size_t partial_length;
	/* What the socket has not taken; none while it takes all. */
	char *held;
	size_t held_at, held_length;
	int ended;
};

typedef struct us_socket_t *data_callback(struct us_socket_t *s, char *data, int length);

static char answers[LIBUS_RECV_BUFFER_LENGTH + LONGEST_FRAME + LONGEST_HTTP_ANSWER];

static struct connection *connection_of(struct us_socket_t *s)
{
	return us_socket_ext(0, s);
}

static struct us_socket_t *shut(struct us_socket_t *s)
{
	return us_socket_close(0, s, 0, NULL);
}

static void *grown(void *memory, size_t size)
{
	memory = realloc(memory, size);
	if (memory == NULL)
		abort();
	return memory;
}

/* ---- output that may be held up -------------------------------------------------------------------------------- */

/* On epoll its events are those of epoll. */
static void wait_for(struct us_socket_t *s, int events)
{
	us_poll_change((struct us_poll_t *)s, us_socket_context_loop(0, us_socket_context(0, s)), events);
}

/* Writes what the socket takes at once; the rest is copied. The bytes need not outlive the call. */
static void write_or_hold(struct us_socket_t *s, const char *bytes, size_t length)
{
	struct connection *c = connection_of(s);
	size_t n = c->held_length > 0 ? 0 : us_socket_write(0, s, bytes, length, 0);

	if (n == length)
		return;
	c->held = grown(c->held, c->held_length + length - n);
	memcpy(c->held + c->held_length, bytes + n, length - n);
	c->held_length += length - n;
	/* This version of uSockets has no other way to stop reading. */
	wait_for(s, EPOLLOUT);
}

static struct us_socket_t *on_writable(struct us_socket_t *s)
{
	struct connection *c = connection_of(s);

	c->held_at += us_socket_write(0, s, c->held + c->held_at, c->held_length - c->held_at, 0);
	if (c->held_at < c->held_length) {
		wait_for(s, EPOLLOUT);
		return s;
	}
	free(c->held);
	c->held = NULL;
	c->held_at = c->held_length = 0;
	if (c->ended)
		return shut(s);
	wait_for(s, EPOLLIN);
	return s;
}

/* ---- echo ------------------------------------------------------------------------------------------------------ */

static struct us_socket_t *echo(struct us_socket_t *s, char *data, int length)
{
	write_or_hold(s, data, length);
	return s;
}

/* ---- frames ---------------------------------------------------------------------------------------------------- */

/* Just behind the first frame in `bytes`, of which those before `seen` end none; NULL if it has not come whole. */
typedef char *find_end(char *bytes, size_t seen, size_t length);
/* Answers a frame at `out`, and returns where the next answer goes. */
typedef char *answer_frame(struct connection *c, char *out, char *frame, size_t length);

/* Inlined with the two functions of a mode. */
static inline __attribute__((always_inline)) struct us_socket_t *framed(
	struct us_socket_t *s, char *data, size_t length, find_end *find, answer_frame *answer, size_t longest)
{
	struct connection *c = connection_of(s);
	char *at = data, *out = answers, *end;
	size_t left = length, seen = c->partial_length;

	if (seen > 0) {
		c->partial = grown(c->partial, seen + length);
		memcpy(c->partial + seen, data, length);
		at = c->partial;
		left += seen;
	}
	while (!c->ended && (end = find(at, seen, left)) != NULL) {
		size_t frame = end - at;

		/* The shortest request may be much shorter than its answer. */
		if ((size_t)(answers + sizeof answers - out) < frame + longest) {
			write_or_hold(s, answers, out - answers);
			out = answers;
		}
		out = answer(c, out, at, frame);
		at = end;
		left -= frame;
		seen = 0;
	}
	if (out > answers)
		write_or_hold(s, answers, out - answers);
	if (left > LONGEST_FRAME || (c->ended && c->held_length == 0))
		return shut(s);
	if (left == 0) {
		free(c->partial);
		c->partial = NULL;
	} else if (c->partial_length > 0) {
		memmove(c->partial, at, left);
	} else {
		c->partial = grown(NULL, left);
		memcpy(c->partial, at, left);
	}
	c->partial_length = left;
	return s;
}

static inline char *line_end(char *bytes, size_t seen, size_t length)
{
	char *at = bytes + (seen > 0 ? seen - 1 : 0), *end = bytes + length;

	while ((at = memchr(at, '\r', end - at)) != NULL) {
		if (at + 1 < end && at[1] == '\n')
			return at + 2;
		at++;
	}
	return NULL;
}

static inline char *answer_line(struct connection *c, char *out, char *line, size_t length)
{
	(void)c;
	out = mempcpy(out, line, length - 2);
	return mempcpy(out, "\r\n", 2);
}

static struct us_socket_t *lines(struct us_socket_t *s, char *data, int length)
{
	return framed(s, data, length, line_end, answer_line, 0);
}

static inline char *head_end(char *bytes, size_t seen, size_t length)
{
	size_t from = seen > 3 ? seen - 3 : 0;
	char *end = memmem(bytes + from, length - from, "\r\n\r\n", 4);

	return end == NULL ? NULL : end + 4;
}

static inline char *answer_request(struct connection *c, char *out, char *head, size_t length)
{
	static const char status[] = "HTTP/1.1 200 OK\r\nDate: ";
	static const char fields[] = "\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n";
	static const char last[] = "Connection: close\r\n";
	static const char hello[] = "\r\nHello, world!";
	const char *date = http_date();

	out = mempcpy(out, status, sizeof status - 1);
	out = mempcpy(out, date, strlen(date));
	out = mempcpy(out, fields, sizeof fields - 1);
	c->ended = wants_close(head, length);
	if (c->ended)
		out = mempcpy(out, last, sizeof last - 1);
	return mempcpy(out, hello, sizeof hello - 1);
}

static struct us_socket_t *http(struct us_socket_t *s, char *data, int length)
{
	return framed(s, data, length, head_end, answer_request, LONGEST_HTTP_ANSWER);
}

/* ---- main ------------------------------------------------------------------------------------------------------ */

static struct us_socket_t *on_open(struct us_socket_t *s, int is_client, char *ip, int ip_length)
{
	(void)is_client;
	(void)ip;
	(void)ip_length;
	memset(connection_of(s), 0, sizeof(struct connection));
	return s;
}

static struct us_socket_t *on_close(struct us_socket_t *s, int code, void *reason)
{
	(void)code;
	(void)reason;
	free(connection_of(s)->partial);
	free(connection_of(s)->held);
	return s;
}

static void on_loop(struct us_loop_t *loop)
{
	(void)loop;
}

static void on_terminate(int signal)
{
	(void)signal;
	_exit(0);
}

static data_callback *mode_of(const char *name)
{
	if (strcmp(name, "echo") == 0)
		return echo;
	if (strcmp(name, "lines") == 0)
		return lines;
	return strcmp(name, "http") == 0 ? http : NULL;
}

int main(int argc, char **argv)
{
	struct us_socket_context_options_t options = {0};
	struct us_socket_context_t *context;
	struct us_listen_socket_t *listener;
	struct us_loop_t *loop;
	struct rlimit limit;
	data_callback *on_data;

	if (argc != 3 && argc != 4) {
		fprintf(stderr, "usage: usockets MODE PORT\n");
		return 2;
	}
	on_data = mode_of(argv[1]);
	if (on_data == NULL) {
		fprintf(stderr, "mode not supported\n");
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	signal(SIGTERM, on_terminate);

	loop = us_create_loop(NULL, on_loop, on_loop, on_loop, 0);
	context = us_create_socket_context(0, loop, 0, options);
	us_socket_context_on_open(0, context, on_open);
	us_socket_context_on_data(0, context, on_data);
	us_socket_context_on_writable(0, context, on_writable);
	us_socket_context_on_end(0, context, shut);
	us_socket_context_on_close(0, context, on_close);
	/* It sets TCP_NODELAY on each socket that it accepts. */
	listener = us_socket_context_listen(0, context, "127.0.0.1", atoi(argv[2]), 0, sizeof(struct connection));
	if (listener == NULL) {
		fprintf(stderr, "cannot listen on port %s\n", argv[2]);
		return 1;
	}
	/* Its backlog is 512. */
	listen(us_poll_fd((struct us_poll_t *)listener), 4096);
	puts("ready");
	fflush(stdout);
	us_loop_run(loop);
	return 0;
}

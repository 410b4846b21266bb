/* The peer on libuv 1.x: uv_read_start into one shared buffer, uv_try_write, and a uv_write for what was left over.
 *
 * cc -O2 -o libuv libuv.c -luv
 * usage: libuv MODE PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <uv.h>
#include "http.h"

#define BLOCK_SIZE (512 * 1024)
#define SCRATCH_SIZE (256 * 1024)
#define LONGEST_LINE (64 * 1024)
#define EPOCH_1900 2208988800u

struct connection {
	uv_tcp_t tcp;
	/* The start of a frame whose end has not come; none between frames. */
	char *partial;
	size_t partial_length;
	int ended;
};

/* A connection of the mode `source`. */
struct giver {
	struct connection connection;
	/* Bytes of the present answer that are not queued yet. */
	uint64_t left;
	uv_write_t request;
};

struct left_over {
	uv_write_t request;
	char bytes[];
};

static char scratch[SCRATCH_SIZE];
static char answers[2 * SCRATCH_SIZE];
static char block[BLOCK_SIZE];
static uv_loop_t loop;
static size_t connection_size = sizeof(struct connection);
static uv_alloc_cb alloc_for_mode;
static uv_read_cb on_read;

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)handle;
	(void)suggested;
	*buf = uv_buf_init(scratch, sizeof scratch);
}

static void on_closed(uv_handle_t *handle)
{
	struct connection *c = (struct connection *)handle;

	free(c->partial);
	free(c);
}

static void shut(struct connection *c)
{
	if (!uv_is_closing((uv_handle_t *)&c->tcp))
		uv_close((uv_handle_t *)&c->tcp, on_closed);
}

/* ---- output that may be held up -------------------------------------------------------------------------------- */

static void on_left_over_written(uv_write_t *request, int status)
{
	struct connection *c = (struct connection *)request->handle;

	free(request);
	if (status < 0)
		shut(c);
	else if (uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp) > 0)
		return;
	else if (c->ended)
		shut(c);
	else
		uv_read_start((uv_stream_t *)&c->tcp, alloc_for_mode, on_read);
}

/* Writes what the socket takes at once; the rest is copied and waits, and nothing is read until it is gone.
 * The bytes need not outlive the call. */
static void write_or_hold(struct connection *c, const char *bytes, size_t length)
{
	uv_stream_t *stream = (uv_stream_t *)&c->tcp;
	uv_buf_t buf = uv_buf_init((char *)bytes, length);
	int n = uv_try_write(stream, &buf, 1);

	if (n == UV_EAGAIN)
		n = 0;
	if (n < 0) {
		shut(c);
		return;
	}
	if ((size_t)n == length) {
		if (c->ended)
			shut(c);
		return;
	}
	struct left_over *rest = malloc(sizeof *rest + length - n);
	if (rest == NULL)
		abort();
	memcpy(rest->bytes, bytes + n, length - n);
	buf = uv_buf_init(rest->bytes, length - n);
	uv_read_stop(stream);
	if (uv_write(&rest->request, stream, &buf, 1, on_left_over_written) != 0) {
		free(rest);
		shut(c);
	}
}

static int failed(struct connection *c, ssize_t n)
{
	if (n < 0)
		shut(c);
	return n <= 0;
}

/* ---- echo, sink ------------------------------------------------------------------------------------------------ */

static void echo_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	if (!failed((struct connection *)stream, n))
		write_or_hold((struct connection *)stream, buf->base, n);
}

static void sink_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	(void)buf;
	failed((struct connection *)stream, n);
}

/* ---- frames ---------------------------------------------------------------------------------------------------- */

/* Reads go behind the partial frame, so that a frame is always in one piece. */
static void on_alloc_framed(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct connection *c = (struct connection *)handle;

	(void)suggested;
	if (c->partial_length > 0)
		memcpy(scratch, c->partial, c->partial_length);
	*buf = uv_buf_init(scratch + c->partial_length, sizeof scratch - c->partial_length);
}

/* Keeps the `length` bytes at `bytes` for the next read. */
static void keep_partial(struct connection *c, const char *bytes, size_t length)
{
	if (length > LONGEST_LINE) {
		shut(c);
		return;
	}
	if (length == 0) {
		free(c->partial);
		c->partial = NULL;
	} else if (length != c->partial_length) {
		char *grown = realloc(c->partial, length);
		if (grown == NULL)
			abort();
		c->partial = grown;
	}
	if (length > 0)
		memcpy(c->partial, bytes, length);
	c->partial_length = length;
}

/* The CR of the first CRLF in `bytes`, of which those before `seen` hold none; NULL if there is none. */
static char *find_crlf(char *bytes, size_t seen, size_t length)
{
	char *at = bytes + (seen > 0 ? seen - 1 : 0);
	char *end = bytes + length;

	while ((at = memchr(at, '\r', end - at)) != NULL) {
		if (at + 1 < end && at[1] == '\n')
			return at;
		at++;
	}
	return NULL;
}

static void lines_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct connection *c = (struct connection *)stream;
	char *at = scratch;
	size_t seen = c->partial_length, written = 0, left;
	char *cr;

	(void)buf;
	if (failed(c, n))
		return;
	left = seen + n;
	while ((cr = find_crlf(at, seen, left)) != NULL) {
		size_t line = cr - at;
		memcpy(answers + written, at, line);
		memcpy(answers + written + line, "\r\n", 2);
		written += line + 2;
		at += line + 2;
		left -= line + 2;
		seen = 0;
	}
	keep_partial(c, at, left);
	if (written > 0)
		write_or_hold(c, answers, written);
}

/* ---- http ------------------------------------------------------------------------------------------------------ */

static void http_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	static const char keep[] = "\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!";
	static const char last[] =
		"\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: close\r\n\r\nHello, world!";
	static const char status[] = "HTTP/1.1 200 OK\r\nDate: ";
	struct connection *c = (struct connection *)stream;
	char *at = scratch, *out = answers, *end;
	size_t left;
	const char *date;
	size_t date_length;
	int closing = 0;

	(void)buf;
	if (failed(c, n))
		return;
	left = c->partial_length + n;
	date = http_date();
	date_length = strlen(date);
	while (!closing && (end = memmem(at, left, "\r\n\r\n", 4)) != NULL) {
		size_t head = end + 4 - at;
		const char *tail = keep;
		size_t tail_length = sizeof keep - 1;

		if (wants_close(at, head)) {
			closing = 1;
			tail = last;
			tail_length = sizeof last - 1;
		}
		/* The shortest request may be much shorter than its answer. */
		if ((size_t)(answers + sizeof answers - out) < sizeof status + date_length + tail_length) {
			write_or_hold(c, answers, out - answers);
			out = answers;
		}
		out = mempcpy(out, status, sizeof status - 1);
		out = mempcpy(out, date, date_length);
		out = mempcpy(out, tail, tail_length);
		at += head;
		left -= head;
	}
	keep_partial(c, at, closing ? 0 : left);
	c->ended = closing;
	if (out > answers)
		write_or_hold(c, answers, out - answers);
}

/* ---- source ---------------------------------------------------------------------------------------------------- */

static void source_go_on(struct giver *giver);

static void on_block_written(uv_write_t *request, int status)
{
	struct giver *giver = (struct giver *)request->handle;

	if (status < 0)
		shut(&giver->connection);
	else
		source_go_on(giver);
}

/* Takes the next request from the partial frame. 0: there is none. */
static int take_request(struct giver *giver)
{
	struct connection *c = &giver->connection;
	char *cr, *end;
	size_t used;

	if (c->partial_length == 0)
		return 0;
	cr = find_crlf(c->partial, 0, c->partial_length);
	if (cr == NULL) {
		if (c->partial_length > LONGEST_LINE)
			shut(c);
		return 0;
	}
	*cr = '\0';
	if (strncmp(c->partial, "GIVE ", 5) != 0 || c->partial[5] < '0' || c->partial[5] > '9') {
		shut(c);
		return 0;
	}
	giver->left = strtoull(c->partial + 5, &end, 10);
	if (end != cr) {
		shut(c);
		return 0;
	}
	used = cr + 2 - c->partial;
	memmove(c->partial, c->partial + used, c->partial_length - used);
	c->partial_length -= used;
	return 1;
}

/* Queues the next block; the one after it follows once that is written, and requests wait behind `partial`. */
static void source_go_on(struct giver *giver)
{
	struct connection *c = &giver->connection;
	uv_stream_t *stream = (uv_stream_t *)&c->tcp;
	size_t length;
	uv_buf_t buf;

	while (giver->left == 0) {
		if (!take_request(giver)) {
			if (uv_is_closing((uv_handle_t *)stream))
				return;
			if (c->ended)
				shut(c);
			else
				uv_read_start(stream, alloc_for_mode, on_read);
			return;
		}
	}
	length = giver->left < BLOCK_SIZE ? giver->left : BLOCK_SIZE;
	giver->left -= length;
	buf = uv_buf_init(block, length);
	uv_read_stop(stream);
	if (uv_write(&giver->request, stream, &buf, 1, on_block_written) != 0)
		shut(c);
}

static void source_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct connection *c = (struct connection *)stream;

	if (n == UV_EOF) {
		c->ended = 1;
		uv_read_stop(stream);
	} else if (failed(c, n)) {
		return;
	} else {
		char *grown = realloc(c->partial, c->partial_length + n);
		if (grown == NULL)
			abort();
		c->partial = grown;
		memcpy(grown + c->partial_length, buf->base, n);
		c->partial_length += n;
	}
	source_go_on((struct giver *)c);
}

/* ---- accepting ------------------------------------------------------------------------------------------------- */

static struct connection *accept_one(uv_stream_t *listener)
{
	struct connection *c = calloc(1, connection_size);

	if (c == NULL)
		abort();
	uv_tcp_init(&loop, &c->tcp);
	if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0) {
		shut(c);
		return NULL;
	}
	return c;
}

static void on_stream(uv_stream_t *listener, int status)
{
	struct connection *c;

	if (status < 0) {
		fprintf(stderr, "accept: %s\n", uv_strerror(status));
		return;
	}
	if ((c = accept_one(listener)) != NULL)
		uv_read_start((uv_stream_t *)&c->tcp, alloc_for_mode, on_read);
}

static void on_time_stream(uv_stream_t *listener, int status)
{
	struct connection *c;
	uint32_t now = htonl((uint32_t)time(NULL) + EPOCH_1900);
	uv_buf_t buf = uv_buf_init((char *)&now, sizeof now);

	if (status < 0) {
		fprintf(stderr, "accept: %s\n", uv_strerror(status));
		return;
	}
	if ((c = accept_one(listener)) != NULL) {
		uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
		shut(c);
	}
}

/* ---- main ------------------------------------------------------------------------------------------------------ */

static void on_terminate(uv_signal_t *handle, int signal)
{
	(void)handle;
	(void)signal;
	uv_stop(&loop);
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void check(const char *what, int status)
{
	if (status < 0) {
		fprintf(stderr, "%s: %s\n", what, uv_strerror(status));
		exit(1);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uv_alloc_cb alloc;
		uv_read_cb read;
		uv_connection_cb accepted;
	} modes[] = {
		{"echo", on_alloc, echo_read, on_stream},
		{"lines", on_alloc_framed, lines_read, on_stream},
		{"sink", on_alloc, sink_read, on_stream},
		{"source", on_alloc, source_read, on_stream},
		{"time", NULL, NULL, on_time_stream},
		{"http", on_alloc_framed, http_read, on_stream},
	};
	uv_connection_cb accepted = NULL;

	if (argc != 3 && argc != 4) {
		fprintf(stderr, "usage: libuv MODE PORT\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		if (strcmp(argv[1], modes[i].name) == 0) {
			alloc_for_mode = modes[i].alloc;
			on_read = modes[i].read;
			accepted = modes[i].accepted;
		}
	}
	if (accepted == NULL) {
		fprintf(stderr, "mode not supported\n");
		return 2;
	}

	if (on_read == source_read)
		connection_size = sizeof(struct giver);
	raise_descriptor_limit();
	signal(SIGPIPE, SIG_IGN);
	for (size_t j = 0; j < BLOCK_SIZE; j++)
		block[j] = (char)(j % 251);
	check("loop", uv_loop_init(&loop));

	uv_tcp_t listener;
	struct sockaddr_in address;
	uv_ip4_addr("127.0.0.1", atoi(argv[2]), &address);
	check("init", uv_tcp_init(&loop, &listener));
	check("bind", uv_tcp_bind(&listener, (struct sockaddr *)&address, 0));
	check("nodelay", uv_tcp_nodelay(&listener, 1));
	check("listen", uv_listen((uv_stream_t *)&listener, 4096, accepted));

	uv_signal_t terminate;
	uv_signal_init(&loop, &terminate);
	uv_signal_start(&terminate, on_terminate, SIGTERM);
	puts("ready");
	fflush(stdout);
	uv_run(&loop, UV_RUN_DEFAULT);
	return 0;
}

/* The peer on libevent 2.1: bufferevents and evbuffers, evhttp for `http`.
 *
 * cc -O2 -o libevent libevent.c -levent
 * usage: libevent MODE PORT
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_SIZE (512 * 1024)
/* Above this much unsent output a connection reads nothing until all of it is gone. */
#define HELD_UP (256 * 1024)
#define LONGEST_LINE (64 * 1024)
#define EPOCH_1900 2208988800u

static unsigned char block[BLOCK_SIZE];

/* ---- what every bufferevent mode shares ------------------------------------------------------------------------ */

static void resume_when_written(struct bufferevent *bev, void *arg)
{
	(void)arg;
	if (!(bufferevent_get_enabled(bev) & EV_READ))
		bufferevent_enable(bev, EV_READ);
}

static void hold_reading_if_held_up(struct bufferevent *bev)
{
	if (evbuffer_get_length(bufferevent_get_output(bev)) > HELD_UP)
		bufferevent_disable(bev, EV_READ);
}

static void free_when_written(struct bufferevent *bev, void *arg)
{
	(void)arg;
	bufferevent_free(bev);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)arg;
	if ((what & BEV_EVENT_EOF) && (what & BEV_EVENT_READING) &&
	    evbuffer_get_length(bufferevent_get_output(bev)) > 0) {
		bufferevent_disable(bev, EV_READ);
		bufferevent_setcb(bev, NULL, free_when_written, on_event, NULL);
		return;
	}
	bufferevent_free(bev);
}

/* ---- echo ------------------------------------------------------------------------------------------------------ */

static void echo_read(struct bufferevent *bev, void *arg)
{
	(void)arg;
	evbuffer_add_buffer(bufferevent_get_output(bev), bufferevent_get_input(bev));
	hold_reading_if_held_up(bev);
}

/* ---- lines ----------------------------------------------------------------------------------------------------- */

static void lines_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(bev);
	struct evbuffer *output = bufferevent_get_output(bev);
	size_t length;
	char *line;

	(void)arg;
	while ((line = evbuffer_readln(input, &length, EVBUFFER_EOL_CRLF_STRICT)) != NULL) {
		evbuffer_add(output, line, length);
		evbuffer_add(output, "\r\n", 2);
		free(line);
	}
	if (evbuffer_get_length(input) > LONGEST_LINE) {
		bufferevent_free(bev);
		return;
	}
	hold_reading_if_held_up(bev);
}

/* ---- sink ------------------------------------------------------------------------------------------------------ */

static void sink_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(bev);

	(void)arg;
	evbuffer_drain(input, evbuffer_get_length(input));
}

/* ---- source ---------------------------------------------------------------------------------------------------- */

struct source {
	uint64_t left;
	int ended;
};

static void source_free(struct bufferevent *bev, struct source *source)
{
	bufferevent_free(bev);
	free(source);
}

/* One block at a time goes to the output: the next when that one is written. Requests wait in the input. */
static void source_go_on(struct bufferevent *bev, void *arg)
{
	struct source *source = arg;
	struct evbuffer *output = bufferevent_get_output(bev);

	if (evbuffer_get_length(output) > 0)
		return;
	while (source->left == 0) {
		size_t length;
		char *line = evbuffer_readln(bufferevent_get_input(bev), &length, EVBUFFER_EOL_CRLF_STRICT);
		char *end;
		int good;

		if (line == NULL) {
			if (source->ended || evbuffer_get_length(bufferevent_get_input(bev)) > LONGEST_LINE)
				source_free(bev, source);
			return;
		}
		good = strncmp(line, "GIVE ", 5) == 0 && line[5] >= '0' && line[5] <= '9';
		if (good) {
			source->left = strtoull(line + 5, &end, 10);
			good = *end == '\0';
		}
		free(line);
		if (!good) {
			source_free(bev, source);
			return;
		}
	}
	size_t n = source->left < BLOCK_SIZE ? source->left : BLOCK_SIZE;
	source->left -= n;
	evbuffer_add_reference(output, block, n, NULL, NULL);
}

static void source_event(struct bufferevent *bev, short what, void *arg)
{
	struct source *source = arg;

	if ((what & BEV_EVENT_EOF) && (what & BEV_EVENT_READING)) {
		source->ended = 1;
		source_go_on(bev, source);
		return;
	}
	source_free(bev, source);
}

/* ---- accepting ------------------------------------------------------------------------------------------------- */

struct mode {
	const char *name;
	bufferevent_data_cb read;
};

static void on_stream(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int length,
		      void *arg)
{
	const struct mode *mode = arg;
	struct bufferevent *bev =
		bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);

	(void)address;
	(void)length;
	if (bev == NULL) {
		close(fd);
		return;
	}
	bufferevent_set_max_single_read(bev, 64 * 1024);
	bufferevent_set_max_single_write(bev, BLOCK_SIZE);
	bufferevent_setcb(bev, mode->read, resume_when_written, on_event, NULL);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static void on_source_stream(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
			     int length, void *arg)
{
	struct bufferevent *bev =
		bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);
	struct source *source = calloc(1, sizeof *source);

	(void)address;
	(void)length;
	(void)arg;
	if (bev == NULL || source == NULL)
		abort();
	bufferevent_set_max_single_write(bev, BLOCK_SIZE);
	bufferevent_setcb(bev, source_go_on, source_go_on, source_event, source);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static void on_time_stream(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int length,
			   void *arg)
{
	uint32_t now = htonl((uint32_t)time(NULL) + EPOCH_1900);

	(void)listener;
	(void)address;
	(void)length;
	(void)arg;
	/* A new socket's send buffer takes four bytes; a bufferevent would only add an event. */
	if (send(fd, &now, sizeof now, MSG_NOSIGNAL) < 0)
		perror("send");
	close(fd);
}

/* ---- http ------------------------------------------------------------------------------------------------------ */

static void on_request(struct evhttp_request *request, void *arg)
{
	(void)arg;
	evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "text/plain");
	evbuffer_add_reference(evhttp_request_get_output_buffer(request), "Hello, world!", 13, NULL, NULL);
	evhttp_send_reply(request, 200, "OK", NULL);
}

/* ---- main ------------------------------------------------------------------------------------------------------ */

static void on_terminate(evutil_socket_t signal, short what, void *arg)
{
	(void)signal;
	(void)what;
	event_base_loopbreak(arg);
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	static const struct mode modes[] = {
		{"echo", echo_read},
		{"lines", lines_read},
		{"sink", sink_read},
	};
	const struct mode *mode = NULL;
	evconnlistener_cb accepted = on_stream;
	int http = 0;

	if (argc != 3 && argc != 4) {
		fprintf(stderr, "usage: libevent MODE PORT\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		if (strcmp(argv[1], modes[i].name) == 0)
			mode = &modes[i];
	if (strcmp(argv[1], "source") == 0) {
		accepted = on_source_stream;
	} else if (strcmp(argv[1], "time") == 0) {
		accepted = on_time_stream;
	} else if (strcmp(argv[1], "http") == 0) {
		http = 1;
	} else if (mode == NULL) {
		fprintf(stderr, "mode not supported\n");
		return 2;
	}

	raise_descriptor_limit();
	signal(SIGPIPE, SIG_IGN);
	for (size_t j = 0; j < BLOCK_SIZE; j++)
		block[j] = j % 251;

	/* The changelist saves the epoll_ctl of interest that comes and goes within one turn. */
	struct event_config *config = event_config_new();
	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	struct event_base *base = event_base_new_with_config(config);
	event_config_free(config);
	if (base == NULL) {
		fprintf(stderr, "no event base\n");
		return 1;
	}

	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(argv[2])),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct evconnlistener *listener = evconnlistener_new_bind(
		base, http ? NULL : accepted, (void *)mode, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 4096,
		(struct sockaddr *)&address, sizeof address);
	if (listener == NULL) {
		perror("listen");
		return 1;
	}
	int on = 1;
	setsockopt(evconnlistener_get_fd(listener), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (http) {
		struct evhttp *server = evhttp_new(base);
		evhttp_set_allowed_methods(server, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
		evhttp_set_timeout(server, 3600);
		evhttp_set_gencb(server, on_request, NULL);
		evhttp_bind_listener(server, listener);
	}

	struct event *terminate = evsignal_new(base, SIGTERM, on_terminate, base);
	event_add(terminate, NULL);
	puts("ready");
	fflush(stdout);
	return event_base_dispatch(base) < 0;
}

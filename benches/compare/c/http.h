/* What the servers by hand on a library do alike in the mode `http`. */
#include <string.h>
#include <strings.h>
#include <time.h>

static const char *http_date(void)
{
	static char text[40];
	static time_t formatted;
	time_t now = time(NULL);

	if (now != formatted) {
		struct tm utc;
		gmtime_r(&now, &utc);
		strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc);
		formatted = now;
	}
	return text;
}

/* Whether one of the header lines is `Connection: close`. */
static int wants_close(char *head, size_t length)
{
	static const char name[] = "connection:";
	char *end = head + length, *line = head, *eol;

	while ((eol = memchr(line, '\n', end - line)) != NULL) {
		line = eol + 1;
		if ((size_t)(end - line) > sizeof name && (*line | 0x20) == 'c' &&
		    strncasecmp(line, name, sizeof name - 1) == 0) {
			char *value = line + sizeof name - 1;
			while (value < end && (*value == ' ' || *value == '\t'))
				value++;
			return end - value >= 5 && strncasecmp(value, "close", 5) == 0;
		}
	}
	return 0;
}

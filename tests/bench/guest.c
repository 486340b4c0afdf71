/* guest: what runs inside while a start or a restart is timed. What it does depends on the name it is called by.
 *
 *   mark   writes "NANOSECONDS HOSTNAME PID" to ./mark, then sleeps for good
 *   once   the same, then ends
 *   spin N keeps N processes busy
 *
 * The clock is CLOCK_REALTIME: the only one that no namespace shifts. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void mark(void)
{
	struct timespec now;
	char host[65] = "-", line[160];
	clock_gettime(CLOCK_REALTIME, &now);
	gethostname(host, sizeof host - 1);
	int length = snprintf(line, sizeof line, "%lld %s %d\n", now.tv_sec * 1000000000LL + now.tv_nsec, host,
			      (int)getpid());
	int fd = open("mark", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0 || write(fd, line, length) != length)
		_exit(1);
	close(fd);
}

int main(int count, char **words)
{
	const char *slash = strrchr(words[0], '/');
	const char *name = slash ? slash + 1 : words[0];
	if (strcmp(name, "spin") == 0) {
		for (int n = count > 1 ? atoi(words[1]) : 1; n > 1; n--)
			if (fork() == 0)
				break;
		for (volatile unsigned long turns = 0;; turns++)
			;
	}
	mark();
	while (strcmp(name, "once") != 0)
		pause();
	return 0;
}

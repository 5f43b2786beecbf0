/* The floor: what receiving costs at least, on any client in any language.

   It asks the server for messages on the socket that is its standard input, reads as
   many bytes as its argument says, and looks at none of them. It prints the seconds of
   its CPU, the kernel's on its behalf included, and those that passed. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char buffer[256 * 1024];

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char **argv) {
    /* A text frame that says "go", masked with zeros. */
    static const char go[] = {(char)0x81, (char)0x82, 0, 0, 0, 0, 'g', 'o'};
    long long left = argc > 1 ? atoll(argv[1]) : 0;
    /* The first touch of a page is work too, but not that of receiving. */
    memset(buffer, 1, sizeof buffer);
    double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), wall = seconds(CLOCK_MONOTONIC);
    if (write(0, go, sizeof go) != (ssize_t)sizeof go) {
        perror("write");
        return 1;
    }
    while (left > 0) {
        ssize_t got = read(0, buffer, sizeof buffer);
        if (got <= 0) {
            fprintf(stderr, "%lld bytes are missing\n", left);
            return 1;
        }
        left -= got;
    }
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = seconds(CLOCK_MONOTONIC) - wall;
    printf("{\"cpu\": %.9f, \"wall\": %.9f}\n", cpu, wall);
    return 0;
}

/* The stand's client: sends one request over and over on many connections, and reads the clock.
 *
 * Usage: load PORT REQUEST_FILE CONNECTIONS seconds|each|total AMOUNT RAMP_MS
 *
 * Each connection has one request under way and sends the next when the answer has ended: for AMOUNT
 * seconds, AMOUNT times on each, or AMOUNT times on all together. It then waits for what is under
 * way, so that every request that somebody paid for is counted. Connections begin one after another
 * over RAMP_MS. The request's first run of twelve @ becomes a number that no other request has.
 *
 * Prints one line of JSON. Times are in microseconds; `first` is from the request to the first event,
 * `delay` from an event's own time of sending (see upstream.c) to its arrival here; -1 is none.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES_MAX 16384
#define READ_BYTES 65536
#define TAIL_BYTES 32
#define SAMPLES_MAX 4000000
#define READY_MAX 512
#define PATIENCE_US 40000000L
#define ERRORS_MAX 200

enum part { HEAD, WHOLE, SIZE, CHUNK, CHUNK_END, LAST_LINE, TO_CLOSE };

struct connection {
    int fd, busy, closes, failed;
    enum part part;
    long left, sent_us, done, events;
    size_t head_have, line_have, tail_have;
    char head[HEAD_BYTES_MAX], line[32], tail[TAIL_BYTES];
};

struct samples {
    unsigned *us;
    long count;
};

static int poller, port;
static char *request, *number_at;
static size_t request_bytes;
static struct samples whole, first, delay;
static long answered, errors, redials, events, number, started, under_way;
static char first_error[201];
static const char *how;
static double amount;
static long began_us;

static long now_us(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000L + time.tv_nsec / 1000;
}

static void keep(struct samples *to, long us) {
    if (to->count < SAMPLES_MAX) to->us[to->count++] = us < 0 ? 0 : us;
}

static int ascending(const void *a, const void *b) {
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return (x > y) - (x < y);
}

static long quantile(struct samples *of, double part) {
    return of->count ? (long)of->us[(long)(part * (of->count - 1))] : -1;
}

static void dial(struct connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (void *)&address, sizeof address)) { perror("load: connect"); exit(1); }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

static void ask(struct connection *c) {
    if (number_at) {
        char digits[24];
        snprintf(digits, sizeof digits, "%012ld", number++ % 1000000000000L);
        memcpy(number_at, digits, 12);
    }
    c->part = HEAD;
    c->head_have = c->line_have = c->tail_have = 0;
    c->closes = c->failed = 0;
    c->events = 0;
    c->sent_us = now_us();
    if (!c->busy) under_way++;
    c->busy = 1;
    if (send(c->fd, request, request_bytes, MSG_NOSIGNAL) < 0) {} /* reading will tell */
}

static int goes_on(struct connection *c) {
    if (errors > ERRORS_MAX) return 0;
    if (*how == 's') return now_us() - began_us < amount * 1e6;
    if (*how == 't') return started < (long)amount;
    return c->done < (long)amount;
}

static void next(struct connection *c) {
    c->busy = 0;
    under_way--;
    if (!goes_on(c)) { close(c->fd); c->fd = -1; return; }
    if (c->closes) { close(c->fd); dial(c); }
    started++;
    ask(c);
}

static void fail(struct connection *c, const char *why) {
    if (!errors++) snprintf(first_error, sizeof first_error, "%.200s", why);
    c->closes = 1;
    c->done++;
    next(c);
}

static void end_answer(struct connection *c) {
    if (c->failed) { fail(c, c->head); return; }
    keep(&whole, now_us() - c->sent_us);
    answered++;
    c->done++;
    next(c);
}

/* Times in these bytes of the body. One may be cut in two, so the last bytes are looked at again. */
static void look(struct connection *c, const char *bytes, size_t count, long now) {
    char both[TAIL_BYTES + READ_BYTES];
    memcpy(both, c->tail, c->tail_have);
    memcpy(both + c->tail_have, bytes, count);
    const char *at = both, *end = both + c->tail_have + count, *seen = both;
    while ((at = memmem(at, end - at, "t=0", 3)) && at + 18 <= end) {
        keep(&delay, now - strtol(at + 2, NULL, 10));
        if (!c->events++) keep(&first, now - c->sent_us);
        events++;
        at += 18;
        seen = at;
    }
    c->tail_have = end - seen < TAIL_BYTES ? end - seen : TAIL_BYTES - 1;
    memcpy(c->tail, end - c->tail_have, c->tail_have);
}

/* The head, once it is whole: returns how many of these bytes belong to it. */
static size_t take_head(struct connection *c, const char *bytes, size_t count) {
    size_t before = c->head_have, room = HEAD_BYTES_MAX - 1 - before;
    size_t taken = count < room ? count : room;
    memcpy(c->head + before, bytes, taken);
    c->head_have += taken;
    c->head[c->head_have] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) return taken;
    c->failed = strncmp(c->head + 9, "200", 3) != 0; /* its body stays in the head, to be shown */
    size_t used = end + 4 - c->head - before;
    *end = 0;
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    c->closes = strcasestr(c->head, "\r\nconnection: close") != NULL;
    if (strcasestr(c->head, "\r\ntransfer-encoding: chunked")) c->part = SIZE;
    else if (length) { c->part = WHOLE; c->left = atol(length + 17); }
    else c->part = TO_CLOSE;
    if (c->failed) *end = '\r';
    return used;
}

/* A line of the chunked coding: a size, the empty line after a chunk, or the last one. */
static int take_line(struct connection *c, char byte) {
    if (byte != '\n') {
        if (byte != '\r' && c->line_have < sizeof c->line - 1) c->line[c->line_have++] = byte;
        return 0;
    }
    c->line[c->line_have] = 0;
    int empty = !c->line_have;
    c->line_have = 0;
    if (c->part == SIZE) {
        c->left = strtol(c->line, NULL, 16);
        c->part = c->left ? CHUNK : LAST_LINE;
    } else if (c->part == CHUNK_END) c->part = SIZE;
    else return empty;
    return 0;
}

/* Everything that one read brought; an answer never shares a read with the next one. */
static void take(struct connection *c, const char *bytes, size_t count, long now) {
    while (count) {
        size_t used = 1;
        if (c->part == HEAD) {
            used = take_head(c, bytes, count);
            if (c->part == WHOLE && !c->left) { end_answer(c); return; }
        } else if (c->part == SIZE || c->part == CHUNK_END || c->part == LAST_LINE) {
            if (take_line(c, *bytes)) { end_answer(c); return; }
        } else {
            used = c->part != TO_CLOSE && (size_t)c->left < count ? (size_t)c->left : count;
            look(c, bytes, used, now);
            c->left -= used;
            if (c->part == WHOLE && !c->left) { end_answer(c); return; }
            if (c->part == CHUNK && !c->left) c->part = CHUNK_END;
        }
        bytes += used;
        count -= used;
    }
}

static void take_ready(struct connection *c) {
    static char bytes[READ_BYTES];
    ssize_t got = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got > 0) { take(c, bytes, got, now_us()); return; }
    if (c->part == TO_CLOSE) { c->closes = 1; end_answer(c); return; }
    if (c->part == HEAD && !c->head_have && c->done) { /* it was closed while idle: no fault */
        redials++;
        close(c->fd);
        dial(c);
        ask(c);
        return;
    }
    fail(c, "the connection was closed before the answer had ended");
}

static void read_request(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) { perror(path); exit(1); }
    request = calloc(1, READ_BYTES);
    request_bytes = fread(request, 1, READ_BYTES - 1, file);
    fclose(file);
    number_at = strstr(request, "@@@@@@@@@@@@");
    number = now_us();
}

static void report(int unfinished) {
    struct samples *all[] = {&whole, &first, &delay};
    struct rusage use;
    for (int at = 0; at < 3; at++) qsort(all[at]->us, all[at]->count, sizeof(unsigned), ascending);
    getrusage(RUSAGE_SELF, &use);
    for (char *at = first_error; *at; at++) if (*at < ' ' || *at == '"' || *at == '\\') *at = ' ';
    printf("{\"answered\":%ld,\"errors\":%ld,\"unfinished\":%d,\"redials\":%ld,\"events\":%ld,"
           "\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"whole_p50\":%ld,\"whole_p99\":%ld,"
           "\"first_p50\":%ld,\"first_p99\":%ld,\"delay_p50\":%ld,\"delay_p99\":%ld,"
           "\"first_error\":\"%s\"}\n",
           answered, errors, unfinished, redials, events, (now_us() - began_us) / 1e6,
           use.ru_utime.tv_sec + use.ru_stime.tv_sec +
               (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6,
           quantile(&whole, .5), quantile(&whole, .99), quantile(&first, .5), quantile(&first, .99),
           quantile(&delay, .5), quantile(&delay, .99), first_error);
}

int main(int count, char **arguments) {
    struct epoll_event ready[READY_MAX];
    if (count != 7) { fprintf(stderr, "load: six arguments\n"); return 2; }
    port = atoi(arguments[1]);
    read_request(arguments[2]);
    int wanted = atoi(arguments[3]), begun = 0;
    how = arguments[4];
    amount = atof(arguments[5]);
    long ramp_us = atol(arguments[6]) * 1000L;
    struct connection *all = calloc(wanted, sizeof *all);
    whole.us = malloc(SAMPLES_MAX * sizeof(unsigned));
    first.us = malloc(SAMPLES_MAX * sizeof(unsigned));
    delay.us = malloc(SAMPLES_MAX * sizeof(unsigned));
    poller = epoll_create1(0);
    began_us = now_us();
    long give_up_us = began_us + (*how == 's' ? (long)(amount * 1e6) : 0) + ramp_us + PATIENCE_US;
    while (begun < wanted || under_way) {
        long now = now_us();
        if (now > give_up_us) break;
        for (; begun < wanted && now >= began_us + ramp_us * begun / wanted; begun++) {
            dial(&all[begun]);
            if (goes_on(&all[begun])) { started++; ask(&all[begun]); }
        }
        int found = epoll_wait(poller, ready, READY_MAX, begun < wanted ? 1 : 100);
        for (int at = 0; at < found; at++) take_ready(ready[at].data.ptr);
    }
    report(under_way);
    return 0;
}

/* The stand's upstream: an OpenAI-compatible server whose answers cost next to nothing.
 *
 * Usage: upstream PORT...      One thread serves all ports; it ends with its standard input.
 *
 * What to do is said in the prompt, because prompts pass every proxy unchanged:
 *   stand:paced:N   N events, one each 10 ms, the first 10 ms after the head
 *   stand:burst:N   N events in one write
 *   stand:silent    no answer at all, until the client has gone
 * and anything else is answered at once: in one piece of 1 KB, or as a burst of 64 events.
 *
 * Each event says when it was sent, as t= and 16 digits: microseconds of the monotonic clock, which
 * all processes of a machine share. `GET /stand/counts` tells what reached the upstream; a connection
 * counts from its first POST, so that probes and pools that only dialled are not taken for use.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_US 10000
#define IN_BYTES_MAX (1 << 20)
#define EVENT_BYTES_MAX 512
#define EVENTS_MAX 4096
#define READY_MAX 512

enum work { IDLE, PACED, SILENT };

struct connection {
    int fd, listens, used, wants_usage;
    enum work work;
    char *in, *out;
    size_t in_have, in_room, out_have;
    long index, events, due_us;
    struct connection *before, *after; /* in the line of paced streams */
};

static int poller;
static struct connection *first_due, *last_due; /* in the order of due_us: all have one period */
static long requests, connections, open_now, abandoned, abandoned_us;
static char whole_answer[4096];
static const char *MODELS =
    "{\"object\":\"list\",\"data\":[{\"id\":\"stand\",\"object\":\"model\",\"created\":1700000000,"
    "\"owned_by\":\"stand\",\"root\":\"stand\",\"max_model_len\":4096}]}";
static const char *ABOUT =
    "{\"model_id\":\"stand\",\"model_path\":\"stand\",\"served_model_name\":\"stand\","
    "\"tokenizer_path\":\"stand\",\"is_generation\":true,\"dp_size\":1,\"tp_size\":1}";
static const char *STREAM_HEAD =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    "transfer-encoding: chunked\r\n\r\n";

static long now_us(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000L + time.tv_nsec / 1000;
}

static void watch(struct connection *c, int how, unsigned events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    epoll_ctl(poller, how, c->fd, &event);
}

/* Send now what the socket takes and keep the rest until it takes more. */
static void give(struct connection *c, const char *bytes, size_t count) {
    ssize_t sent = 0;
    if (!c->out_have) {
        sent = send(c->fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) sent = 0; /* full, or gone: reading will tell */
        if ((size_t)sent == count) return;
        watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    }
    c->out = realloc(c->out, c->out_have + count - sent);
    memcpy(c->out + c->out_have, bytes + sent, count - sent);
    c->out_have += count - sent;
}

static void give_rest(struct connection *c) {
    ssize_t sent = send(c->fd, c->out, c->out_have, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent <= 0) return;
    c->out_have -= sent;
    memmove(c->out, c->out + sent, c->out_have);
    if (!c->out_have) watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

static void give_json(struct connection *c, const char *json) {
    char answer[4096];
    int length = snprintf(answer, sizeof answer,
                          "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                          "content-length: %zu\r\n\r\n%s", strlen(json), json);
    give(c, answer, length);
}

/* One server-sent event as one chunk of the transfer coding. */
static int put_event(char *to, const char *format, ...) {
    char data[EVENT_BYTES_MAX];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(data, sizeof data, format, values);
    va_end(values);
    return sprintf(to, "%x\r\ndata: %s\n\n\r\n", length + 8, data);
}

#define EVENT_START "{\"id\":\"chatcmpl-stand\",\"object\":\"chat.completion.chunk\"," \
                    "\"created\":1700000000,\"model\":\"stand\",\"choices\":["

static int put_piece(char *to, long index) {
    return put_event(to, EVENT_START "{\"index\":0,\"delta\":{%s\"content\":\"t=%016ld \"},"
                     "\"finish_reason\":null}]}", index ? "" : "\"role\":\"assistant\",", now_us());
}

static int put_end(char *to, struct connection *c) {
    int at = put_event(to, EVENT_START "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}");
    if (c->wants_usage)
        at += put_event(to + at, EVENT_START "],\"usage\":{\"prompt_tokens\":100,"
                        "\"completion_tokens\":%ld,\"total_tokens\":%ld}}", c->events, c->events + 100);
    at += put_event(to + at, "[DONE]");
    return at + sprintf(to + at, "0\r\n\r\n");
}

static void line_up(struct connection *c) {
    c->before = last_due;
    c->after = NULL;
    if (last_due) last_due->after = c; else first_due = c;
    last_due = c;
}

static void step_out(struct connection *c) {
    if (c->before) c->before->after = c->after; else first_due = c->after;
    if (c->after) c->after->before = c->before; else last_due = c->before;
}

static void burst(struct connection *c) {
    static char bytes[(EVENTS_MAX + 4) * EVENT_BYTES_MAX];
    int at = sprintf(bytes, "%s", STREAM_HEAD);
    for (long index = 0; index < c->events; index++) at += put_piece(bytes + at, index);
    at += put_end(bytes + at, c);
    give(c, bytes, at);
}

static long number_after(const char *body, const char *word) {
    const char *found = strstr(body, word);
    long number = found ? atol(found + strlen(word)) : 0;
    return number > EVENTS_MAX ? EVENTS_MAX : number;
}

static int says_true(const char *body, const char *name) {
    const char *found = strstr(body, name);
    if (!found) return 0;
    for (found += strlen(name); *found == ' ' || *found == ':'; found++) {}
    return *found == 't';
}

static void answer_post(struct connection *c, const char *body) {
    requests++;
    if (!c->used) { c->used = 1; connections++; }
    if (strstr(body, "stand:silent")) { c->work = SILENT; return; }
    if (!says_true(body, "\"stream\"")) { give(c, whole_answer, strlen(whole_answer)); return; }
    c->wants_usage = says_true(body, "\"include_usage\"");
    c->index = 0;
    c->events = number_after(body, "stand:paced:");
    if (c->events) {
        c->work = PACED;
        c->due_us = now_us() + PERIOD_US;
        line_up(c);
        give(c, STREAM_HEAD, strlen(STREAM_HEAD));
        return;
    }
    c->events = number_after(body, "stand:burst:");
    if (!c->events) c->events = 64;
    burst(c);
}

static void answer_get(struct connection *c, const char *path) {
    char counts[256];
    if (!strncmp(path, "/stand/counts", 13)) {
        snprintf(counts, sizeof counts, "{\"requests\":%ld,\"connections\":%ld,\"open\":%ld,"
                 "\"abandoned\":%ld,\"abandoned_us\":%ld}",
                 requests, connections, open_now, abandoned, abandoned_us);
        give_json(c, counts);
    } else if (!strncmp(path, "/v1/models", 10)) give_json(c, MODELS);
    else if (strstr(path, "_info")) give_json(c, ABOUT);
    else give_json(c, "{\"status\":\"ok\"}");
}

/* Answer the whole requests at the front of the buffer. Proxies don't pipeline, so a body in the
 * chunked coding ends where the buffer does. */
static void take_requests(struct connection *c) {
    while (c->work == IDLE && c->in_have) {
        c->in[c->in_have] = 0;
        char *head_end = strstr(c->in, "\r\n\r\n");
        if (!head_end) return;
        *head_end = 0;
        char *length = strcasestr(c->in, "\r\ncontent-length:");
        char *chunked = strcasestr(c->in, "\r\ntransfer-encoding: chunked");
        char *body = head_end + 4;
        size_t bytes = length ? strtoul(length + 17, NULL, 10) : 0;
        *head_end = '\r';
        if (chunked) {
            if (strcmp(c->in + c->in_have - 5, "0\r\n\r\n")) return;
            bytes = c->in + c->in_have - body;
        }
        if (c->in_have < (size_t)(body - c->in) + bytes) return;
        char kept = body[bytes];
        body[bytes] = 0;
        if (!strncmp(c->in, "POST ", 5)) answer_post(c, body);
        else {
            char *path = strchr(c->in, ' ');
            char *path_end = path ? strchr(path + 1, ' ') : NULL;
            if (path_end) *path_end = 0;
            answer_get(c, path ? path + 1 : "/");
        }
        body[bytes] = kept;
        c->in_have -= body + bytes - c->in;
        memmove(c->in, body + bytes, c->in_have);
    }
}

static void drop(struct connection *c) {
    if (c->work != IDLE) { abandoned++; abandoned_us = now_us(); }
    if (c->work == PACED) step_out(c);
    open_now--;
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}

static void take_connections(struct connection *listener) {
    for (int fd; (fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct connection *c = calloc(1, sizeof *c);
        c->fd = fd;
        c->in_room = 16384;
        c->in = malloc(c->in_room + 1);
        open_now++;
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void serve(struct connection *c, unsigned events) {
    if (events & EPOLLOUT) give_rest(c);
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    if (c->in_room - c->in_have < 4096 && c->in_room < IN_BYTES_MAX) {
        c->in_room *= 2;
        c->in = realloc(c->in, c->in_room + 1);
    }
    ssize_t got = recv(c->fd, c->in + c->in_have, c->in_room - c->in_have, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) { drop(c); return; }
    if (got > 0) { c->in_have += got; take_requests(c); }
}

static void send_due(void) {
    char bytes[8 * EVENT_BYTES_MAX];
    long now = now_us();
    for (struct connection *c; (c = first_due) && c->due_us <= now;) {
        step_out(c);
        int length = put_piece(bytes, c->index++);
        if (c->index < c->events) {
            /* The next is due a period later even when this one is late, but lateness never piles up. */
            c->due_us = c->due_us + PERIOD_US > now ? c->due_us + PERIOD_US : now + PERIOD_US;
            line_up(c);
        } else length += put_end(bytes + length, c);
        give(c, bytes, length);
        if (c->index == c->events) { c->work = IDLE; take_requests(c); }
    }
}

static void listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct connection *c = calloc(1, sizeof *c);
    int on = 1;
    c->listens = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(c->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(c->fd, (void *)&address, sizeof address) || listen(c->fd, 4096)) {
        perror("upstream");
        exit(1);
    }
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void make_whole_answer(void) {
    char words[701], json[1400];
    for (int at = 0; at < 700; at++) words[at] = at % 7 == 6 ? ' ' : 'a' + at * 7 % 26;
    words[700] = 0;
    snprintf(json, sizeof json,
             "{\"id\":\"chatcmpl-stand\",\"object\":\"chat.completion\",\"created\":1700000000,"
             "\"model\":\"stand\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
             "\"content\":\"%s\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":100,"
             "\"completion_tokens\":150,\"total_tokens\":250}}", words);
    snprintf(whole_answer, sizeof whole_answer, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
             "content-length: %zu\r\n\r\n%s", strlen(json), json);
}

int main(int count, char **arguments) {
    struct epoll_event ready[READY_MAX], input = {.events = EPOLLIN, .data.ptr = NULL};
    poller = epoll_create1(0);
    make_whole_answer();
    for (int at = 1; at < count; at++) listen_on(atoi(arguments[at]));
    epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &input);
    puts("{\"ready\": true}");
    fflush(stdout);
    for (;;) {
        int found = epoll_wait(poller, ready, READY_MAX, first_due ? 1 : -1);
        for (int at = 0; at < found; at++) {
            struct connection *c = ready[at].data.ptr;
            if (!c) return 0;
            if (c->listens) take_connections(c); else serve(c, ready[at].events);
        }
        send_due();
    }
}

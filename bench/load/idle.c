/* Opens COUNT kept-alive TLS connections with a client certificate, one request on each, and holds them.
 *
 *   idle PORT COUNT CERTIFICATE KEY PATH
 *
 * Says "open N" when all were tried; then, for every line on standard input, "alive N": how many the gateway has not
 * closed. Ends with standard input. While it is still opening, a connection that was silent for REFRESH_S gets one more
 * request, so that a gateway with an idle timeout of 10 s (uWebSockets.js) does not close the first ones too early. */

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREADS 16 /* handshakes under way at once: keeps the gateway's core busy, far below any backlog */
#define REFRESH_S 4
#define ANSWER_MAX 8192

struct connection {
  SSL *ssl;
  time_t used;
};

static int port;
static int count;
static SSL_CTX *ctx;
static struct connection *connections;
static char request[512];
static atomic_int opened;

static time_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec;
}

/* One request and its whole answer, which ends with the '}' of its JSON. */
static int exchange(struct connection *each) {
  char answer[ANSWER_MAX + 1];
  int have = 0;
  if (SSL_write(each->ssl, request, (int)strlen(request)) <= 0) return 0;
  while (have < ANSWER_MAX) {
    int got = SSL_read(each->ssl, answer + have, ANSWER_MAX - have);
    if (got <= 0) return 0;
    have += got;
    answer[have] = 0;
    if (strstr(answer, "\r\n\r\n") && answer[have - 1] == '}') {
      each->used = now();
      return strncmp(answer, "HTTP/1.1 200", 12) == 0;
    }
  }
  return 0;
}

static int open_one(struct connection *each) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) return 0;
  each->ssl = SSL_new(ctx);
  SSL_set_fd(each->ssl, fd);
  SSL_set_tlsext_host_name(each->ssl, "localhost");
  return SSL_connect(each->ssl) == 1 && exchange(each);
}

static void *open_share(void *start) {
  int first = (int)(size_t)start, oldest = first;
  for (int at = first; at < count; at += THREADS) {
    if (open_one(&connections[at])) atomic_fetch_add(&opened, 1);
    for (; oldest < at && now() - connections[oldest].used >= REFRESH_S; oldest += THREADS) exchange(&connections[oldest]);
    if (oldest >= at) oldest = first;
  }
  return NULL;
}

static int alive(void) {
  int living = 0;
  for (int at = 0; at < count; at++) {
    if (!connections[at].ssl) continue;
    struct pollfd one = {.fd = SSL_get_fd(connections[at].ssl), .events = POLLIN};
    /* Silence is life. Bytes nobody asked for are a close_notify, or an end. */
    if (poll(&one, 1, 0) == 0) living++;
  }
  return living;
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  signal(SIGPIPE, SIG_IGN);
  port = atoi(argv[1]);
  count = atoi(argv[2]);
  snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost:%d\r\nUser-Agent: bench\r\n\r\n", argv[5], port);
  connections = calloc((size_t)count, sizeof *connections);
  ctx = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
  if (SSL_CTX_use_certificate_chain_file(ctx, argv[3]) != 1 || SSL_CTX_use_PrivateKey_file(ctx, argv[4], SSL_FILETYPE_PEM) != 1) return 2;

  pthread_t threads[THREADS];
  for (size_t each = 0; each < THREADS; each++) pthread_create(&threads[each], NULL, open_share, (void *)each);
  for (int each = 0; each < THREADS; each++) pthread_join(threads[each], NULL);
  printf("open %d\n", atomic_load(&opened));
  fflush(stdout);
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    printf("alive %d\n", alive());
    fflush(stdout);
  }
  return 0;
}

/* Preloaded into wrk and h2load, which have no client certificates of their own: every SSL_CTX they make gets the
 * certificate and key that the environment names. With BENCH_FULL_HANDSHAKES a reused SSL object forgets its session, so that a new
 * connection is a full handshake. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

SSL_CTX *SSL_CTX_new(const SSL_METHOD *method) {
  SSL_CTX *(*real)(const SSL_METHOD *) = (SSL_CTX * (*)(const SSL_METHOD *)) dlsym(RTLD_NEXT, "SSL_CTX_new");
  SSL_CTX *ctx = real(method);
  const char *certificate = getenv("BENCH_CERTIFICATE");
  const char *key = getenv("BENCH_KEY");
  if (!ctx || !certificate || !key) return ctx;
  if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1 ||
      SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
    fprintf(stderr, "the client certificate could not be loaded\n");
    exit(1);
  }
  return ctx;
}

int SSL_clear(SSL *ssl) {
  int (*real)(SSL *) = (int (*)(SSL *))dlsym(RTLD_NEXT, "SSL_clear");
  int answer = real(ssl);
  if (getenv("BENCH_FULL_HANDSHAKES")) SSL_set_session(ssl, NULL);
  return answer;
}

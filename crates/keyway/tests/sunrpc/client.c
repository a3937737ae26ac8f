/*
 * A client in C, as one was written in 2005: stubs that rpcgen makes of docs/keyway_prot.x, over libtirpc. It drives both
 * versions of the program on one connection, and a hundred calls at once, and ends with 0 if everything was as it should be.
 *
 *   client ADDRESS PORT KEY SECRET_HASH VALUE_HASH     (the last three are 40 hex digits)
 *
 * KEY is a key without values. SECRET_HASH is the SHA-1 of "sesame", VALUE_HASH that of "removable".
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <rpc/rpc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keyway_prot.h"

#define CALLS 100

static void fail(const char *what)
{
    fprintf(stderr, "client.c: %s\n", what);
    exit(1);
}

static void check(int holds, const char *what)
{
    if (!holds)
        fail(what);
}

static void unhex(const char *digits, unsigned char bytes[20])
{
    for (int i = 0; i < 20; i++) {
        unsigned byte;
        check(sscanf(digits + 2 * i, "%2x", &byte) == 1, "an id is 40 hex digits");
        bytes[i] = (unsigned char)byte;
    }
}

static keyway_value value_of(char *text)
{
    keyway_value value = {.keyway_value_len = strlen(text), .keyway_value_val = text};
    return value;
}

static keyway_put2_args put2(const unsigned char *key, char *text)
{
    keyway_put2_args args = {.application = "client.c", .client_library = "rpcgen", .ttl_sec = 3600};
    memcpy(args.key, key, 20);
    args.value = value_of(text);
    return args;
}

static keyway_put3_args put3(const unsigned char *key, char *text, unsigned char *secret_hash)
{
    keyway_put3_args args = {.application = "client.c", .client_library = "rpcgen", .ttl_sec = 3600};
    memcpy(args.key, key, 20);
    args.value = value_of(text);
    args.secret_hash.algorithm = "SHA1";
    args.secret_hash.hash.hash_len = secret_hash ? 20 : 0;
    args.secret_hash.hash.hash_val = (char *)secret_hash;
    return args;
}

static keyway_get_args get(const unsigned char *key, int maxvals)
{
    keyway_get_args args = {.application = "client.c", .client_library = "rpcgen", .maxvals = maxvals};
    memcpy(args.key, key, 20);
    return args;
}

static int is(keyway_value value, const char *text)
{
    return value.keyway_value_len == strlen(text) && memcmp(value.keyway_value_val, text, strlen(text)) == 0;
}

/* Both versions through the stubs, by two handles on one socket. */
static void take_turns(struct sockaddr_in *gateway, const unsigned char *key, unsigned char *secret_hash,
                       unsigned char *value_hash)
{
    int sock = socket(AF_INET, SOCK_STREAM, 0);
    check(sock >= 0 && connect(sock, (struct sockaddr *)gateway, sizeof *gateway) == 0, "connect");
    CLIENT *two = clnttcp_create(gateway, KEYWAY_PROGRAM, KEYWAY_VERSION_2, &sock, 0, 0);
    CLIENT *three = clnttcp_create(gateway, KEYWAY_PROGRAM, KEYWAY_VERSION_3, &sock, 0, 0);
    check(two && three, "clnttcp_create");
    struct timeval patience = {25, 0};
    check(clnt_call(two, NULLPROC, (xdrproc_t)xdr_void, NULL, (xdrproc_t)xdr_void, NULL, patience) == RPC_SUCCESS,
          "procedure 0 of version 2");
    check(keyway2_null_2(two) != NULL, "null of version 2");
    check(keyway3_null_3(three) != NULL, "null of version 3");

    keyway_status *status = keyway2_put_2(put2(key, "plain"), two);
    check(status && *status == KEYWAY_OK, "put of version 2");
    status = keyway3_put_3(put3(key, "removable", secret_hash), three);
    check(status && *status == KEYWAY_OK, "put of version 3");
    status = keyway3_put_3(put3(key, "lasting", NULL), three);
    check(status && *status == KEYWAY_OK, "put of version 3 without a secret");

    keyway_get2_result *page2 = keyway2_get_2(get(key, 2), two);
    check(page2 && page2->values.values_len == 2, "get of version 2: two values");
    check(is(page2->values.values_val[0], "plain") && is(page2->values.values_val[1], "removable"), "put order");
    check(page2->placemark.keyway_placemark_len > 0, "there is more");
    keyway_get_args rest = get(key, 10);
    rest.placemark = page2->placemark;
    keyway_get3_result *page3 = keyway3_get_3(rest, three);
    check(page3 && page3->values.values_len == 1, "a placemark of version 2 holds in version 3");
    check(is(page3->values.values_val[0].value, "lasting"), "the third value");
    check(page3->placemark.keyway_placemark_len == 0, "there is no more");

    page3 = keyway3_get_3(get(key, 10), three);
    check(page3 && page3->values.values_len == 3, "get of version 3");
    keyway_found *found = &page3->values.values_val[1];
    check(found->ttl_sec_rem > 3500 && found->ttl_sec_rem <= 3600, "what is left of a life");
    check(found->secret_hash.hash.hash_len == 20 && !memcmp(found->secret_hash.hash.hash_val, secret_hash, 20),
          "the secret's hash");

    keyway_remove_args remove = {.application = "client.c", .client_library = "rpcgen", .ttl_sec = 3600};
    memcpy(remove.key, key, 20);
    remove.value_hash.algorithm = "SHA1";
    remove.value_hash.hash.hash_len = 20;
    remove.value_hash.hash.hash_val = (char *)value_hash;
    remove.secret_hash_algorithm = "SHA1";
    remove.secret.secret_val = "sesame";
    remove.secret.secret_len = 6;
    status = keyway3_remove_3(remove, three);
    check(status && *status == KEYWAY_OK, "remove");
    page2 = keyway2_get_2(get(key, 10), two);
    check(page2 && page2->values.values_len == 2 && is(page2->values.values_val[1], "lasting"), "it is gone");

    static char long_value[1025];
    memset(long_value, 'x', 1024);
    status = keyway2_put_2(put2(key, long_value), two);
    check(status && *status == KEYWAY_OK, "the longest value");
    clnt_destroy(two);
    clnt_destroy(three);
    close(sock);
}

/* A call, as a record at the end of a buffer. */
static u_int append(char *buffer, u_int room, u_int xid, u_int version, u_int procedure, xdrproc_t encode, void *args)
{
    XDR xdr;
    struct rpc_msg call = {.rm_xid = xid, .rm_direction = CALL};
    check(room > 4, "room");
    call.rm_call.cb_rpcvers = RPC_MSG_VERSION;
    call.rm_call.cb_prog = KEYWAY_PROGRAM;
    call.rm_call.cb_vers = version;
    call.rm_call.cb_proc = procedure;
    call.rm_call.cb_cred = _null_auth;
    call.rm_call.cb_verf = _null_auth;
    xdrmem_create(&xdr, buffer + 4, room - 4, XDR_ENCODE);
    check(xdr_callmsg(&xdr, &call) && encode(&xdr, args), "encode");
    u_int len = xdr_getpos(&xdr), mark = htonl(0x80000000u | len);
    memcpy(buffer, &mark, 4);
    return len + 4;
}

static void read_all(int sock, char *buffer, size_t len)
{
    while (len > 0) {
        ssize_t got = read(sock, buffer, len);
        check(got > 0, "the connection ended early");
        buffer += got;
        len -= (size_t)got;
    }
}

/* A hundred calls of both versions in one write; the replies may come in any order. */
static void all_at_once(struct sockaddr_in *gateway, const unsigned char *key)
{
    static char out[CALLS * 256], in[1 << 16];
    char texts[CALLS][16];
    u_int len = 0, seen[CALLS] = {0};
    for (u_int i = 0; i < CALLS; i++) {
        if (i % 4 < 2) {
            snprintf(texts[i], sizeof texts[i], "value %u", i);
            keyway_put2_args two = put2(key, texts[i]);
            keyway_put3_args three = put3(key, texts[i], NULL);
            len += i % 4 ? append(out + len, sizeof out - len, i, 3, KEYWAY3_PUT, (xdrproc_t)xdr_keyway_put3_args, &three)
                         : append(out + len, sizeof out - len, i, 2, KEYWAY2_PUT, (xdrproc_t)xdr_keyway_put2_args, &two);
        } else {
            keyway_get_args args = get(key, 10);
            len += append(out + len, sizeof out - len, i, i % 4, KEYWAY2_GET, (xdrproc_t)xdr_keyway_get_args, &args);
        }
    }
    int sock = socket(AF_INET, SOCK_STREAM, 0);
    check(sock >= 0 && connect(sock, (struct sockaddr *)gateway, sizeof *gateway) == 0, "connect");
    check(write(sock, out, len) == (ssize_t)len, "a hundred calls");
    for (int n = 0; n < CALLS; n++) {
        u_int mark;
        read_all(sock, (char *)&mark, 4);
        mark = ntohl(mark);
        check(mark >> 31 && (mark & 0x7fffffff) <= sizeof in, "a reply in one fragment");
        read_all(sock, in, mark & 0x7fffffff);
        keyway_status status = 9;
        keyway_get2_result page2 = {0};
        keyway_get3_result page3 = {0};
        u_int xid = ntohl(*(u_int *)in);
        check(xid < CALLS && !seen[xid]++, "each call has one reply");
        struct rpc_msg reply = {0};
        reply.acpted_rply.ar_verf = _null_auth;
        reply.acpted_rply.ar_results.where = xid % 4 < 2 ? (caddr_t)&status : xid % 4 == 2 ? (caddr_t)&page2 : (caddr_t)&page3;
        reply.acpted_rply.ar_results.proc = xid % 4 < 2    ? (xdrproc_t)xdr_keyway_status
                                            : xid % 4 == 2 ? (xdrproc_t)xdr_keyway_get2_result
                                                           : (xdrproc_t)xdr_keyway_get3_result;
        XDR xdr;
        xdrmem_create(&xdr, in, mark & 0x7fffffff, XDR_DECODE);
        check(xdr_replymsg(&xdr, &reply) && reply.rm_reply.rp_stat == MSG_ACCEPTED, "a reply");
        check(reply.acpted_rply.ar_stat == SUCCESS, "a call succeeds");
        check(xid % 4 >= 2 || status == KEYWAY_OK, "a put among a hundred calls");
    }
    close(sock);
}

int main(int argc, char **argv)
{
    struct sockaddr_in gateway = {.sin_family = AF_INET};
    unsigned char key[20], secret_hash[20], value_hash[20];
    check(argc == 6, "usage: client ADDRESS PORT KEY SECRET_HASH VALUE_HASH");
    check(inet_pton(AF_INET, argv[1], &gateway.sin_addr) == 1, "an address");
    gateway.sin_port = htons((unsigned short)atoi(argv[2]));
    unhex(argv[3], key);
    unhex(argv[4], secret_hash);
    unhex(argv[5], value_hash);
    take_turns(&gateway, key, secret_hash, value_hash);
    key[0] ^= 0xff;
    all_at_once(&gateway, key);
    puts("done");
    return 0;
}

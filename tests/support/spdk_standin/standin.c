/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/*
 * SPDK as far as the bindings use it, with drives that misbehave on request.  Variables of the environment say what there is:
 *   STANDIN_DRIVES   "0000:01:00.0/hang,0000:02:00.0": addresses, each with what is wrong with it
 *   STANDIN_INIT, STANDIN_VMD   what spdk_env_init and spdk_vmd_init return
 *   STANDIN_LOG      file to which calls are written
 * Each drive has namespace 1 of 2048 blocks of 512 bytes, and 3 of 256 blocks of 4096 + 8 bytes: 0xa5 at their beginning, then zeros.
 */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "standin.h"

enum { DRIVES = 32, PENDING = 8, MEDIUM = 8192 };

struct completion { spdk_nvme_cmd_cb call; void *context; int status; };
struct queue { struct completion waiting[PENDING]; int count; };
struct spdk_nvme_ns { uint32_t id, sector, extended; uint64_t blocks; unsigned char medium[MEDIUM]; struct spdk_nvme_ctrlr *owner; };
struct spdk_nvme_qpair { struct queue queue; int polls; struct spdk_nvme_ctrlr *owner; };
struct spdk_nvme_ctrlr {
    struct spdk_nvme_transport_id where;
    char wrong[32];
    struct queue admin;
    struct spdk_nvme_ns spaces[2];
    int detach_polls;
};
struct spdk_nvme_probe_ctx { spdk_nvme_attach_cb attach; spdk_nvme_attach_fail_cb fail; int polls; };
struct spdk_nvme_detach_ctx { int polls; };

static struct spdk_nvme_ctrlr drives[DRIVES];
static struct spdk_nvme_ctrlr *chosen[DRIVES];
static int chosen_count, registered;

void standin_register(void) { registered = 1; }

static void say(const char *format, ...)
{
    const char *path = getenv("STANDIN_LOG");
    FILE *file = path ? fopen(path, "a") : NULL;
    va_list arguments;
    if (!file)
        return;
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    fputc('\n', file);
    fclose(file);
}

static int number(const char *name) { return getenv(name) ? atoi(getenv(name)) : 0; }

static bool is(const struct spdk_nvme_ctrlr *drive, const char *wrong) { return strcmp(drive->wrong, wrong) == 0; }

void spdk_env_opts_init(struct spdk_env_opts *options)
{
    if (options->opts_size != sizeof(*options))
        abort();
    options->name = "unnamed";
    options->core_mask = "0x1";
    options->mem_size = -1;
}

int spdk_env_init(const struct spdk_env_opts *options)
{
    cpu_set_t pinned;
    size_t place;
    say("init name=%s lcores=%s mask=%s mem=%d pci=%d huge=%d", options->name, options->lcore_map,
        options->core_mask ? options->core_mask : "none", options->mem_size, !options->no_pci, !options->no_huge);
    say("context %s", (const char *)options->env_context);
    for (place = 0; place < options->num_pci_addr; place++) {
        const struct spdk_pci_addr *address = &options->pci_allowed[place];
        say("allowed %04x:%02x:%02x.%x", address->domain, address->bus, address->dev, address->func);
    }
    CPU_ZERO(&pinned);
    CPU_SET(atoi(strchr(options->lcore_map, '@') + 1), &pinned);
    sched_setaffinity(0, sizeof(pinned), &pinned);
    return registered ? number("STANDIN_INIT") : -ENODEV;
}

void spdk_log_set_print_level(enum spdk_log_level level) { say("log level %d", level); }
int spdk_vmd_init(void) { say("vmd"); return number("STANDIN_VMD"); }

void *spdk_zmalloc(size_t size, size_t align, uint64_t *unused, int node, uint32_t flags)
{
    (void)align, (void)unused, (void)node, (void)flags;
    return getenv("STANDIN_NO_MEMORY") ? NULL : calloc(1, size);
}

void spdk_free(void *memory) { free(memory); }

void spdk_nvme_trid_populate_transport(struct spdk_nvme_transport_id *where, enum spdk_nvme_transport_type type)
{
    where->trtype = type;
}

int spdk_nvme_transport_id_parse(struct spdk_nvme_transport_id *where, const char *text)
{
    if (strncmp(text, "trtype:TCP ", 11) != 0)
        return -EINVAL;
    where->trtype = SPDK_NVME_TRANSPORT_TCP;
    return 0;
}

static void fill(struct spdk_nvme_ctrlr *drive)
{
    static const uint32_t shapes[2][4] = {{1, 512, 512, 2048}, {3, 4096, 4104, 256}};
    int place;
    for (place = 0; place < 2; place++) {
        struct spdk_nvme_ns *space = &drive->spaces[place];
        *space = (struct spdk_nvme_ns){shapes[place][0], shapes[place][1], shapes[place][2], shapes[place][3], {0}, drive};
        memset(space->medium, 0xa5, MEDIUM);
    }
}

struct spdk_nvme_probe_ctx *spdk_nvme_probe_async_ext(const struct spdk_nvme_transport_id *where, void *context,
                                                      spdk_nvme_probe_cb probe, spdk_nvme_attach_cb attach,
                                                      spdk_nvme_attach_fail_cb fail, spdk_nvme_remove_cb remove)
{
    struct spdk_nvme_probe_ctx *made = calloc(1, sizeof(*made));
    char *drive, *rest, *texts = strdup(getenv("STANDIN_DRIVES") ? getenv("STANDIN_DRIVES") : "");
    int count = 0;
    (void)remove;
    made->attach = attach;
    made->fail = fail;
    for (drive = strtok_r(texts, ",", &rest); drive; drive = strtok_r(NULL, ",", &rest)) {
        struct spdk_nvme_ctrlr *one = &drives[count++];
        sscanf(drive, "%63[^/]/%31s", one->where.traddr, one->wrong);
        one->where.trtype = where->trtype;
        snprintf(one->where.subnqn, sizeof(one->where.subnqn), "nqn:%.*s", (int)strcspn(drive, "/"), drive);
        fill(one);
        if (probe(context, &one->where, NULL))
            chosen[chosen_count++] = one;
        if (is(one, "no-probe"))
            return NULL;
    }
    free(texts);
    return made;
}

int spdk_nvme_probe_poll_async(struct spdk_nvme_probe_ctx *context)
{
    int place, late = 0;
    if (context->polls++ > 0) {
        for (place = 0; place < chosen_count; place++)
            late += is(chosen[place], "slow");
        return late ? -EAGAIN : 0;
    }
    for (place = 0; place < chosen_count; place++) {
        struct spdk_nvme_ctrlr *one = chosen[place];
        if (is(one, "dead"))
            context->fail(NULL, &one->where, -ENODEV);
        else if (is(one, "denied"))
            context->fail(NULL, &one->where, -EACCES);
        else if (!is(one, "slow"))
            context->attach(NULL, &one->where, one, NULL);
        if (is(one, "twice"))
            context->attach(NULL, &one->where, one, NULL);
    }
    return -EAGAIN;
}

int spdk_nvme_detach_async(struct spdk_nvme_ctrlr *drive, struct spdk_nvme_detach_ctx **context)
{
    say("detach %s", drive->where.traddr);
    if (!*context)
        *context = calloc(1, sizeof(**context));
    if (drive->admin.count) {  /* a command that was given up comes back */
        strcpy(drive->wrong, "");
        spdk_nvme_ctrlr_process_admin_completions(drive);
    }
    return 0;
}

int spdk_nvme_detach_poll_async(struct spdk_nvme_detach_ctx *context) { return context->polls++ < 2 ? -EAGAIN : 0; }
int32_t spdk_nvme_ctrlr_get_numa_id(struct spdk_nvme_ctrlr *drive) { return (int32_t)(drive - drives); }

static int later(struct queue *queue, spdk_nvme_cmd_cb call, void *context, int status)
{
    queue->waiting[queue->count++] = (struct completion){call, context, status};
    return 0;
}

static int deliver(struct queue *queue)
{
    int count = queue->count;
    while (queue->count > 0) {
        struct completion one = queue->waiting[--queue->count];
        struct spdk_nvme_cpl entry = {{0, 0, 0, ((uint32_t)one.status << 1 | 1) << 16}};
        one.call(one.context, &entry);
    }
    return count;
}

static void put(unsigned char *at, uint64_t value, int bytes)
{
    while (bytes-- > 0) {
        *at++ = value & 0xff;
        value >>= 8;
    }
}

static int identify(struct spdk_nvme_ctrlr *drive, uint32_t what, uint32_t space, unsigned char *data)
{
    int place;
    if (what == 1 && !is(drive, "empty")) {
        put(data, is(drive, "intel") ? 0x8086 : 0x1b36, 2);
        memset(data + 4, ' ', 68);
        memcpy(data + 4, "SERIAL", 6);
        memcpy(data + 24, "MODEL", 5);
        memcpy(data + 64, "FW1", 3);
    } else if (what == 2 && !is(drive, "bare")) {
        put(data, is(drive, "backwards") ? 9 : 1, 4);
        put(data + 4, 3, 4);
    }
    for (place = 0; what == 0 && place < 2; place++)
        if (drive->spaces[place].id == space) {
            put(data, drive->spaces[place].blocks, 8);
            data[130] = place ? 12 : 9;
        }
    return 0;
}

int spdk_nvme_ctrlr_cmd_admin_raw(struct spdk_nvme_ctrlr *drive, struct spdk_nvme_cmd *command, void *data, uint32_t length,
                                  spdk_nvme_cmd_cb call, void *context)
{
    const uint32_t *dwords = command->dwords;
    int status = 0;
    (void)length;
    if (is(drive, "full"))
        return -ENOMEM;
    switch (dwords[0] & 0xff) {
    case 0x02:
        status = is(drive, "no-log") ? 0x109 : is(drive, "bad-log") ? 0x006 : 0;
        if (status == 0 && (dwords[10] & 0xff) == 0x02)
            put((unsigned char *)data + 1, 300, 2);
        if (status == 0 && (dwords[10] & 0xff) == 0xca)
            memcpy(data, "\xab\0\0\x64\0\x07", 6);
        break;
    case 0x06:
        status = identify(drive, dwords[10], dwords[1], data);
        break;
    default:
        abort();
    }
    return later(&drive->admin, call, context, status);
}

int32_t spdk_nvme_ctrlr_process_admin_completions(struct spdk_nvme_ctrlr *drive)
{
    return is(drive, "hang") ? 0 : is(drive, "lost") ? -ENXIO : deliver(&drive->admin);
}

uint32_t spdk_nvme_ctrlr_get_first_active_ns(struct spdk_nvme_ctrlr *drive) { return is(drive, "bare") ? 0 : 1; }

uint32_t spdk_nvme_ctrlr_get_next_active_ns(struct spdk_nvme_ctrlr *drive, uint32_t before)
{
    return before == 1 ? 3 : is(drive, "circle") ? 1 : 0;
}

struct spdk_nvme_ns *spdk_nvme_ctrlr_get_ns(struct spdk_nvme_ctrlr *drive, uint32_t id) { return &drive->spaces[id == 3]; }
uint64_t spdk_nvme_ns_get_size(struct spdk_nvme_ns *space) { return space->blocks * space->sector; }
uint32_t spdk_nvme_ns_get_sector_size(struct spdk_nvme_ns *space) { return is(space->owner, "no-block") ? 0 : space->sector; }
uint32_t spdk_nvme_ns_get_extended_sector_size(struct spdk_nvme_ns *space) { return space->extended; }

struct spdk_nvme_qpair *spdk_nvme_ctrlr_alloc_io_qpair(struct spdk_nvme_ctrlr *drive, const struct spdk_nvme_io_qpair_opts *options,
                                                       size_t size)
{
    struct spdk_nvme_qpair *made = calloc(1, sizeof(*made));
    (void)options, (void)size;
    made->owner = drive;
    return is(drive, "no-queue") ? NULL : made;
}

int spdk_nvme_ctrlr_free_io_qpair(struct spdk_nvme_qpair *queue)
{
    say("free queue %s", queue->owner->where.traddr);
    return 0;
}

int32_t spdk_nvme_qpair_process_completions(struct spdk_nvme_qpair *queue, uint32_t most)
{
    (void)most;
    return is(queue->owner, "io-hang") || ++queue->polls % 2 ? 0 : deliver(&queue->queue);  /* never at the first look */
}

int spdk_nvme_ns_cmd_write(struct spdk_nvme_ns *space, struct spdk_nvme_qpair *queue, void *data, uint64_t block, uint32_t count,
                           spdk_nvme_cmd_cb call, void *context, uint32_t flags)
{
    int fails = is(space->owner, "first-fails") && space->id == 1;
    say("write %s ns=%u lba=%lu count=%u flags=%#x", space->owner->where.traddr, space->id, (unsigned long)block, count, flags);
    if (!fails && !is(space->owner, "lies"))
        memcpy(space->medium + block * space->extended, data, (size_t)count * space->extended);
    return later(&queue->queue, call, context, fails ? 0x280 : 0);
}

int spdk_nvme_ns_cmd_read(struct spdk_nvme_ns *space, struct spdk_nvme_qpair *queue, void *data, uint64_t block, uint32_t count,
                          spdk_nvme_cmd_cb call, void *context, uint32_t flags)
{
    size_t start = block * space->extended, length = (size_t)count * space->extended;
    (void)flags;
    memset(data, 0, length);
    if (start < MEDIUM)
        memcpy(data, space->medium + start, length < MEDIUM - start ? length : MEDIUM - start);
    if (is(space->owner, "changes"))
        space->medium[0]++;
    return later(&queue->queue, call, context, 0);
}

// SPDX-License-Identifier: BSD-2-Clause-Patent
/*
 * A libipmctl that plays the machine described in the file "machine" in FOLDER; compiled by tests against the real header.
 *
 * One statement a line, words separated by single blanks; others are kept as they are:
 *   version 03.00.00.0468
 *   module UID SOCKET CONTROLLER CHANNEL POSITION PHYSICAL CAPACITY HEALTH PART REVISION STAGED
 *   region SOCKET ISET TYPE CAPACITY FREE HEALTH          (numbers as in the header; TYPE 1 interleaved, 2 not; FREE may be
 *                                                          the word kernel: what the kernel's region of that set has free)
 *   goal UID SOCKET STATUS
 *   in CALL hang | crash | fail CODE | noise | garbage    (of the next call of that name, each time)
 * Goals are written to the file; what the firmware makes of them is done by the test's reboot().
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>
#include <unistd.h>

#include <nvm_management.h>

#define LINES 600
#define WIDTH 300

static char line[LINES][WIDTH];
static int lines;


static void load(void)
{
    FILE *f = fopen(FOLDER "/machine", "r");

    for (lines = 0; f && lines < LINES && fgets(line[lines], WIDTH, f); lines++)
        line[lines][strcspn(line[lines], "\n")] = 0;
    if (f) fclose(f);
}

static void save(void)
{
    FILE *f = fopen(FOLDER "/machine.new", "w");

    for (int i = 0; i < lines; i++) fprintf(f, "%s\n", line[i]);
    fclose(f);
    rename(FOLDER "/machine.new", FOLDER "/machine");
}

/* Reads the machine, and misbehaves if it says so: 0, the code to fail with, or -1 for garbage. */
static int begin(const char *call)
{
    char name[64], how[64];
    int code = 0;

    load();
    for (int i = 0; i < lines; i++) {
        if (sscanf(line[i], "in %63s %63s %d", name, how, &code) < 2 || strcmp(name, call)) continue;
        if (!strcmp(how, "hang")) for (;;) pause();
        if (!strcmp(how, "crash")) raise(SIGSEGV);
        if (!strcmp(how, "fail")) return code;
        if (!strcmp(how, "noise")) { for (int n = 0; n < 16384; n++) printf("%064d", n); fflush(stdout); }
        if (!strcmp(how, "garbage")) return -1;
    }
    return 0;
}

static int matching(const char *start, int number)
{
    for (int i = 0; i < lines; i++)
        if (!strncmp(line[i], start, strlen(start)) && !number--) return i;
    return -1;
}

static int count_of(const char *start)
{
    int n = 0;

    while (matching(start, n) >= 0) n++;
    return n;
}

int nvm_get_major_version(void)
{
    load();
    int i = matching("version ", 0);
    return i < 0 ? 3 : atoi(line[i] + 8);
}

int nvm_get_version(NVM_VERSION version, const NVM_SIZE size)
{
    int failed = begin("nvm_get_version"), i = matching("version ", 0);

    if (failed == -1) { memset(version, 'x', size); return 0; }
    snprintf(version, size, "%s", i < 0 ? "03.00.00.0468" : line[i] + 8);
    return failed;
}

int nvm_get_number_of_devices(unsigned int *count)
{
    int failed = begin("nvm_get_number_of_devices");

    if (failed > 0) return failed;
    *count = failed ? 4000000000u : (unsigned)count_of("module ");
    return 0;
}

int nvm_get_devices(struct device_discovery *found, const NVM_UINT8 count)
{
    int failed = begin("nvm_get_devices");

    if (failed > 0) return failed;
    if (count != count_of("module ")) return NVM_ERR_BAD_SIZE;
    if (failed) { memset(found, 0xa5, sizeof(*found) * count); return 0; }
    for (int i = 0; i < count; i++) {
        struct device_discovery *d = &found[i];
        unsigned long long capacity;
        memset(d, 0, sizeof(*d));
        sscanf(line[matching("module ", i)], "module %21s %hu %hu %hu %hu %hu %llu %*s %20s %24s", d->uid, &d->socket_id,
               &d->memory_controller_id, &d->channel_id, &d->channel_pos, &d->physical_id, &capacity, d->part_number, d->fw_revision);
        d->capacity = capacity;
        d->memory_type = MEMORY_TYPE_NVMDIMM;
    }
    return 0;
}

static int module(const char *uid)
{
    char known[64];

    for (int i = 0, at; (at = matching("module ", i)) >= 0; i++)
        if (sscanf(line[at], "module %63s", known) == 1 && !strcmp(known, uid)) return at;
    raise(SIGSEGV); /* as the real one does */
    return -1;
}

int nvm_get_device_status(const NVM_UID uid, struct device_status *status)
{
    int failed = begin("nvm_get_device_status"), health = 0;

    if (failed > 0) return failed;
    sscanf(line[module(uid)], "module %*s %*s %*s %*s %*s %*s %*s %d", &health);
    status->health = failed ? 0xa5 : (NVM_UINT8)health;
    return 0;
}

int nvm_get_number_of_regions_ex(const NVM_BOOL nfit, NVM_UINT8 *count)
{
    int failed = begin("nvm_get_number_of_regions_ex");

    if (failed > 0) return failed;
    if (nfit || !count_of("module ")) return NVM_ERR_UNKNOWN; /* as the real one does */
    *count = (NVM_UINT8)count_of("region ");
    return 0;
}

static unsigned long long of_kernel(int region, const char *name)
{
    unsigned long long value = 0;
    char path[128], text[32] = "";
    FILE *f;

    snprintf(path, sizeof(path), "/sys/bus/nd/devices/region%d/%s", region, name);
    f = fopen(path, "r");
    if (f && fgets(text, sizeof(text), f)) value = strtoull(text, NULL, 0);
    if (f) fclose(f);
    return value;
}

static unsigned long long free_of(unsigned long long iset, const char *text)
{
    if (strcmp(text, "kernel")) return strtoull(text, NULL, 10);
    for (int i = 0; i < 16; i++)
        if (of_kernel(i, "set_cookie") == iset) return of_kernel(i, "available_size");
    return 0;
}

int nvm_get_regions_ex(const NVM_BOOL nfit, struct region *found, NVM_UINT8 *count)
{
    int failed = begin("nvm_get_regions_ex"), n = count_of("region ");

    if (failed > 0) return failed;
    if (nfit || !count_of("module ")) return NVM_ERR_UNKNOWN;
    if (failed) { memset(found, 0xa5, sizeof(*found)); *count = 1; return 0; }
    if (n < *count) *count = (NVM_UINT8)n;
    for (int i = 0; i < *count; i++) {
        struct region *r = &found[i];
        unsigned long long iset, capacity;
        char left[32];
        int socket, type, health;
        sscanf(line[matching("region ", i)], "region %d %llu %d %llu %31s %d", &socket, &iset, &type, &capacity, left, &health);
        *r = (struct region){.isetId = iset, .type = type, .capacity = capacity, .free_capacity = free_of(iset, left),
                             .socket_id = (NVM_INT16)socket, .health = health};
    }
    return 0;
}

static int drop_goal(const char *uid)
{
    char known[64];

    for (int i = 0, at; (at = matching("goal ", i)) >= 0; i++) {
        if (sscanf(line[at], "goal %63s", known) != 1 || strcmp(known, uid)) continue;
        memmove(line[at], line[at + 1], sizeof(line[0]) * (size_t)(lines - at - 1));
        lines--;
        return 1;
    }
    return 0;
}

int nvm_create_config_goal(NVM_UID *uids, NVM_UINT32 count, struct config_goal_input *goal)
{
    int failed = begin("nvm_create_config_goal"), socket = 0;

    if (failed) return failed > 0 ? failed : NVM_ERR_UNKNOWN;
    if (goal->persistent_mem_type != 1 || goal->volatile_percent || goal->reserved_percent || goal->reserve_dimm ||
        goal->namespace_label_major != 1 || goal->namespace_label_minor != 2)
        return NVM_ERR_INVALID_PARAMETER;
    for (NVM_UINT32 i = 0; i < count; i++) {
        sscanf(line[module(uids[i])], "module %*s %d", &socket);
        if (drop_goal(uids[i])) return NVM_ERR_UNKNOWN; /* one must be deleted first */
        snprintf(line[lines++], WIDTH, "goal %s %d %d", uids[i], socket, CONFIG_GOAL_STATUS_NEW);
    }
    save();
    return 0;
}

int nvm_delete_config_goal(NVM_UID *uids, NVM_UINT32 count)
{
    int failed = begin("nvm_delete_config_goal");

    if (failed) return failed > 0 ? failed : NVM_ERR_UNKNOWN;
    for (NVM_UINT32 i = 0; i < count; i++)
        if (module(uids[i]) >= 0) drop_goal(uids[i]);
    save();
    return 0;
}

int nvm_get_config_goal(NVM_UID *uids, NVM_UINT32 count, struct config_goal *found)
{
    int failed = begin("nvm_get_config_goal"), status;

    if (failed > 0 || uids || count) return failed > 0 ? failed : NVM_ERR_INVALID_PARAMETER;
    if (failed) { memset(found, 0xa5, sizeof(*found)); return 0; }
    for (int i = 0, at; (at = matching("goal ", i)) >= 0; i++) {
        sscanf(line[at], "goal %21s %hu %d", found[i].dimm_uid, &found[i].socket_id, &status);
        found[i].status = status;
    }
    return 0;
}

int nvm_get_device_fw_image_info(const NVM_UID uid, struct device_fw_info *info)
{
    int failed = begin("nvm_get_device_fw_image_info");

    if (failed > 0) return failed;
    if (failed) { memset(info, 0xa5, sizeof(*info)); return 0; }
    sscanf(line[module(uid)], "module %*s %*s %*s %*s %*s %*s %*s %*s %*s %24s %24s", info->active_fw_revision, info->staged_fw_revision);
    info->FWImageMaxSize = 655360;
    info->fw_update_status = strcmp(info->staged_fw_revision, "00.00.00.0000") ? FW_UPDATE_STAGED : FW_UPDATE_SUCCESS;
    return 0;
}

int nvm_update_device_fw(const NVM_UID uid, const NVM_PATH path, const NVM_SIZE length, const NVM_BOOL force)
{
    int failed = begin("nvm_update_device_fw"), at;
    char version[25] = "";
    FILE *image;

    if (failed) return failed > 0 ? failed : NVM_ERR_UNKNOWN;
    if (!force || length != strlen(path)) return NVM_ERR_INVALID_PARAMETER;
    image = fopen(path, "r");
    if (!image || fscanf(image, "firmware %24s", version) != 1) return NVM_ERR_DUMP_FILE_OPERATION_FAILED;
    fclose(image);
    at = module(uid);
    *strrchr(line[at], ' ') = 0;
    strcat(strcat(line[at], " "), version);
    save();
    return NVM_SUCCESS_FW_RESET_REQUIRED;
}

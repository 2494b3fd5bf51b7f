/* SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A stand-in for ndctl, on regions with labels that no kernel has.  For tests only: they lay it over /usr/bin/ndctl, and its folder over
 * /sys/bus/nd/devices, where a step with ndctl may read and write.
 *
 * The file "state" there, one item a line:
 *   region NUMBER SIZE ISET
 *   namespace REGION.NUMBER SIZE MODE UUID BLOCKDEV on | off      (UUID of its label; - for no text)
 *   in COMMAND HOW [NAME]                                          (only for that region or namespace)
 * HOW: hang        before anything is done; says "hangs" first
 *      half        hangs when a namespace has its size and its label, and nothing else
 *      late        hangs when all is done
 *      nothing     ends well and has done nothing, as on a region without labels
 *      fail        ends with status 1
 *      crash       ends by a signal
 * What ndctl would change is changed there, and in regionN/available_size and namespaceN.M/size, which must exist.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLACE "/sys/bus/nd/devices/"
#define LINES 64
#define WIDTH 256

static char line[LINES][WIDTH];
static int lines;

struct space { char name[16], mode[16], uuid[40], device[32], state[8]; unsigned long long size; };

static void load(void)
{
    FILE *f = fopen(PLACE "state", "r");

    if (!f) { perror(PLACE "state"); exit(3); }
    for (; lines < LINES && fgets(line[lines], WIDTH, f); lines++) line[lines][strcspn(line[lines], "\n")] = 0;
    fclose(f);
}

static void put(const char *file, const char *attribute, unsigned long long value)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), PLACE "%s/%s", file, attribute);
    f = fopen(path, "w");
    if (!f) { perror(path); exit(3); }
    fprintf(f, "%llu\n", value);
    fclose(f);
}

static int space_of(int i, struct space *s)
{
    return sscanf(line[i], "namespace %15s %llu %15s %39s %31s %7s", s->name, &s->size, s->mode, s->uuid, s->device, s->state) == 6;
}

static unsigned long long used(int region)
{
    unsigned long long sum = 0;
    struct space s;

    for (int i = 0; i < lines; i++)
        if (space_of(i, &s) && atoi(s.name) == region) sum += s.size;
    return sum;
}

static void save(void)
{
    FILE *f = fopen(PLACE "state", "w");
    unsigned long long size;
    char name[32];
    int region;

    if (!f) { perror(PLACE "state"); exit(3); }
    for (int i = 0; i < lines; i++)
        if (line[i][0]) fprintf(f, "%s\n", line[i]);
    fclose(f);
    for (int i = 0; i < lines; i++) {
        if (sscanf(line[i], "region %d %llu", &region, &size) != 2) continue;
        snprintf(name, sizeof(name), "region%d", region);
        put(name, "available_size", size - used(region));
    }
}

static void hang(void)
{
    fprintf(stderr, "hangs\n");
    for (;;) pause();
}

/* Return how to misbehave, or nothing. */
static const char *how(const char *command, const char *object)
{
    static char found[32];
    char name[32], only[32];

    for (int i = 0; i < lines; i++) {
        int n = sscanf(line[i], "in %31s %31s %31s", name, found, only);
        if (n >= 2 && !strcmp(name, command) && (n == 2 || !strcmp(only, object))) return found;
    }
    return "";
}

static void misbehave(const char *command, const char *object)
{
    const char *way = how(command, object);

    if (!strcmp(way, "hang")) hang();
    if (!strcmp(way, "crash")) raise(SIGKILL);
    if (!strcmp(way, "nothing")) exit(0);
    if (!strcmp(way, "fail")) { fprintf(stderr, "failed as it was told to\n"); exit(1); }
}

static const char *text(const char *word)
{
    return strcmp(word, "-") ? word : "";
}

static void list(void)
{
    const char *comma = "", *between;
    unsigned long long size, iset;
    struct space s;
    int region;

    misbehave("list", "");
    printf("{\"regions\":[");
    for (int i = 0; i < lines; i++) {
        if (sscanf(line[i], "region %d %llu %llu", &region, &size, &iset) != 3) continue;
        printf("%s{\"dev\":\"region%d\",\"size\":%llu,\"available_size\":%llu,\"align\":16777216,\"type\":\"pmem\",\"numa_node\":%d,"
               "\"iset_id\":%llu,\"persistence_domain\":\"memory_controller\",\"namespaces\":[",
               comma, region, size, size - used(region), region, iset);
        between = "";
        for (int j = 0; j < lines; j++) {
            if (!space_of(j, &s) || atoi(s.name) != region) continue;
            int on = !strcmp(s.state, "on");
            printf("%s{\"dev\":\"namespace%s\",\"mode\":\"%s\",\"size\":%llu,\"%s\":\"%s\",\"numa_node\":%d", between, s.name, text(s.mode),
                   s.size, on ? "raw_uuid" : "uuid", text(s.uuid), region);
            printf(on && *text(s.device) ? ",\"blockdev\":\"%s\"}" : on ? "}" : ",\"state\":\"disabled\"}", s.device);
            between = ",";
        }
        printf("]}");
        comma = ",";
    }
    printf("]}\n");
}

static void create(const char *region, const char *size, const char *uuid)
{
    const char *way = how("create-namespace", region);
    int half = !strcmp(way, "half"), number = 0;
    char name[32], device[32] = "";
    struct space s;

    if (!half) misbehave("create-namespace", region);
    for (int i = 0; i < lines; i++)
        if (space_of(i, &s) && atoi(s.name) == atoi(region + 6) && atoi(strchr(s.name, '.') + 1) == number) { number++; i = -1; }
    snprintf(name, sizeof(name), "namespace%s.%d", region + 6, number);
    if (number) snprintf(device, sizeof(device), ".%d", number);
    snprintf(line[lines++], WIDTH, "namespace %s %s %s %s pmem%s%s %s", name + 9, size, half ? "raw" : "fsdax", uuid, region + 6, device,
             half ? "off" : "on");
    save();
    put(name, "size", strtoull(size, NULL, 10));
    if (half || !strcmp(way, "late")) hang();
}

static void change(const char *command, const char *name)
{
    struct space s;

    misbehave(command, name);
    for (int i = 0; i < lines; i++) {
        if (!space_of(i, &s) || strcmp(s.name, name + 9)) continue;
        if (!strcmp(command, "disable-namespace")) {
            snprintf(line[i], WIDTH, "namespace %s %llu %s %s %s off", s.name, s.size, s.mode, s.uuid, s.device);
            save();
            return;
        }
        if (strcmp(s.state, "off")) { fprintf(stderr, "%s is active\n", name); exit(1); }
        line[i][0] = 0;
        save();
        put(name, "size", 0);
        if (!strcmp(how(command, name), "late")) hang();
        return;
    }
    fprintf(stderr, "no %s\n", name);
    exit(1);
}

int main(int argc, char **argv)
{
    load();
    if (argc >= 2 && !strcmp(argv[1], "list")) list();
    else if (argc == 8 && !strcmp(argv[1], "create-namespace")) create(argv[3], argv[5], argv[7]);
    else if (argc == 3) change(argv[1], argv[2]);
    else return 2;
    return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* What the bindings use of SPDK's headers; an installed SPDK has these declarations in five files. */
#ifndef STANDIN_H
#define STANDIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPDK_VERSION_STRING "SPDK stand-in"
#define SPDK_MALLOC_DMA 0x01
#define SPDK_NVME_IO_FLAGS_FORCE_UNIT_ACCESS (1U << 30)
enum spdk_log_level { SPDK_LOG_DISABLED = -1, SPDK_LOG_ERROR };
enum spdk_nvme_transport_type { SPDK_NVME_TRANSPORT_PCIE = 256, SPDK_NVME_TRANSPORT_TCP = 3 };

/* Members in another order than SPDK's: layouts are the compiler's business. */
struct spdk_pci_addr { uint8_t func, dev, bus; uint32_t domain; };
struct spdk_env_opts {
    size_t opts_size, num_pci_addr;
    const char *name, *core_mask, *lcore_map;
    int mem_size;
    bool no_pci, no_huge;
    struct spdk_pci_addr *pci_allowed;
    void *env_context;
};
struct spdk_nvme_transport_id { char subnqn[224], traddr[257]; int trtype; };
struct spdk_nvme_cmd { uint32_t dwords[16]; };
struct spdk_nvme_cpl { uint32_t dwords[4]; };
struct spdk_nvme_ctrlr;
struct spdk_nvme_ctrlr_opts;
struct spdk_nvme_ns;
struct spdk_nvme_qpair;
struct spdk_nvme_io_qpair_opts;
struct spdk_nvme_probe_ctx;
struct spdk_nvme_detach_ctx;

typedef bool (*spdk_nvme_probe_cb)(void *, const struct spdk_nvme_transport_id *, struct spdk_nvme_ctrlr_opts *);
typedef void (*spdk_nvme_attach_cb)(void *, const struct spdk_nvme_transport_id *, struct spdk_nvme_ctrlr *,
                                    const struct spdk_nvme_ctrlr_opts *);
typedef void (*spdk_nvme_attach_fail_cb)(void *, const struct spdk_nvme_transport_id *, int);
typedef void (*spdk_nvme_remove_cb)(void *, struct spdk_nvme_ctrlr *);
typedef void (*spdk_nvme_cmd_cb)(void *, const struct spdk_nvme_cpl *);

void spdk_env_opts_init(struct spdk_env_opts *);
int spdk_env_init(const struct spdk_env_opts *);
void spdk_log_set_print_level(enum spdk_log_level);
void *spdk_zmalloc(size_t, size_t, uint64_t *, int, uint32_t);
void spdk_free(void *);
void spdk_nvme_trid_populate_transport(struct spdk_nvme_transport_id *, enum spdk_nvme_transport_type);
int spdk_nvme_transport_id_parse(struct spdk_nvme_transport_id *, const char *);
struct spdk_nvme_probe_ctx *spdk_nvme_probe_async_ext(const struct spdk_nvme_transport_id *, void *, spdk_nvme_probe_cb,
                                                      spdk_nvme_attach_cb, spdk_nvme_attach_fail_cb, spdk_nvme_remove_cb);
int spdk_nvme_probe_poll_async(struct spdk_nvme_probe_ctx *);
int spdk_nvme_detach_async(struct spdk_nvme_ctrlr *, struct spdk_nvme_detach_ctx **);
int spdk_nvme_detach_poll_async(struct spdk_nvme_detach_ctx *);
int32_t spdk_nvme_ctrlr_get_numa_id(struct spdk_nvme_ctrlr *);
int spdk_nvme_ctrlr_cmd_admin_raw(struct spdk_nvme_ctrlr *, struct spdk_nvme_cmd *, void *, uint32_t, spdk_nvme_cmd_cb, void *);
int32_t spdk_nvme_ctrlr_process_admin_completions(struct spdk_nvme_ctrlr *);
uint32_t spdk_nvme_ctrlr_get_first_active_ns(struct spdk_nvme_ctrlr *);
uint32_t spdk_nvme_ctrlr_get_next_active_ns(struct spdk_nvme_ctrlr *, uint32_t);
struct spdk_nvme_ns *spdk_nvme_ctrlr_get_ns(struct spdk_nvme_ctrlr *, uint32_t);
uint64_t spdk_nvme_ns_get_size(struct spdk_nvme_ns *);
uint32_t spdk_nvme_ns_get_sector_size(struct spdk_nvme_ns *);
uint32_t spdk_nvme_ns_get_extended_sector_size(struct spdk_nvme_ns *);
struct spdk_nvme_qpair *spdk_nvme_ctrlr_alloc_io_qpair(struct spdk_nvme_ctrlr *, const struct spdk_nvme_io_qpair_opts *, size_t);
int spdk_nvme_ctrlr_free_io_qpair(struct spdk_nvme_qpair *);
int32_t spdk_nvme_qpair_process_completions(struct spdk_nvme_qpair *, uint32_t);
int spdk_nvme_ns_cmd_write(struct spdk_nvme_ns *, struct spdk_nvme_qpair *, void *, uint64_t, uint32_t, spdk_nvme_cmd_cb, void *,
                           uint32_t);
int spdk_nvme_ns_cmd_read(struct spdk_nvme_ns *, struct spdk_nvme_qpair *, void *, uint64_t, uint32_t, spdk_nvme_cmd_cb, void *,
                          uint32_t);

/* For the stand-in's own use: a driver that only a constructor makes known. */
void standin_register(void);
#endif

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Builds ``daos_bindings._spdk``: the functions of SPDK that are used, one-to-one, where SPDK can be built with.

API mode, because ``spdk_env_opts`` and others change between releases: the compiler knows the layouts, not this file.  All of
SPDK and DPDK goes into the extension where there are static archives, so that nothing is left to find at run time.

``MISSING`` says why it cannot be built here, and is empty if it can; ``setup.py`` then leaves it out.
"""

import os
import subprocess
import sysconfig
from pathlib import Path

from cffi import FFI

PACKAGES = ("spdk_nvme >= 14.0", "spdk_env_dpdk >= 15.0")
"""What is needed, in the versions that SPDK 24.09 gives its libraries."""
VMD = "spdk_vmd"
SYSTEM = "spdk_syslibs"
OURS = ("-lspdk_", "-lrte_")
"""Libraries that register drivers in constructors: a linker that takes only what is referred to would lose those."""

DECLARATIONS = """
#define DAOS_HAVE_VMD ...
#define SPDK_MALLOC_DMA ...
#define SPDK_NVME_IO_FLAGS_FORCE_UNIT_ACCESS ...
#define SPDK_LOG_ERROR ...
static const char *const DAOS_SPDK_VERSION;

struct spdk_pci_addr {
    uint32_t domain;
    uint8_t bus;
    uint8_t dev;
    uint8_t func;
    ...;
};
struct spdk_env_opts {
    const char *name;
    const char *core_mask;
    const char *lcore_map;
    int mem_size;
    bool no_pci;
    bool no_huge;
    size_t num_pci_addr;
    struct spdk_pci_addr *pci_allowed;
    void *env_context;
    size_t opts_size;
    ...;
};
void spdk_env_opts_init(struct spdk_env_opts *opts);
int spdk_env_init(const struct spdk_env_opts *opts);
void daos_spdk_log_errors_only(void);
int spdk_vmd_init(void);
void *spdk_zmalloc(size_t size, size_t align, uint64_t *unused, int numa_id, uint32_t flags);
void spdk_free(void *buf);

struct spdk_nvme_transport_id {
    char traddr[...];
    char subnqn[...];
    ...;
};
struct spdk_nvme_ctrlr;
struct spdk_nvme_ctrlr_opts;
struct spdk_nvme_ns;
struct spdk_nvme_qpair;
struct spdk_nvme_io_qpair_opts;
struct spdk_nvme_probe_ctx;
struct spdk_nvme_detach_ctx;
struct spdk_nvme_cmd { ...; };
struct spdk_nvme_cpl { ...; };

typedef bool (*spdk_nvme_probe_cb)(void *, const struct spdk_nvme_transport_id *, struct spdk_nvme_ctrlr_opts *);
typedef void (*spdk_nvme_attach_cb)(
    void *, const struct spdk_nvme_transport_id *, struct spdk_nvme_ctrlr *, const struct spdk_nvme_ctrlr_opts *);
typedef void (*spdk_nvme_attach_fail_cb)(void *, const struct spdk_nvme_transport_id *, int);
typedef void (*spdk_nvme_remove_cb)(void *, struct spdk_nvme_ctrlr *);
typedef void (*spdk_nvme_cmd_cb)(void *, const struct spdk_nvme_cpl *);

void daos_spdk_pcie(struct spdk_nvme_transport_id *trid);
int spdk_nvme_transport_id_parse(struct spdk_nvme_transport_id *trid, const char *str);
struct spdk_nvme_probe_ctx *spdk_nvme_probe_async_ext(
    const struct spdk_nvme_transport_id *trid, void *cb_ctx, spdk_nvme_probe_cb probe_cb, spdk_nvme_attach_cb attach_cb,
    spdk_nvme_attach_fail_cb attach_fail_cb, spdk_nvme_remove_cb remove_cb);
int spdk_nvme_probe_poll_async(struct spdk_nvme_probe_ctx *probe_ctx);
int spdk_nvme_detach_async(struct spdk_nvme_ctrlr *ctrlr, struct spdk_nvme_detach_ctx **detach_ctx);
int spdk_nvme_detach_poll_async(struct spdk_nvme_detach_ctx *detach_ctx);

int32_t spdk_nvme_ctrlr_get_numa_id(struct spdk_nvme_ctrlr *ctrlr);
int spdk_nvme_ctrlr_cmd_admin_raw(
    struct spdk_nvme_ctrlr *ctrlr, struct spdk_nvme_cmd *cmd, void *buf, uint32_t len, spdk_nvme_cmd_cb cb_fn, void *cb_arg);
int32_t spdk_nvme_ctrlr_process_admin_completions(struct spdk_nvme_ctrlr *ctrlr);
uint32_t spdk_nvme_ctrlr_get_first_active_ns(struct spdk_nvme_ctrlr *ctrlr);
uint32_t spdk_nvme_ctrlr_get_next_active_ns(struct spdk_nvme_ctrlr *ctrlr, uint32_t prev_nsid);
struct spdk_nvme_ns *spdk_nvme_ctrlr_get_ns(struct spdk_nvme_ctrlr *ctrlr, uint32_t ns_id);
uint64_t spdk_nvme_ns_get_size(struct spdk_nvme_ns *ns);
uint32_t spdk_nvme_ns_get_sector_size(struct spdk_nvme_ns *ns);
uint32_t spdk_nvme_ns_get_extended_sector_size(struct spdk_nvme_ns *ns);

struct spdk_nvme_qpair *spdk_nvme_ctrlr_alloc_io_qpair(
    struct spdk_nvme_ctrlr *ctrlr, const struct spdk_nvme_io_qpair_opts *opts, size_t opts_size);
int spdk_nvme_ctrlr_free_io_qpair(struct spdk_nvme_qpair *qpair);
int32_t spdk_nvme_qpair_process_completions(struct spdk_nvme_qpair *qpair, uint32_t max_completions);
int spdk_nvme_ns_cmd_write(
    struct spdk_nvme_ns *ns, struct spdk_nvme_qpair *qpair, void *buffer, uint64_t lba, uint32_t lba_count,
    spdk_nvme_cmd_cb cb_fn, void *cb_arg, uint32_t io_flags);
int spdk_nvme_ns_cmd_read(
    struct spdk_nvme_ns *ns, struct spdk_nvme_qpair *qpair, void *buffer, uint64_t lba, uint32_t lba_count,
    spdk_nvme_cmd_cb cb_fn, void *cb_arg, uint32_t io_flags);

extern "Python" {
    bool daos_spdk_probe(void *, const struct spdk_nvme_transport_id *, struct spdk_nvme_ctrlr_opts *);
    void daos_spdk_attach(
        void *, const struct spdk_nvme_transport_id *, struct spdk_nvme_ctrlr *, const struct spdk_nvme_ctrlr_opts *);
    void daos_spdk_attach_failed(void *, const struct spdk_nvme_transport_id *, int);
    void daos_spdk_completed(void *, const struct spdk_nvme_cpl *);
}
"""

SOURCE = r"""
#include <errno.h>
#include "spdk/env.h"
#include "spdk/log.h"
#include "spdk/nvme.h"
#include "spdk/version.h"
#if DAOS_HAVE_VMD
#include "spdk/vmd.h"
#else
static int spdk_vmd_init(void) { return -ENOTSUP; }
#endif

static const char *const DAOS_SPDK_VERSION = SPDK_VERSION_STRING;

static void daos_spdk_log_errors_only(void) { spdk_log_set_print_level(SPDK_LOG_ERROR); }

static void daos_spdk_pcie(struct spdk_nvme_transport_id *trid)
{
    spdk_nvme_trid_populate_transport(trid, SPDK_NVME_TRANSPORT_PCIE);
}
"""


def pkg_config(*arguments: str) -> "list[str] | None":
    """Return the words that pkg-config prints, or None if it does not know a package or is not there."""
    try:
        done = subprocess.run(["pkg-config", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607 - the build's PATH
    except FileNotFoundError:
        return None
    return done.stdout.split() if done.returncode == 0 else None


def link_words(words: "list[str]") -> "list[str]":
    """Return the words for the linker: everything of SPDK's and DPDK's archives, or of its shared libraries if one has no archive."""
    words = list(dict.fromkeys(words))
    folders = [word[2:] for word in words if word.startswith("-L")]
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    usual = [f"/usr{local}/lib{suffix}" for local in ("", "/local") for suffix in ("64", f"/{multiarch}", "")]
    whole = [word for word in words if word.startswith(OURS)]
    rest = [word for word in words if not word.startswith(("-L", *OURS)) and (word.startswith("-") or os.path.exists(word))]
    paths = [next(filter(os.path.exists, (f"{folder}/lib{word[2:]}.a" for folder in folders + usual)), "") for word in whole]
    search = [f"-L{folder}" for folder in folders]
    if all(paths):
        return ["-Wl,--whole-archive", *paths, "-Wl,--no-whole-archive", *search, "-Wl,--as-needed", *rest]
    return [*search, *(f"-Wl,-rpath,{folder}" for folder in folders), "-Wl,--no-as-needed", *whole, "-Wl,--as-needed", *rest]


def builder() -> FFI:
    """Return the builder, as SPDK is found here."""
    vmd = pkg_config("--exists", VMD) is not None
    packages = (*PACKAGES, *((VMD,) if vmd else ()))
    system = pkg_config("--libs", "--static", SYSTEM) or []
    made = FFI()
    made.cdef(DECLARATIONS)
    made.set_source(
        "daos_bindings._spdk",
        SOURCE,
        define_macros=[("DAOS_HAVE_VMD", str(int(vmd)))],
        extra_compile_args=["-O2", *(pkg_config("--cflags", *packages) or [])],
        extra_link_args=link_words([*(pkg_config("--libs", "--static", *packages) or []), *system]),
    )
    return made


MISSING = "" if pkg_config("--exists", *PACKAGES) is not None else f"pkg-config does not find {' and '.join(PACKAGES)}"
if not MISSING:
    ffibuilder = builder()

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(Path(__file__).resolve().parent.parent), verbose=True)

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Builds ``daos_bindings._fabric``: the parts of libfabric and of UCX's libuct that list what there is, one-to-one.

ABI mode, because neither library is needed to build or to run anything else: what is installed is opened at run time.
A structure is declared in full as far as its last member that is read, and no further: the libraries only ever append.
``tests/unit/test_network_layouts.py`` holds the layouts against the distribution's headers.
"""

from pathlib import Path

from cffi import FFI

LIBFABRIC = """
struct fi_domain_attr {
    void *domain;
    char *name;
};

struct fi_fabric_attr {
    void *fabric;
    char *name;
    char *prov_name;
};

struct fi_info {
    struct fi_info *next;
    uint64_t caps;
    uint64_t mode;
    uint32_t addr_format;
    size_t src_addrlen;
    size_t dest_addrlen;
    void *src_addr;
    void *dest_addr;
    void *handle;
    void *tx_attr;
    void *rx_attr;
    void *ep_attr;
    struct fi_domain_attr *domain_attr;
    struct fi_fabric_attr *fabric_attr;
};

int fi_getinfo(uint32_t version, const char *node, const char *service, uint64_t flags, const struct fi_info *hints,
               struct fi_info **info);
void fi_freeinfo(struct fi_info *info);
struct fi_info *fi_dupinfo(const struct fi_info *info);
const char *fi_strerror(int errnum);
"""

# uct_tl_resource_desc stands in arrays, so that its size counts as well: it has been this since UCX 1.9.
UCT = """
typedef struct {
    char md_name[16];
} uct_md_resource_desc_t;

typedef struct {
    uint64_t field_mask;
    char name[16];
    unsigned md_resource_count;
    uct_md_resource_desc_t *md_resources;
    uint64_t flags;
} uct_component_attr_t;

typedef struct {
    char tl_name[10];
    char dev_name[32];
    int dev_type;
    uint8_t sys_device;
} uct_tl_resource_desc_t;

int8_t uct_query_components(void ***components, unsigned *count);
void uct_release_component_list(void **components);
int8_t uct_component_query(void *component, uct_component_attr_t *attr);
int8_t uct_md_config_read(void *component, const char *env_prefix, const char *filename, void **config);
void uct_config_release(void *config);
int8_t uct_md_open(void *component, const char *md_name, const void *config, void **md);
void uct_md_close(void *md);
int8_t uct_md_query_tl_resources(void *md, uct_tl_resource_desc_t **resources, unsigned *count);
void uct_release_tl_resource_list(uct_tl_resource_desc_t *resources);
"""

ffibuilder = FFI()
ffibuilder.cdef(LIBFABRIC)
ffibuilder.cdef(UCT)
ffibuilder.set_source("daos_bindings._fabric", None)

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(Path(__file__).resolve().parent.parent), verbose=True)

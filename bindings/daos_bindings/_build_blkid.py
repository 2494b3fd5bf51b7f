# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Builds ``daos_bindings._blkid``: libblkid's low-level probe, one-to-one.

Apart from ``_linux``, because only a worker that probes a device may have the library in it.
"""

from pathlib import Path

from cffi import FFI

DECLARATIONS = """
#define BLKID_SUBLKS_LABEL ...
#define BLKID_SUBLKS_UUID ...
#define BLKID_SUBLKS_TYPE ...
#define BLKID_SUBLKS_USAGE ...
#define BLKID_SUBLKS_MAGIC ...
#define BLKID_SUBLKS_BADCSUM ...
#define BLKID_PARTS_FORCE_GPT ...
#define BLKID_PARTS_MAGIC ...

typedef struct blkid_struct_probe *blkid_probe;

blkid_probe blkid_new_probe(void);
void blkid_free_probe(blkid_probe probe);
int blkid_probe_set_device(blkid_probe probe, int fd, int64_t offset, int64_t size);
int blkid_probe_enable_superblocks(blkid_probe probe, int enable);
int blkid_probe_set_superblocks_flags(blkid_probe probe, int flags);
int blkid_probe_enable_partitions(blkid_probe probe, int enable);
int blkid_probe_set_partitions_flags(blkid_probe probe, int flags);
int blkid_do_probe(blkid_probe probe);
int blkid_probe_lookup_value(blkid_probe probe, const char *name, const char **data, size_t *length);
"""

ffibuilder = FFI()
ffibuilder.cdef(DECLARATIONS)
ffibuilder.set_source("daos_bindings._blkid", "#include <blkid/blkid.h>", libraries=["blkid"], extra_compile_args=["-O2"])

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(Path(__file__).resolve().parent.parent), verbose=True)

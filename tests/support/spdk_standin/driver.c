/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* Nothing refers to this file, as nothing refers to SPDK's transports and DPDK's buses: a careless linker leaves it out. */
#include "standin.h"

__attribute__((constructor)) static void constructor(void) { standin_register(); }

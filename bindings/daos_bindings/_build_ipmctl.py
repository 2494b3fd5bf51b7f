# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Builds ``daos_bindings._ipmctl``: the part of libipmctl's native management API that is used, one-to-one.

ABI mode, because the library is needed neither to build nor to run anything else: what is installed is opened at run time.
``tests/unit/test_ipmctl_layouts.py`` holds sizes and members against the distribution's ``nvm_management.h``.  Enumerations are
declared as the 32-bit numbers that they are, so that a value which the header does not have stays a number.
"""

from pathlib import Path

from cffi import FFI

API = """
typedef char NVM_UID[22];
typedef char NVM_VERSION[25];

struct device_discovery {
    uint8_t all_properties_populated;
    uint32_t device_handle;
    uint16_t physical_id;
    uint16_t vendor_id;
    uint16_t device_id;
    uint16_t revision_id;
    uint16_t channel_pos;
    uint16_t channel_id;
    uint16_t memory_controller_id;
    uint16_t socket_id;
    uint16_t node_controller_id;
    uint32_t memory_type;
    uint32_t dimm_sku;
    uint8_t manufacturer[2];
    uint8_t serial_number[4];
    uint16_t subsystem_vendor_id;
    uint16_t subsystem_device_id;
    uint16_t subsystem_revision_id;
    uint8_t manufacturing_info_valid;
    uint8_t manufacturing_location;
    uint16_t manufacturing_date;
    char part_number[21];
    NVM_VERSION fw_revision;
    NVM_VERSION fw_api_version;
    uint64_t capacity;
    uint16_t interface_format_codes[9];
    uint8_t security_capabilities[8];
    uint8_t device_capabilities[8];
    NVM_UID uid;
    uint32_t lock_state;
    uint32_t manageability;
    uint16_t controller_revision_id;
    uint8_t master_passphrase_enabled;
    uint8_t reserved[47];
};

struct device_status {
    uint8_t health;
    uint8_t is_new;
    uint8_t is_configured;
    uint8_t is_missing;
    uint8_t package_spares_available;
    uint32_t last_shutdown_status_details;
    uint32_t config_status;
    uint64_t last_shutdown_time;
    uint8_t mixed_sku;
    uint8_t sku_violation;
    uint8_t viral_state;
    uint32_t ars_status;
    uint32_t overwritedimm_status;
    uint8_t ait_dram_enabled;
    uint64_t boot_status;
    uint32_t injected_media_errors;
    uint32_t injected_non_media_errors;
    uint32_t unlatched_last_shutdown_status_details;
    uint8_t thermal_throttle_performance_loss_pcnt;
    uint8_t reserved[64];
};

struct region {
    uint64_t isetId;
    uint32_t type;
    uint64_t capacity;
    uint64_t free_capacity;
    int16_t socket_id;
    uint16_t dimm_count;
    uint16_t dimms[24];
    uint32_t health;
    uint8_t reserved[40];
};

struct config_goal_input {
    uint8_t persistent_mem_type;
    uint32_t volatile_percent;
    uint32_t reserved_percent;
    uint32_t reserve_dimm;
    uint16_t namespace_label_major;
    uint16_t namespace_label_minor;
    uint8_t reserved[44];
};

struct config_goal {
    NVM_UID dimm_uid;
    uint16_t socket_id;
    uint32_t persistent_regions;
    uint64_t volatile_size;
    uint64_t storage_capacity;
    uint32_t interleave_set_type[2];
    uint64_t appdirect_size[2];
    uint32_t imc_interleaving[2];
    uint32_t channel_interleaving[2];
    uint8_t appdirect_index[2];
    uint32_t status;
    uint8_t reserved[32];
};

struct device_fw_info {
    NVM_VERSION active_fw_revision;
    NVM_VERSION staged_fw_revision;
    uint32_t FWImageMaxSize;
    uint32_t fw_update_status;
    uint8_t reserved[4];
};

int nvm_get_major_version(void);
int nvm_get_version(char *version, size_t length);
int nvm_get_number_of_devices(unsigned int *count);
int nvm_get_devices(struct device_discovery *devices, uint8_t count);
int nvm_get_device_status(const char *uid, struct device_status *status);
int nvm_get_number_of_regions_ex(uint8_t use_nfit, uint8_t *count);
int nvm_get_regions_ex(uint8_t use_nfit, struct region *regions, uint8_t *count);
int nvm_create_config_goal(NVM_UID *uids, uint32_t count, struct config_goal_input *goal);
int nvm_get_config_goal(NVM_UID *uids, uint32_t count, struct config_goal *goals);
int nvm_delete_config_goal(NVM_UID *uids, uint32_t count);
int nvm_get_device_fw_image_info(const char *uid, struct device_fw_info *info);
int nvm_update_device_fw(const char *uid, const char *path, size_t path_length, uint8_t force);
"""

ffibuilder = FFI()
ffibuilder.cdef(API)
ffibuilder.set_source("daos_bindings._ipmctl", None)

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(Path(__file__).resolve().parent.parent), verbose=True)

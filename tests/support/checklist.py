# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Every attack that the helper must withstand, by number, and the tests that try it against what is installed.

``1`` to ``42`` are the attacks on any setuid helper, ``a`` to ``l`` what the reference helper gets wrong.  An attack, or a part of
it, that cannot be tried on a machine says why in ``not_tried``; the run shows it as not run.
"""

from __future__ import annotations

from typing import NamedTuple


class Attack(NamedTuple):
    """One attack.

    :param tests: FILE::FUNCTION below tests/.
    :param not_tried: what of it is not tried, and why; empty if all of it is.
    """

    number: str
    what: str
    tests: tuple[str, ...]
    not_tried: str = ""


ENTRY = "attack/test_entry.py::test_"
REACH = "attack/test_reach.py::test_"
FRAMES = "attack/test_frames_fuzz.py::test_"
VALUES = "attack/test_values.py::test_"
RACES = "attack/test_races.py::test_"
LOAD = "attack/test_load.py::test_"
SESSIONS = "attack/test_sessions.py::test_"
INJECTED = "attack/test_injected.py::test_"
CALLER = "attack/test_caller.py::test_"
LAUNCHER = "host/test_launcher.py::test_"
MONITOR = "host/test_monitor.py::test_"
STORAGE = "host/test_storage_methods.py::test_"
TRICK = f"{ENTRY}trick_leaves_no_trace_in_the_monitor"
VARIABLES = f"{ENTRY}variables_of_the_caller_do_not_arrive"
BREACH = f"{FRAMES}breach_of_the_protocol_ends_the_session_with_one_fault"
HOSTILE_VALUES = f"{VALUES}hostile_values_are_answered_once_and_written_down"
PREPARE = f"{VALUES}hostile_values_of_a_prepare_that_the_policy_allows"

CHECKLIST: tuple[Attack, ...] = (
    Attack("1", "no arguments, long ones, further ones", (TRICK, f"{ENTRY}long_and_many_arguments_are_ignored")),
    Attack("2", "variables of the loader and of libc", (VARIABLES, f"{INJECTED}programs_get_a_constant_environment")),
    Attack("3", "variables and files of Python", (VARIABLES, f"{ENTRY}bait_is_taken_where_nothing_guards_against_it")),
    Attack("4", "variables of OpenSSL", (VARIABLES, f"{ENTRY}neither_openssl_nor_a_name_service_is_loaded")),
    Attack("5", "variables and functions of shells", (VARIABLES, f"{INJECTED}programs_get_a_constant_environment")),
    Attack("6", "variables of SPDK, ndctl, ipmctl and the reference helper", (VARIABLES,)),
    Attack("7", "descriptors 0 to 2 closed, in every combination", (TRICK, f"{ENTRY}closed_standard_descriptors_end_it")),
    Attack("8", "further descriptors inherited", (TRICK,)),
    Attack("9", "SIGCHLD ignored", (TRICK, f"{INJECTED}mkfs_that_is_something_else")),
    Attack("10", "signals blocked, timers pending", (TRICK,)),
    Attack(
        "11",
        "signals from the caller and from its terminal",
        (
            f"{REACH}nobody_but_root_can_touch_the_monitor",
            f"{REACH}helper_that_is_killed_at_any_moment_of_its_start",
            f"{LAUNCHER}leader_of_a_process_group_is_refused",
        ),
    ),
    Attack(
        "12",
        "RLIMIT_FSIZE",
        (f"{ENTRY}soft_limit_of_the_caller_is_lifted", f"{ENTRY}hard_limit_of_the_caller_is_lifted_or_named"),
    ),
    Attack(
        "13",
        "other limits",
        (
            f"{ENTRY}soft_limit_of_the_caller_is_lifted",
            f"{ENTRY}hard_limit_of_the_caller_is_lifted_or_named",
            f"{LAUNCHER}limit_of_almost_nothing_ends_without_effect",
        ),
    ),
    Attack("14", "umask", (TRICK,)),
    Attack(
        "15",
        "folders, namespaces, /proc",
        (
            TRICK,
            f"{ENTRY}user_namespace_is_refused",
            f"{LAUNCHER}pid_and_mount_namespace_are_no_obstacle",
            f"{LAUNCHER}missing_proc_is_refused",
        ),
        not_tried="a folder on a FUSE mount that hangs needs a FUSE server of the account's (fusermount3), which is no dependency of ours",
    ),
    Attack("16", "no_new_privs, nosuid mount", (f"{ENTRY}no_new_privs_is_named", f"{ENTRY}nosuid_mount_is_named")),
    Attack(
        "17",
        "priority",
        (TRICK,),
        not_tried="freezing and memory limits of a control group need root's consent, or a delegated group, which these tests do not make",
    ),
    Attack(
        "18",
        "debuggers, memory, core files",
        (
            f"{REACH}nobody_but_root_can_touch_the_monitor",
            f"{REACH}debugger_from_the_start_gets_a_program_without_privileges",
            f"{REACH}strace_by_the_account_gets_a_program_without_privileges",
            f"{LAUNCHER}no_core_file_and_no_dump_of_the_launcher",
        ),
    ),
    Attack("19", "personality, keyring, death signal, a caller that is gone", (TRICK,)),
    Attack("20", "two helpers at once", (f"{REACH}two_formats_of_one_device", f"{LOAD}sessions_at_once_of_which_some_die")),
    Attack(
        "21",
        "a caller who is neither root nor the account",
        (
            f"{ENTRY}member_of_the_group_is_refused_and_told",
            f"{CALLER}member_of_the_group_is_refused_before_anything_is_read",
            f"{CALLER}stranger_cannot_execute_it",
        ),
    ),
    Attack("22", "a parent that calls itself daos_server", (f"{ENTRY}parent_that_is_called_daos_server_is_a_stranger_all_the_same",)),
    Attack(
        "23",
        "a socket in place of pipes, descriptors passed over it",
        (
            "attack/test_socket.py::test_account_is_the_account_whatever_it_calls_itself",
            "attack/test_socket.py::test_descriptors_that_are_passed_stay_outside",
            "attack/test_socket.py::test_account_cannot_hand_in_a_socket_of_its_own",
            f"{LAUNCHER}socket_of_the_account_is_refused",
        ),
    ),
    Attack(
        "24",
        "programs that others than root can change",
        (
            f"{LAUNCHER}start_file_that_others_can_change_is_not_run",
            f"{LAUNCHER}interpreter_that_others_can_change_is_not_run",
            f"{LAUNCHER}account_and_worker_files_must_be_right",
            "host/test_helper_check.py::test_what_is_wrong_is_found_and_comes_with_what_to_do",
        ),
    ),
    Attack("25", "no bytes, half a frame, no end", (BREACH, f"{MONITOR}half_a_frame_is_not_waited_for_forever")),
    Attack(
        "26",
        "sizes around the limit, a gigabyte",
        (
            BREACH,
            "unit/test_frames.py::test_the_limit_itself_is_accepted_and_one_byte_more_is_not",
            f"{SESSIONS}stream_without_end_is_read_no_further_than_its_first_bad_frame",
            f"{SESSIONS}largest_frames_for_long_cost_no_more_memory_than_one",
        ),
    ),
    Attack("27", "nesting", (BREACH,)),
    Attack("28", "numbers that are none, keys twice, other encodings", (BREACH,)),
    Attack("29", "numbers beyond all bounds", (BREACH, HOSTILE_VALUES)),
    Attack("30", "true for 1, 2^32-1 for no change", (BREACH, HOSTILE_VALUES)),
    Attack("31", "surrogates, NUL", (BREACH, HOSTILE_VALUES)),
    Attack(
        "32",
        "unknown, missing, doubled, of another type",
        (BREACH, f"{FRAMES}hostile_content_is_one_fault_and_the_session_lives_on", f"{FRAMES}seeded_long_sessions_of_hostile_content"),
    ),
    Attack("33", "answers that tell of root", (f"{SESSIONS}hostile_sessions",)),
    Attack("34", "paths: .., //, names that begin alike", (HOSTILE_VALUES, f"{MONITOR}hostile_value_is_one_fault")),
    Attack(
        "35",
        "links, swapped in a loop",
        (
            f"{RACES}folder_that_turns_into_a_link_leads_nowhere",
            f"{RACES}mount_point_that_is_exchanged_for_another_folder",
            f"{RACES}folder_of_the_account_cannot_carry_a_mount_out_of_the_root",
        ),
    ),
    Attack(
        "36",
        "targets that are none",
        (HOSTILE_VALUES, f"{STORAGE}file_in_place_of_the_mount_point", f"{STORAGE}mount_that_is_not_ours_stays"),
        not_tried="targets on NFS need a server of it; a target on any file system that the policy does not name is refused all the same",
    ),
    Attack(
        "37",
        "devices that are none, in use, or root's",
        (
            HOSTILE_VALUES,
            f"{STORAGE}disk_of_the_root_file_system_is_refused_whatever_is_said",
            f"{STORAGE}device_that_is_mounted_elsewhere_is_refused_with_force",
            f"{STORAGE}device_that_is_swapped_on_is_refused_with_force",
            f"{STORAGE}device_that_a_program_holds_is_refused_with_force",
            f"{STORAGE}loop_device_that_the_policy_does_not_name",
            f"{STORAGE}any_signature_is_refused_and_named_and_left_as_it_is",
            f"{STORAGE}device_under_another_name_is_the_same_device",
        ),
    ),
    Attack(
        "38",
        "PCI addresses",
        (
            "unit/test_bindings_pci.py::test_anything_else_is_no_address",
            HOSTILE_VALUES,
            "unit/test_nvme_judgement.py::test_what_root_denies_is_denied_however_root_spells_it",
        ),
    ),
    Attack("39", "strings that are options, lists, commands, too long", (HOSTILE_VALUES, f"{STORAGE}target_user_must_be_in_the_policy")),
    Attack("40", "numbers at every bound", (HOSTILE_VALUES, f"{MONITOR}hostile_value_is_one_fault", PREPARE)),
    Attack(
        "41",
        "system calls and programs that fail",
        (f"{INJECTED}system_call_that_fails", f"{INJECTED}mkfs_that_is_something_else", f"{STORAGE}busy_mount_is_told_and_stays"),
    ),
    Attack(
        "42",
        "the audit trail",
        (
            f"{REACH}audit_line_tells_the_program_that_called_as_claimed",
            HOSTILE_VALUES,
            f"{MONITOR}without_an_audit_trail_nothing_is_changed",
            f"{ENTRY}member_of_the_group_is_refused_and_told",
        ),
    ),
)

REFERENCE: tuple[Attack, ...] = (
    Attack("a", "caller known by the name of its program", (f"{ENTRY}parent_that_is_called_daos_server_is_a_stranger_all_the_same",)),
    Attack("b", "a set-group-id server lends its group to anybody", (f"{REACH}server_program_has_no_bit_that_would_lend_its_group",)),
    Attack("c", "the environment arrives; it names a log file that root makes", (VARIABLES,)),
    Attack(
        "d",
        "programs are looked up in the caller's PATH; a shell runs",
        (f"{INJECTED}programs_get_a_constant_environment",),
    ),
    Attack("e", "a path from the request is deleted with all that is in it", (f"{SESSIONS}hostile_sessions", HOSTILE_VALUES)),
    Attack("f", "containment by comparing text", (HOSTILE_VALUES, "unit/test_helper_policy.py::test_default_roots_do_not_contain")),
    Attack("g", "files with names from the request are written and given away", (HOSTILE_VALUES, f"{SESSIONS}hostile_sessions")),
    Attack(
        "h",
        "mounts with the request's options, without nosuid and nodev",
        (f"{STORAGE}ramdisk_options_are_those_of_the_request", f"{REACH}set_user_id_file_on_our_mount_lends_nothing"),
    ),
    Attack("i", "a user name from the request becomes an option", (f"{STORAGE}target_user_must_be_in_the_policy", HOSTILE_VALUES)),
    Attack("j", "the request says that it was forwarded; one code base on both sides", ("unit/test_linters.py::test_import_rules",)),
    Attack(
        "k",
        "no version, no deadline, no audit; nothing dropped, nothing closed",
        (
            TRICK,
            f"{MONITOR}worker_has_exactly_what_its_row_says",
            f"{MONITOR}worker_that_hangs_ends_at_the_deadline",
            f"{MONITOR}every_request_leaves_two_lines",
        ),
    ),
    Attack(
        "l",
        "good, and kept: a process per caller, no listening socket",
        (f"{LOAD}sessions_at_once_of_which_some_die", f"{REACH}helper_listens_nowhere"),
    ),
)

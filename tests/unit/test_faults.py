# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Every fault code has a name, a domain, words, an explanation, and can be raised and sent."""

from __future__ import annotations

import csv
import pickle
import re
import string
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from daos_pbin import codes, faults
from daos_pbin.catalogue import CODES, Entry, entry, name_of, variants
from daos_pbin.explanations import explain
from daos_pbin.faults import FIELD_LIMIT, WIRE_FIELDS, Fault

NUMBERS = {name: number for name, number in vars(codes).items() if name.isupper() and isinstance(number, int)}
WORDINGS = [(code, variant) for code in CODES for variant in variants(code)]
REFERENCE_CSV = Path(__file__).parent.parent / "data" / "fault_codes.csv"
COMMANDS = (
    *(f"{group} {command}" for group in ("storage", "nvme", "scm") for command in ("prepare", "scan", "reset")),
    *("storage format", "helper check", "helper policy", "config check", "config show", "config schema", "config generate", "network scan"),
    *("support collect-log", "start", "doctor", "dump-topology", "explain", "version", "--help"),
)
COMMAND = re.compile(r"(?:['`]|-u \{account\} |sudo )daos_server ([^'`]*)['`]")
PARAMETERS = {"self", "code", "object", "cause", "variant"}
HEAVY = ("typing", "re", "enum", "dataclasses", "daos_pbin.catalogue", "daos_pbin.explanations", "msgspec", "asyncio")


def reference() -> list[tuple[int, str, str]]:
    with REFERENCE_CSV.open(newline="") as file:
        return [(int(row["code"]), row["name"], row["domain"]) for row in csv.DictReader(file)]


def placeholders(*templates: str) -> set[str]:
    return {field for template in templates for _, field, _, _ in string.Formatter().parse(template) if field is not None}


def values_of(found: Entry) -> dict[str, object]:
    """Return a value for each placeholder, each with braces in it, which must come out as they went in."""
    return {name: f"<{{{name}}}>" for name in placeholders(found.description, found.resolution)}


def made(code: int, variant: str, **more: str) -> Fault:
    return Fault(code, variant=variant, **more, **values_of(entry(code, variant)))  # type: ignore[arg-type]  # values are text


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+", text)


def unused() -> list[int]:
    return [code for code, _, domain in reference() if domain == "(unused)"]


def test_the_catalogue_has_exactly_the_codes_in_ascending_order() -> None:
    assert sorted(NUMBERS.values()) == list(CODES)
    assert len(set(NUMBERS.values())) == len(NUMBERS)


def test_names_are_those_of_the_constants() -> None:
    spelled = {number: name.replace("_", "").casefold() for name, number in NUMBERS.items()}
    assert {code: name_of(code).casefold() for code in CODES} == spelled


def test_all_reference_codes_are_there() -> None:
    assert {code for code, _, _ in reference()} == {code for code in CODES if code < 2000}


@pytest.mark.parametrize(("code", "name", "domain"), reference())
def test_number_name_and_domain_are_those_of_the_reference(code: int, name: str, domain: str) -> None:
    found = entry(code, variants(code)[0])
    assert (found.code, found.name) == (code, name)
    if domain != "(unused)":
        assert found.domain == domain


@pytest.mark.parametrize(("code", "variant"), WORDINGS)
def test_every_wording_says_what_happened_and_what_to_do(code: int, variant: str) -> None:
    found = entry(code, variant)
    assert re.fullmatch(r"[a-z]+", found.domain), "a domain is printed before a colon and must be one word"
    for text in (found.description, found.resolution):
        assert text == " ".join(text.split()), "blanks at an end or doubled"
        assert text.isascii()
        assert len(text) > 15
        assert not text.endswith(".")
    assert '"' not in found.description, "the description is printed between double quotes"


@pytest.mark.parametrize(("code", "variant"), WORDINGS)
def test_placeholders_are_plain_keywords(code: int, variant: str) -> None:
    found = entry(code, variant)
    named = placeholders(found.description, found.resolution)
    assert all(name.isidentifier() for name in named)
    assert not named & PARAMETERS


@pytest.mark.parametrize(("code", "variant"), WORDINGS)
def test_every_wording_can_be_raised(code: int, variant: str) -> None:
    with pytest.raises(Fault) as caught:
        raise made(code, variant, object="/dev/object", cause="the cause")
    fault = caught.value
    values = values_of(entry(code, variant))
    assert (fault.code, fault.name, fault.domain) == (code, name_of(code), entry(code, variant).domain)
    assert str(fault) == f'{fault.domain}: code = {code} description = "{fault.description}" (/dev/object): the cause'
    assert all(str(value) in fault.description + fault.resolution for value in values.values())


@pytest.mark.parametrize(("code", "variant"), WORDINGS)
def test_a_fault_survives_the_wire(code: int, variant: str) -> None:
    fault = made(code, variant, object="/dev/object", cause="the cause")
    again = Fault.from_wire(fault.to_wire())
    assert again == fault
    assert again.to_wire() == fault.to_wire()
    assert tuple(fault.to_wire()) == WIRE_FIELDS
    assert str(again) == str(fault)


@pytest.mark.parametrize(("code", "variant"), [wording for wording in WORDINGS if values_of(entry(*wording))])
def test_a_missing_placeholder_is_a_defect_of_the_caller(code: int, variant: str) -> None:
    for missing in values_of(entry(code, variant)):
        values = {name: value for name, value in values_of(entry(code, variant)).items() if name != missing}
        with pytest.raises(KeyError, match=missing):
            Fault(code, variant=variant, **values)  # type: ignore[arg-type]  # values are text


def test_long_texts_are_cut_on_the_wire() -> None:
    long = "x" * (FIELD_LIMIT + 1)
    fault = Fault(codes.HELPER_POLICY_REFUSED, object=long, cause=long, what=long, line=long, policy="/etc/daos/helper.toml")
    sent = fault.to_wire()
    assert {name: len(str(sent[name])) for name in WIRE_FIELDS[2:]} == dict.fromkeys(WIRE_FIELDS[2:], FIELD_LIMIT)
    assert len(fault.object) == FIELD_LIMIT + 1


def test_the_object_is_printed_once() -> None:
    fault = Fault(codes.STORAGE_MOUNT_BUSY, object="/mnt/daos0", target="/mnt/daos0")
    assert str(fault).count("/mnt/daos0") == 1


def test_faults_are_equal_if_their_codes_are() -> None:
    first = Fault(codes.STORAGE_MOUNT_BUSY, target="/mnt/daos0")
    second = Fault(codes.STORAGE_MOUNT_BUSY, target="/mnt/daos1")
    assert first == second
    assert hash(first) == hash(second)
    assert first != Fault(codes.UNKNOWN)
    assert first != codes.STORAGE_MOUNT_BUSY


def test_a_fault_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="pbin"):
        pickle.dumps(Fault(codes.UNKNOWN))


@pytest.mark.parametrize(("code", "variant"), [(99999, ""), (-1, ""), (1, "path"), (212, ""), (212, "unknown"), (903, "")])
def test_no_words_for_an_unknown_code_or_the_wrong_variant(code: int, variant: str) -> None:
    with pytest.raises(KeyError):
        entry(code, variant)


def test_codes_with_several_wordings() -> None:
    several = {code: set(variants(code)) for code in CODES if variants(code) != ("",)}
    assert several == {
        codes.SCM_BAD_REGION: {"interleave", "health", "partial", "type"},
        codes.SCM_RAMDISK_LOW_MEM: {"Total", "Available"},
        codes.BDEV_NOT_FOUND: {"ssd", "vmd"},
        codes.SECURITY_INVALID_CERT: {"path", "plain"},
        codes.CONTROL_METADATA_BAD_FILESYSTEM: {"plain", "nosuid"},
        codes.SYSTEM_CHECKER_INVALID_MEMBER_STATES: {"enable", "stop"},
        codes.SERVER_CONSENT_MISSING: {"refused", "unattended", "goals"},
    }


def test_a_code_of_a_newer_peer_has_no_words_here() -> None:
    newer = dict(zip(WIRE_FIELDS, (99999, "new", "something new", "", "", "look at the other end"), strict=True))
    assert Fault.from_wire(newer).name == "Unknown"
    for function in (explain, variants):
        with pytest.raises(KeyError):
            function(99999)


def test_a_short_grant_names_the_kernel_command_line() -> None:
    fault = Fault(codes.HUGEPAGES_SHORT_GRANT, node=1, wanted=8194, granted=7000, size_kib=2048)
    assert fault.resolution.endswith(" hugepagesz=2048K hugepages=1:8194")


def test_a_refusal_of_the_policy_names_line_and_file() -> None:
    line = 'devices_allow = ["/dev/loop0"]'
    fault = Fault(codes.HELPER_POLICY_REFUSED, what="/dev/loop0 is a loop device", line=line, policy="/etc/daos/helper.toml")
    assert fault.resolution.endswith(f": {line}")
    assert "/etc/daos/helper.toml" in fault.resolution


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_explained_at_some_length(code: int) -> None:
    text = explain(code)
    assert text.isascii()
    assert text == text.strip()
    assert len(sentences(text)) >= 3
    for paragraph in text.split("\n\n"):
        assert "\n" not in paragraph or paragraph.startswith("    ")
    assert ("Nothing raises this code" in text) == (code in unused())


def test_explanations_do_not_repeat_each_other() -> None:
    used = Counter(sentence for code in CODES for sentence in sentences(explain(code)))
    del used["Nothing raises this code."]
    assert [sentence for sentence, count in used.items() if count > 1] == []


@pytest.mark.parametrize("code", CODES)
def test_commands_and_codes_that_are_named_exist(code: int) -> None:
    texts = [explain(code), *(entry(code, variant).resolution for variant in variants(code))]
    for command in (found for text in texts for found in COMMAND.findall(text)):
        assert command == "..." or command.startswith(COMMANDS), command
        if command.startswith("explain "):
            assert int(command.removeprefix("explain ")) in CODES


def imported_by(module: str) -> set[str]:
    """Return what a bare interpreter has loaded after it imported the module."""
    folder = str(Path(faults.__file__).parent.parent)
    program = f"import sys; sys.path.append({folder!r}); import {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_faults_is_light() -> None:
    loaded = imported_by("daos_pbin.faults")
    assert "daos_pbin.faults" in loaded
    assert not loaded & set(HEAVY)


def test_importing_the_catalogue_brings_nothing_along() -> None:
    assert imported_by("daos_pbin.catalogue") - imported_by("daos_pbin") == {"daos_pbin.catalogue", "__future__"}

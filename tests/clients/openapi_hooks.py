"""What schemathesis cannot read in the document of the Web API. `tests/it/openapi.rs` runs it."""

import itertools

import schemathesis

NUMBERS = itertools.count(1)
TEXT_ONLY = ("xml", "x-www-form-urlencoded")


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Names of one syntax are read alike. One of each is enough: every one more costs as much again."""
    for path in raw_schema["paths"].values():
        for operation in path.values():
            if "requestBody" in operation:
                content = operation["requestBody"]["content"]
                for name in ("text/json", "text/xml", "application/json-patch+json", "application/merge-patch+json"):
                    content.pop(name, None)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Where all is text, null is what is left out. It would be sent as the word. And each call has a name of its own: a schema cannot
    say that a name goes with one request."""
    if is_text_only(case):
        case.body = without_nulls(case.body)
    name = (case.headers or {}).get("Idempotency-Key")
    if name and len(name) < 240 and not is_wrong(case, "HEADER"):
        number = f"-{next(NUMBERS)}"
        case.headers["Idempotency-Key"] = name[:-1] + number + '"' if name.startswith('"') else name + number


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """What the document does not say, so that generated clients stay simple. All else counts."""
    kind = type(failure).__name__
    if kind == "AcceptedNegativeData" and is_wrong(case, "BODY"):
        # What else is wrong beside such a body has cases of its own, with a body that is right. Where all is text, a body has no wrong types: 0 and true are names as good as others, and 1 is true. And the
        # number of an enumeration's value is accepted for its name.
        return not (is_text_only(case) or has_number_of_enumeration(case.body))
    if "moduleName" in (case.path_parameters or {}) and is_int(case.path_parameters["moduleName"]):
        # A path with a number is that of an associate.
        return False
    # The names by which a history is found can stand in several places, one of which must be filled.
    is_history = case.path.endswith("/GetModuleLicenseHistoryFromLicenseServer")
    return not (kind == "RejectedPositiveData" and is_history)


def is_wrong(case, place):
    parts = case.meta.components.items() if case.meta else []
    return any(location.name == place and part.mode.is_negative for location, part in parts)


def has_number_of_enumeration(value):
    if isinstance(value, dict):
        numbers = [value.get(name) for name in ("LicenseType", "AllowedUserType")]
        return any(is_int(number) for number in numbers) or any(map(has_number_of_enumeration, value.values()))
    return isinstance(value, list) and any(map(has_number_of_enumeration, value))


def is_int(value):
    return isinstance(value, int) or isinstance(value, str) and value.lstrip("+-").isdigit()


def is_text_only(case):
    return case.media_type is not None and case.media_type.endswith(TEXT_ONLY)


def without_nulls(value):
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value if item is not None]
    return value

"""What uses a class, as its objects change."""

from soulbox.kinds.sandbox_class.index import ClassUsers
from soulbox.model.states import Kind
from tests.support.builders import make_function, stored


def test_what_changes_its_class_leaves_the_one_before() -> None:
    users = ClassUsers(Kind.FUNCTION)
    before = stored(make_function(className="python"), uid="u")
    after = stored(make_function(className="node"), uid="u")
    users.put("u", before, None)
    users.put("u", after, before)
    assert users.of("python") == []
    assert users.of("node") == [(Kind.FUNCTION, "u")]
    users.remove("u", after)
    assert users.of("node") == []

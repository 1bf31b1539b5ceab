"""The underscore names of Pykka 4.5 that supervision leans on. A new Pykka that moves them fails here, not in the field."""

import inspect

import pykka
from pykka import messages

from connector.supervision import StableProxy, StableRef, SupervisedActor


def test_messages_are_the_ones_the_loop_knows():
    assert messages.ProxyCall._fields == ("attr_path", "args", "kwargs")
    assert messages.ProxyGetAttr._fields == ("attr_path",)
    assert messages.ProxySetAttr._fields == ("attr_path", "value")
    assert messages._ActorStop() == ()


def test_actor_has_the_attributes_the_cell_fills_in():
    source = inspect.getsource(pykka.Actor.__init__)
    assigned = {
        word for word in ("actor_urn", "actor_inbox", "actor_stopped", "_actor_ref") if f"self.{word} =" in source
    }
    assert assigned == {"actor_urn", "actor_inbox", "actor_stopped", "_actor_ref"}
    assert isinstance(inspect.getattr_static(pykka.Actor, "actor_ref"), property)


def test_reference_and_proxy_override_everything_that_reaches_an_incarnation():
    public = {name for name, _ in inspect.getmembers(pykka.ActorRef, inspect.isfunction) if not name.startswith("__")}
    assert public == {"ask", "is_alive", "proxy", "stop", "tell"}
    assert public <= set(vars(StableRef))
    used = {"__init__", "__eq__", "__hash__", "__repr__", "__dir__", "__getattr__"}
    assert used <= set(vars(StableProxy))
    assert {name for name in vars(pykka.ActorProxy) if inspect.isfunction(vars(pykka.ActorProxy)[name])} <= used | {
        "__setattr__"
    }


def test_pykkas_own_loop_is_never_entered():
    assert SupervisedActor.start is not pykka.Actor.start
    assert {"actor_ref", "attr_path"} <= set(inspect.signature(pykka.CallableProxy.__init__).parameters)

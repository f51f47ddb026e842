"""How interface classes name their attributes and methods, and what stands behind a name: a typed reference.

`Register("1.0.1.8.0.255").scaler_unit` is an `AttributeRef[ScalerUnit]`: what to ask for, and how its A-XDR becomes a
value and back. Asking is the business of `dlms.client`, answering that of `dlms.server`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, overload

from dlms.apdu.services import AttributeDescriptor, MethodDescriptor
from dlms.axdr.data import Data, encode
from dlms.cosem.codecs import NAME
from dlms.errors import DecodeError
from dlms.obis import OBIS_BYTES, obis, obis_text

T = TypeVar("T")
U = TypeVar("U")
P = TypeVar("P")
R = TypeVar("R")


class Coding(Protocol[T]):
    """What reads and writes an attribute: mostly a `dlms.cosem.codecs.Codec`."""

    def decode(self, data: bytes, /) -> T: ...

    def encode(self, value: T, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class AttributeRef(Generic[T]):
    """One attribute of one object, and what its bytes mean."""

    class_id: int
    name: bytes
    """Logical name, 6 bytes."""
    index: int
    codec: Coding[T]

    @property
    def descriptor(self) -> AttributeDescriptor:
        """Return what a GET or SET names it by."""
        return AttributeDescriptor(self.class_id, self.name, self.index)

    def decode(self, data: bytes) -> T:
        """Return the value that A-XDR bytes hold.

        Raises:
            DecodeError: They hold none that this attribute may have.
        """
        return self.codec.decode(data)

    def encode(self, value: T | Data) -> bytes:
        """Return A-XDR of a value; `Data` is written as it is, for meters that want another type.

        Raises:
            ValueError: The value does not fit its type.
        """
        return encode(value) if isinstance(value, Data) else self.codec.encode(value)

    def using(self, codec: Coding[U]) -> "AttributeRef[U]":
        """Return the same attribute read and written in another way, as by a companion specification."""
        return AttributeRef(self.class_id, self.name, self.index, codec)

    def __str__(self) -> str:
        return f"{obis_text(self.name)} attribute {self.index} of class {self.class_id}"


@dataclass(frozen=True, slots=True)
class MethodRef(Generic[P, R]):
    """One method of one object, and what its parameters and its result mean."""

    class_id: int
    name: bytes
    """Logical name, 6 bytes."""
    index: int
    parameters: Coding[P]
    result: Coding[R]

    @property
    def descriptor(self) -> MethodDescriptor:
        """Return what an ACTION names it by."""
        return MethodDescriptor(self.class_id, self.name, self.index)

    def encode(self, parameters: P | Data) -> bytes:
        """Return A-XDR of the parameters; `Data` is written as it is.

        Raises:
            ValueError: They do not fit their type.
        """
        return encode(parameters) if isinstance(parameters, Data) else self.parameters.encode(parameters)

    def decode(self, returned: bytes | None) -> R:
        """Return the result; None stands for an answer without data.

        Raises:
            DecodeError: No such result.
        """
        return self.result.decode(b"\x00" if returned is None else returned)

    def decode_parameters(self, data: bytes) -> P:
        """Return the parameters that a client sent.

        Raises:
            DecodeError: No such parameters.
        """
        return self.parameters.decode(data)

    def encode_result(self, result: R) -> bytes:
        """Return A-XDR of a result."""
        return self.result.encode(result)

    def __str__(self) -> str:
        return f"{obis_text(self.name)} method {self.index} of class {self.class_id}"


class _Named(Protocol):
    CLASS_ID: ClassVar[int]

    @property
    def name(self) -> bytes: ...


class Attribute(Generic[T]):
    """An attribute of an interface class; read on an object it is the `AttributeRef` of that object."""

    __slots__ = ("codec", "index")

    def __init__(self, index: int, codec: Coding[T]) -> None:
        self.index = index
        self.codec = codec

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: _Named, owner: type) -> AttributeRef[T]: ...

    def __get__(self, instance: _Named | None, owner: type) -> "Self | AttributeRef[T]":
        if instance is None:
            return self
        return AttributeRef(instance.CLASS_ID, instance.name, self.index, self.codec)


class Method(Generic[P, R]):
    """A method of an interface class; read on an object it is the `MethodRef` of that object."""

    __slots__ = ("index", "parameters", "result")

    def __init__(self, index: int, parameters: Coding[P], result: Coding[R]) -> None:
        self.index = index
        self.parameters = parameters
        self.result = result

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: _Named, owner: type) -> MethodRef[P, R]: ...

    def __get__(self, instance: _Named | None, owner: type) -> "Self | MethodRef[P, R]":
        if instance is None:
            return self
        return MethodRef(instance.CLASS_ID, instance.name, self.index, self.parameters, self.result)


class CosemObject:
    """An object of a meter: an interface class and a logical name."""

    CLASS_ID: ClassVar[int]
    VERSION: ClassVar[int] = 0
    """Of the interface class as it is written here."""

    logical_name = Attribute(1, NAME)

    __slots__ = ("name",)

    def __init__(self, name: str | bytes) -> None:
        """Take the logical name, dotted or as its 6 bytes.

        Raises:
            DecodeError: It is none.
        """
        self.name = obis(name) if isinstance(name, str) else bytes(name)
        if len(self.name) != OBIS_BYTES:
            raise DecodeError(f"a logical name has {OBIS_BYTES} bytes, not {len(self.name)}")

    @classmethod
    def attributes(cls) -> Iterator[tuple[str, Attribute[Any]]]:
        """Return all attributes of the class with their names, by ascending index."""
        found = {key: item for base in reversed(cls.__mro__) for key, item in vars(base).items()}
        named = [(key, item) for key, item in found.items() if isinstance(item, Attribute)]
        return iter(sorted(named, key=lambda pair: pair[1].index))

    @classmethod
    def methods(cls) -> Iterator[tuple[str, Method[Any, Any]]]:
        """Return all methods of the class with their names, by ascending index."""
        found = {key: item for base in reversed(cls.__mro__) for key, item in vars(base).items()}
        named = [(key, item) for key, item in found.items() if isinstance(item, Method)]
        return iter(sorted(named, key=lambda pair: pair[1].index))

    def attribute_at(self, index: int) -> AttributeRef[Any] | None:
        """Return an attribute by its number, as it stands in a request."""
        for _, item in self.attributes():
            if item.index == index:
                return AttributeRef(self.CLASS_ID, self.name, index, item.codec)
        return None

    def method_at(self, index: int) -> MethodRef[Any, Any] | None:
        """Return a method by its number, as it stands in a request."""
        for _, item in self.methods():
            if item.index == index:
                return MethodRef(self.CLASS_ID, self.name, index, item.parameters, item.result)
        return None

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.name == other.name

    def __hash__(self) -> int:
        return hash((self.CLASS_ID, self.name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({obis_text(self.name)!r})"

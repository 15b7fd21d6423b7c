//! Declares a message once, as the table that Kafka's schemas are, and derives the struct and both
//! directions.
//!
//! ```text
//! message! {
//!     /// What it is for.
//!     pub struct MetadataRequest(Metadata, 0..=13) {      // the API and its versions; a nested struct has neither
//!         (0..)    topics: Option<Vec<MetadataRequestTopic>>, nullable 1;
//!         (4..)    allow_auto_topic_creation: bool = true, else refuse;
//!         (8..=10) include_cluster_authorized_operations: bool;
//!     }
//! }
//!
//! (versions) name: Type = default, tag N, nullable N, else refuse;
//! ```
//!
//! * `(versions)`: where the field travels. Elsewhere it is read as its default, and dropped when written.
//! * `= default`: when it is not the type's own default.
//! * `tag N`: it travels as tagged field N, unless it equals its default. Tags are declared in ascending
//!   order.
//! * `nullable N`: the field is an `Option`, but null exists only from version N on. (An `Option` without
//!   this may be null in every version.)
//! * `else refuse`: a value other than the default in a version without the field is an error instead of
//!   being dropped.
//!
//! Whether a version is flexible is said once, in
//! [`ApiKey::flexible_from`](crate::wire::ApiKey::flexible_from).
//!
//! The types that fields have: `bool`, `i8` to `i64`, `u16`, `f64`, `String`, `Bytes`, [`Uuid`], structs,
//! `Vec` and `Option` of these.

use crate::wire::ApiKey;
use crate::wire::{EncodeError, Reader, WireError, Writer};
use bytes::Bytes;
use std::ops::{Range, RangeInclusive};
use uuid::Uuid;

/// A request or response body: the part of a frame that follows the header.
pub trait Message {
    /// The API that it belongs to.
    const KEY: ApiKey;

    /// The versions that can be read and written here. What the broker advertises is the dispatch table's to
    /// say.
    const VERSIONS: RangeInclusive<i16>;

    /// Whether this version is in the flexible form.
    ///
    /// # Errors
    /// [`WireError::UnknownVersion`] when it can not be read here.
    fn readable(version: i16) -> Result<bool, WireError> {
        match Self::VERSIONS.contains(&version) {
            true => Ok(version >= Self::KEY.flexible_from()),
            false => Err(WireError::UnknownVersion { key: Self::KEY, version }),
        }
    }

    /// Whether this version is in the flexible form.
    ///
    /// # Errors
    /// [`EncodeError::UnknownVersion`] when it can not be written here.
    fn writable(version: i16) -> Result<bool, EncodeError> {
        Self::readable(version).map_err(|_| EncodeError::UnknownVersion { key: Self::KEY, version })
    }
}

/// A value that can be read from the wire.
pub trait Decode: Sized {
    /// Reads the value, in the version and form of the reader.
    ///
    /// # Errors
    /// Whatever is wrong with the bytes.
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError>;

    /// Reads the value where null is one. A struct, which has no length to say so, has a byte before it.
    ///
    /// # Errors
    /// Whatever is wrong with the bytes.
    fn read_nullable(reader: &mut Reader<'_>) -> Result<Option<Self>, WireError> {
        match i8::read(reader)? {
            ..0 => Ok(None),
            0.. => Self::read(reader).map(Some),
        }
    }
}

/// A value that can be written to the wire.
pub trait Encode: Sized {
    /// Writes the value, in the version and form of the writer.
    fn write(&self, writer: &mut Writer);

    /// Writes the value where null is one.
    fn write_nullable(value: Option<&Self>, writer: &mut Writer) {
        match value {
            None => (-1i8).write(writer),
            Some(value) => {
                1i8.write(writer);
                value.write(writer);
            }
        }
    }

    /// Goes on writing the value at `place`, of which this value begins at `depth`, until the writer has a
    /// part ([`Writer::has_part`]); true when the value is written. What is no array, or has none in it, is
    /// written at once.
    fn write_part(&self, place: &mut Place, depth: usize, writer: &mut Writer) -> bool {
        let _ = (place, depth);
        self.write(writer);
        true
    }

    /// Goes on writing the value, where null is one.
    fn write_part_nullable(
        value: Option<&Self>,
        place: &mut Place,
        depth: usize,
        writer: &mut Writer,
    ) -> bool {
        let _ = (place, depth);
        Self::write_nullable(value, writer);
        true
    }

    /// Calls `found` with every error code in the value, zero or not: what stands in fields of the name
    /// `error_code`. `field` is the name of the field that the value itself stands in.
    fn errors(&self, field: &'static str, found: &mut dyn FnMut(i16)) {
        let _ = (field, found);
    }
}

/// A struct whose fields can be written a few at a time.
pub trait Fields {
    /// The names of its fields, in the order in which they are declared.
    const NAMES: &'static [&'static str];

    /// Writes the fields of these numbers, in order; the tagged ones, and the end of the struct, when there
    /// is no end to the range.
    fn write_fields(&self, fields: Range<usize>, writer: &mut Writer);

    /// The number of the field `name`.
    ///
    /// # Panics
    /// When the struct has none of that name.
    fn number_of(name: &str) -> usize {
        let number = Self::NAMES.iter().position(|field| *field == name);
        number.unwrap_or_else(|| panic!("there is no field {name}"))
    }
}

/// How deep a value can stand in a message: each struct and each array is one step.
const DEPTH_MAX: usize = 16;

/// A place within a message that is written in parts: what comes next, at each depth. Begins at the message's
/// start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place([usize; DEPTH_MAX]);

impl Place {
    /// What comes next at this depth: the number of a field, or of an element behind the array's length.
    ///
    /// # Panics
    /// When no message is that deep.
    pub fn get(&self, depth: usize) -> usize {
        self.0[depth]
    }

    /// Goes on at this depth, and begins anew below it.
    pub fn next(&mut self, depth: usize) {
        self.0[depth] += 1;
        self.0[depth + 1..].fill(0);
    }
}

/// Declares messages, and the structs in them: see [`wire::message`](crate::wire::message).
#[macro_export]
macro_rules! message {
    ($(
        $(#[$doc:meta])*
        pub struct $Name:ident $(($Key:ident, $versions:expr))? {
            $(
                $(#[$field_doc:meta])*
                ($in:expr) $field:ident: $Type:ty $(= $default:expr)?
                    $(, tag $tag:literal)? $(, nullable $nullable:literal)? $(, else $refuse:ident)?;
            )*
        }
    )+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "a field whose name says it all goes without")]
        pub struct $Name {
            $( $(#[$field_doc])* pub $field: $Type, )*
        }

        $(
            impl $crate::wire::Message for $Name {
                const KEY: $crate::wire::ApiKey = $crate::wire::ApiKey::$Key;
                const VERSIONS: std::ops::RangeInclusive<i16> = $versions;
            }
        )?

        #[allow(clippy::derivable_impls, reason = "derivable only where no field names a default")]
        impl Default for $Name {
            fn default() -> Self {
                Self { $( $field: $crate::message!(@default $($default)?), )* }
            }
        }

        #[allow(unused_variables, reason = "not every struct has versions or tagged fields")]
        impl $crate::wire::Decode for $Name {
            fn read(reader: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::WireError> {
                let version = reader.version();
                let mut message = Self::default();
                $( $crate::message!(@untagged [$($tag)?] {
                    if ($in).contains(&version) {
                        message.$field = $crate::wire::Decode::read(reader)?;
                        $( if version < $nullable && message.$field.is_none() {
                            return Err(reader.null());
                        } )?
                    }
                }); )*
                reader.tagged_fields(|reader, tag| {
                    $($( if tag == $tag && ($in).contains(&version) {
                        message.$field = $crate::wire::Decode::read(reader)?;
                        return Ok(true);
                    } )?)*
                    Ok(false)
                })?;
                Ok(message)
            }
        }

        #[allow(unused_variables, unused_assignments, reason = "not every struct has versions or fields")]
        impl $crate::wire::Fields for $Name {
            const NAMES: &'static [&'static str] = &[$( stringify!($field) ),*];

            #[inline]
            fn write_fields(&self, fields: std::ops::Range<usize>, writer: &mut $crate::wire::Writer) {
                let version = writer.version();
                let default = Self::default();
                let mut number = 0;
                $(
                    if fields.contains(&number) {
                        $crate::message!(@untagged [$($tag)?] {
                            if ($in).contains(&version) {
                                $( if version < $nullable && self.$field.is_none() {
                                    writer.refuse(stringify!($field));
                                } )?
                                $crate::wire::Encode::write(&self.$field, writer);
                            }
                        });
                        $( if !($in).contains(&version) && self.$field != default.$field {
                            writer.$refuse(stringify!($field));
                        } )?
                    }
                    number += 1;
                )*
                if fields.end == usize::MAX {
                    writer.tagged_fields(|tags| {
                        $($( if ($in).contains(&version) && self.$field != default.$field {
                            tags.put($tag, |writer| $crate::wire::Encode::write(&self.$field, writer));
                        } )?)*
                    });
                }
            }
        }

        #[allow(unused_variables, unused_assignments, unused_mut, reason = "not every struct has versions or fields")]
        impl $crate::wire::Encode for $Name {
            fn write(&self, writer: &mut $crate::wire::Writer) {
                $crate::wire::Fields::write_fields(self, 0..usize::MAX, writer);
            }

            fn write_part(
                &self,
                place: &mut $crate::wire::Place,
                depth: usize,
                writer: &mut $crate::wire::Writer,
            ) -> bool {
                let version = writer.version();
                let mut number = 0;
                $(
                    if place.get(depth) == number {
                        let mut written = false;
                        $crate::message!(@untagged [$($tag)?] {
                            if ($in).contains(&version) $( && (version >= $nullable || self.$field.is_some()) )? {
                                if !$crate::wire::Encode::write_part(&self.$field, place, depth + 1, writer) {
                                    return false;
                                }
                                written = true;
                            }
                        });
                        if !written {
                            // Nothing is written, or refused.
                            $crate::wire::Fields::write_fields(self, number..number + 1, writer);
                        }
                        place.next(depth);
                    }
                    number += 1;
                )*
                $crate::wire::Fields::write_fields(self, usize::MAX..usize::MAX, writer);
                true
            }

            fn errors(&self, field: &'static str, found: &mut dyn FnMut(i16)) {
                $( $crate::wire::Encode::errors(&self.$field, stringify!($field), found); )*
            }
        }
    )+};

    (@default) => { Default::default() };
    (@default $default:expr) => { $default };

    (@untagged [] $then:block) => { $then };
    (@untagged [$tag:literal] $then:block) => {};
}
impl Decode for bool {
    fn read(reader: &mut Reader<'_>) -> Result<bool, WireError> {
        Ok(reader.take_array::<1>()? != [0])
    }
}

impl Encode for bool {
    fn write(&self, writer: &mut Writer) {
        writer.put(&[u8::from(*self)]);
    }
}

impl Decode for i8 {
    fn read(reader: &mut Reader<'_>) -> Result<i8, WireError> {
        reader.take_array().map(i8::from_be_bytes)
    }
}

impl Encode for i8 {
    fn write(&self, writer: &mut Writer) {
        writer.put(&self.to_be_bytes());
    }
}

impl Decode for i16 {
    fn read(reader: &mut Reader<'_>) -> Result<i16, WireError> {
        reader.take_array().map(i16::from_be_bytes)
    }
}

impl Encode for i16 {
    fn write(&self, writer: &mut Writer) {
        writer.put(&self.to_be_bytes());
    }

    fn errors(&self, field: &'static str, found: &mut dyn FnMut(i16)) {
        if field == "error_code" {
            found(*self);
        }
    }
}

impl Decode for u16 {
    fn read(reader: &mut Reader<'_>) -> Result<u16, WireError> {
        reader.take_array().map(u16::from_be_bytes)
    }
}

impl Encode for u16 {
    fn write(&self, writer: &mut Writer) {
        writer.put(&self.to_be_bytes());
    }
}

impl Decode for i32 {
    fn read(reader: &mut Reader<'_>) -> Result<i32, WireError> {
        reader.take_array().map(i32::from_be_bytes)
    }
}

impl Encode for i32 {
    fn write(&self, writer: &mut Writer) {
        writer.put(&self.to_be_bytes());
    }
}

impl Decode for i64 {
    fn read(reader: &mut Reader<'_>) -> Result<i64, WireError> {
        reader.take_array().map(i64::from_be_bytes)
    }
}

impl Encode for i64 {
    fn write(&self, writer: &mut Writer) {
        writer.put(&self.to_be_bytes());
    }
}

impl Decode for f64 {
    fn read(reader: &mut Reader<'_>) -> Result<f64, WireError> {
        reader.take_array().map(f64::from_be_bytes)
    }
}

impl Encode for f64 {
    fn write(&self, writer: &mut Writer) {
        writer.put(&self.to_be_bytes());
    }
}

impl Decode for Uuid {
    fn read(reader: &mut Reader<'_>) -> Result<Uuid, WireError> {
        reader.take_array().map(Uuid::from_bytes)
    }
}

impl Encode for Uuid {
    fn write(&self, writer: &mut Writer) {
        writer.put(self.as_bytes());
    }
}

impl Decode for String {
    fn read(reader: &mut Reader<'_>) -> Result<String, WireError> {
        Self::read_nullable(reader)?.ok_or_else(|| reader.null())
    }

    fn read_nullable(reader: &mut Reader<'_>) -> Result<Option<String>, WireError> {
        reader.string()
    }
}

impl Encode for String {
    fn write(&self, writer: &mut Writer) {
        writer.str(Some(self));
    }

    fn write_nullable(value: Option<&String>, writer: &mut Writer) {
        writer.str(value.map(String::as_str));
    }
}

impl Decode for Bytes {
    fn read(reader: &mut Reader<'_>) -> Result<Bytes, WireError> {
        Self::read_nullable(reader)?.ok_or_else(|| reader.null())
    }

    fn read_nullable(reader: &mut Reader<'_>) -> Result<Option<Bytes>, WireError> {
        let Some(bytes) = reader.bytes()? else { return Ok(None) };
        reader.charge(bytes.len())?;
        Ok(Some(Bytes::copy_from_slice(bytes)))
    }
}

impl Encode for Bytes {
    fn write(&self, writer: &mut Writer) {
        Self::write_nullable(Some(self), writer);
    }

    fn write_nullable(value: Option<&Bytes>, writer: &mut Writer) {
        writer.length(value.map(Bytes::len));
        writer.put(value.map_or(&[], |bytes| bytes));
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn read(reader: &mut Reader<'_>) -> Result<Vec<T>, WireError> {
        Self::read_nullable(reader)?.ok_or_else(|| reader.null())
    }

    fn read_nullable(reader: &mut Reader<'_>) -> Result<Option<Vec<T>>, WireError> {
        let Some(count) = reader.count::<T>()? else { return Ok(None) };
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::read(reader)?);
        }
        Ok(Some(elements))
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn write(&self, writer: &mut Writer) {
        Self::write_nullable(Some(self), writer);
    }

    fn write_nullable(value: Option<&Vec<T>>, writer: &mut Writer) {
        writer.length(value.map(Vec::len));
        for element in value.into_iter().flatten() {
            element.write(writer);
        }
    }

    fn write_part(&self, place: &mut Place, depth: usize, writer: &mut Writer) -> bool {
        Self::write_part_nullable(Some(self), place, depth, writer)
    }

    fn write_part_nullable(
        value: Option<&Vec<T>>,
        place: &mut Place,
        depth: usize,
        writer: &mut Writer,
    ) -> bool {
        if place.get(depth) == 0 {
            writer.length(value.map(Vec::len));
            place.next(depth);
        }
        let elements = value.map_or(&[][..], Vec::as_slice);
        while let Some(element) = elements.get(place.get(depth) - 1) {
            if !element.write_part(place, depth + 1, writer) {
                return false;
            }
            place.next(depth);
            if writer.has_part() {
                return false;
            }
        }
        true
    }

    fn errors(&self, field: &'static str, found: &mut dyn FnMut(i16)) {
        for element in self {
            element.errors(field, found);
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn read(reader: &mut Reader<'_>) -> Result<Option<T>, WireError> {
        T::read_nullable(reader)
    }
}

impl<T: Encode> Encode for Option<T> {
    fn write(&self, writer: &mut Writer) {
        T::write_nullable(self.as_ref(), writer);
    }

    fn write_part(&self, place: &mut Place, depth: usize, writer: &mut Writer) -> bool {
        T::write_part_nullable(self.as_ref(), place, depth, writer)
    }

    fn errors(&self, field: &'static str, found: &mut dyn FnMut(i16)) {
        if let Some(value) = self {
            value.errors(field, found);
        }
    }
}

//! Protobuf: what a file says, its texts, and whether messages of one version are messages of another.
//!
//! A file comes as its source, or as a `FileDescriptorProto` in base64, as Python's serializer sends it.
//! `protox` parses and checks it with all that it imports: references, and the files that every installation
//! has. What is stored is the source in the layout of Confluent's registry; comments are no part of it.

mod difference;
mod options;
mod parse;
mod print;
mod scan;
mod values;

#[cfg(test)]
mod tests;

use prost_types::FileDescriptorProto;

pub(crate) use self::values::Messages;

/// A file of Protobuf.
#[derive(Clone, Debug)]
pub struct Protobuf {
    /// As it was written: names as they stand, options not interpreted.
    source: FileDescriptorProto,
    /// Whether the source names its syntax.
    names_syntax: bool,
    /// The same, checked: names in full.
    checked: FileDescriptorProto,
    /// What it imports, directly and through others.
    imported: Vec<FileDescriptorProto>,
    /// The checked file as bytes, with the options that are extensions.
    bytes: Vec<u8>,
}

impl Protobuf {
    /// Whether the first message has this field.
    pub(crate) fn has_field(&self, name: &str) -> bool {
        let first = self.source.message_type.first();
        first.is_some_and(|message| message.field.iter().any(|field| field.name() == name))
    }

    /// The text that is stored.
    pub fn canonical(&self) -> String {
        print::file(&self.source, &self.checked, self.names_syntax, false)
    }

    /// The text with full names, and fields and constants in the order of their numbers.
    pub fn normalized(&self) -> String {
        print::file(&self.source, &self.checked, self.names_syntax, true)
    }

    /// The descriptor in base64, as Python's deserializer asks for it.
    pub fn serialized(&self) -> String {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(&self.bytes)
    }
}

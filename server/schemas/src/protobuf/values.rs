//! Values: from Protobuf's encoding in JSON to its binary encoding, and back, by the descriptors of a schema.

use std::io;

use prost_reflect::prost::Message as _;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};
use prost_types::FileDescriptorSet;

use super::Protobuf;
use crate::encoding::{Misfit, take_varint, varint};

/// Longest message that is read: in memory each byte of it may be many.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// How deep messages stand in messages.
const NESTED_MAX: usize = 64;

/// The messages of a file.
#[derive(Debug)]
pub(crate) struct Messages {
    /// Those of the file, in their order; at least one.
    all: Vec<MessageDescriptor>,
}

impl Messages {
    /// Of a file that has some.
    pub(crate) fn new(file: Protobuf) -> Result<Messages, String> {
        let name = file.checked.name().to_owned();
        let mut files = file.imported;
        files.push(file.checked);
        let pool = DescriptorPool::from_file_descriptor_set(FileDescriptorSet { file: files });
        let pool = pool.map_err(|error| error.to_string())?;
        let own = pool.get_file_by_name(&name).ok_or("the file is not among its own")?;
        let all: Vec<MessageDescriptor> = own.messages().collect();
        match all.is_empty() {
            true => Err("the file has no message".to_owned()),
            false => Ok(Messages { all }),
        }
    }

    /// Appends a value of the first message, with its place.
    pub(crate) fn encode(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let options = DeserializeOptions::new();
        let read = DynamicMessage::deserialize_with_options(self.all[0].clone(), &mut reader, &options);
        let message = read.and_then(|message| reader.end().map(|()| message));
        let message = message.map_err(|error| Misfit::new(error.to_string()))?;
        varint(0, out);
        message.encode(out).map_err(|error| Misfit::new(error.to_string()))
    }

    /// Appends the JSON of a message, behind its place.
    pub(crate) fn decode(&self, bytes: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<(), String> {
        let mut rest = bytes;
        let descriptor = self.descriptor(&mut rest)?;
        if rest.len() > MESSAGE_BYTES_MAX {
            return Err(format!("the message has {} bytes, {MESSAGE_BYTES_MAX} are the most", rest.len()));
        }
        let message = DynamicMessage::decode(descriptor, rest).map_err(|error| error.to_string())?;
        // As Confluent's proxy writes them: fields that have their default as well.
        let options = SerializeOptions::new().skip_default_fields(false);
        let mut json = serde_json::Serializer::new(Limited { out, left: bytes_max });
        message.serialize_with_options(&mut json, &options).map_err(|error| error.to_string())
    }

    fn descriptor(&self, bytes: &mut &[u8]) -> Result<MessageDescriptor, String> {
        let mut number = || -> Result<usize, String> {
            let number = take_varint(bytes).ok_or("which message it is, is cut off")?;
            match number & 1 {
                0 => usize::try_from(number >> 1).map_err(|error| error.to_string()),
                _ => Err("the place of a message is negative".to_owned()),
            }
        };
        let count = number()?;
        if count > NESTED_MAX {
            return Err(format!("it is a message in {count} others, {NESTED_MAX} are the most"));
        }
        let first = if count == 0 { 0 } else { number()? };
        let missing = |at: usize| format!("the schema has no message {at}");
        let mut found = self.all.get(first).cloned().ok_or_else(|| missing(first))?;
        for _ in 1..count {
            let at = number()?;
            let child = found.child_messages().nth(at);
            found = child.ok_or_else(|| missing(at))?;
        }
        Ok(found)
    }
}

/// Memory that takes no more than so many bytes: of a short message, the defaults may be long.
struct Limited<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
}

impl io::Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let too_long = || io::Error::other("the message is too long in JSON");
        self.left = self.left.checked_sub(bytes.len()).ok_or_else(too_long)?;
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "syntax = \"proto3\"; package shop; import \"google/protobuf/timestamp.proto\"; \
        message Order { int64 id = 1; repeated string tags = 2; google.protobuf.Timestamp at = 3; Line line = 4; \
        message Line { bool is_last = 1; } } message Other { string name = 1; }";

    fn messages() -> Messages {
        Messages::new(Protobuf::parse(FILE, &[]).unwrap()).unwrap()
    }

    fn decoded(bytes: &[u8]) -> Result<serde_json::Value, String> {
        let mut out = Vec::new();
        messages().decode(bytes, &mut out, 1_000).map(|()| serde_json::from_slice(&out).unwrap())
    }

    #[test]
    fn messages_are_encoded_with_their_place_and_read_again() {
        let mut out = Vec::new();
        messages().encode(br#"{"id":"7","at":"1970-01-01T00:00:01Z"}"#, &mut out).unwrap();
        assert_eq!(out, [0, 8, 7, 26, 2, 8, 1]);
        let read = decoded(&out).unwrap();
        assert_eq!(read["id"], "7");
        assert_eq!(read["at"], "1970-01-01T00:00:01Z");
        assert_eq!(read["tags"], serde_json::json!([]));
        assert_eq!(decoded(&[2, 2, 10, 1, b'x']).unwrap(), serde_json::json!({"name": "x"}));
        assert_eq!(decoded(&[4, 0, 0, 8, 1]).unwrap(), serde_json::json!({"isLast": true}));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let refused =
            |json: &str| messages().encode(json.as_bytes(), &mut Vec::new()).unwrap_err().to_string();
        assert!(refused(r#"{"nope":1}"#).contains("nope"));
        assert!(refused(r#"{"id":1} 2"#).contains("trailing"));
        assert_eq!(decoded(&[2, 4]), Err("the schema has no message 2".to_owned()));
        assert_eq!(decoded(&[4, 0, 2]), Err("the schema has no message 1".to_owned()));
        assert_eq!(decoded(&[1]), Err("the place of a message is negative".to_owned()));
        assert_eq!(decoded(&[]), Err("which message it is, is cut off".to_owned()));
        assert!(decoded(&[0, 8]).is_err());
        // 200 messages of two bytes, each of which has its fields in JSON.
        let many = [&[0][..], &[34, 0].repeat(200)].concat();
        assert!(decoded(&many).is_ok(), "of one field the last counts");
        let tags = [&[0][..], &[18, 0].repeat(500)].concat();
        assert!(decoded(&tags).unwrap_err().contains("too long in JSON"));
    }
}
